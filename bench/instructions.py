"""Instructions of the message paths, counted by valgrind: the same each time, on a crowded machine as on a quiet one.

    .venv/bin/python bench/instructions.py           counts, and compares with bench/baseline.json
    .venv/bin/python bench/instructions.py --write   makes what was counted the baseline

bench/replay.py plays calls in one process, bench/replay_register.py what is answered here; two runs of different length
are subtracted, so that starting and loading do not count. The count depends on the compiler, on Python and on the C
library: a baseline of others is not compared.

Exit status: 0 no more than 10 % above the baseline, or nothing to compare with; 1 more; 2 valgrind is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
FEW, MANY = 5, 45
PATHS = {
    "call": ["replay.py"],
    "register": ["replay_register.py", "--what", "register", "--users", "1"],
    "digest": ["replay_register.py", "--what", "digest", "--users", "1"],
    "options": ["replay_register.py", "--what", "options"],
}
"""How each path is played; `register` and `digest` refresh the one binding of a phone."""
ALLOWED = 1.10


def built_with() -> dict[str, str]:
    """What the count depends on beside siphond."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "compiler": (version.splitlines() or ["unknown"])[0],
        "python": f"{platform.python_implementation()} {platform.python_version()} {sysconfig.get_platform()}",
        "libc": " ".join(platform.libc_ver()),
    }


def collected(program: list[str], calls: int) -> int:
    """Instructions of a whole run."""
    line = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    done = subprocess.run(
        [*line, str(HERE / program[0]), *program[1:], "--calls", str(calls), "--rounds", "1"],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"the run under valgrind failed: {done.stderr[-2000:]}")
    return int(found[1])


def count(paths: list[str]) -> dict[str, int]:
    """Thousands of instructions by path."""
    spent = {path: collected(PATHS[path], MANY) - collected(PATHS[path], FEW) for path in paths}
    return {path: instructions // (MANY - FEW) // 1000 for path, instructions in spent.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="make what was counted the baseline")
    parser.add_argument("paths", nargs="*", help=f"of {', '.join(PATHS)}; absent: all")
    asked = parser.parse_args()
    for path in set(asked.paths) - set(PATHS):
        parser.error(f"no such path: {path}")
    if shutil.which("valgrind") is None:
        print("valgrind is missing:  apt-get install valgrind", file=sys.stderr)
        return 2
    counted, here = count(asked.paths or list(PATHS)), built_with()
    if asked.write:
        known = json.loads(BASELINE.read_text())["thousands"] if asked.paths else {}
        BASELINE.write_text(json.dumps({"built_with": here, "thousands": known | counted}, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text())
    same = baseline["built_with"] == here
    worse = False
    for name, number in counted.items():
        was = baseline["thousands"].get(name)
        if was is None:
            print(f"{name:10} {number:8,d} thousand instructions; the baseline has none")
            continue
        print(f"{name:10} {number:8,d} thousand instructions; baseline {was:,d}, ratio {number / was:.3f}")
        worse = worse or (same and number > was * ALLOWED)
    if not same:
        print(f"not compared: the baseline is of {baseline['built_with']}, this is {here}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
