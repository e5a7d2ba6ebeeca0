"""Instructions of the message paths, counted by valgrind: the same each time, on a crowded machine as on a quiet one.

    .venv/bin/python bench/instructions.py           counts, and compares with bench/baseline.json
    .venv/bin/python bench/instructions.py --write   makes what was counted the baseline

bench/replay.py plays calls in one process, bench/replay_register.py what is answered here; bench/one_worker.py is a
real worker over shared memory, of which the turns of its loop alone are counted, not the phones. Two runs of different
length are subtracted, so that starting and loading do not count. For that both must load the same: Python compiles a
module whose bytecode is not there, and whoever else works in this tree may write it between the two. So the bytecode
is kept in a place of its own, written before. The count depends on the compiler, on Python and on the C library: a
baseline of others is not compared.

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
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
FEW, MANY = 5, 45
PATHS = {
    "call": ["replay.py"],
    "worker": ["one_worker.py"],
    "register": ["replay_register.py", "--what", "register", "--users", "1"],
    "digest": ["replay_register.py", "--what", "digest", "--users", "1"],
    "options": ["replay_register.py", "--what", "options"],
}
"""How each path is played; `register` and `digest` refresh the one binding of a phone."""
COUNTED = {"worker": "__pyx_pw_7workers_8_turn_cy_5Turns_*turn"}
"""The function that alone is counted, with what it calls; absent: all."""
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


def python(bytecode: Path, path: str, calls: int) -> list[str]:
    """The command that plays so many calls of a path with the bytecode of a place."""
    program, *arguments = PATHS[path]
    own = [sys.executable, "-X", f"pycache_prefix={bytecode}"]
    return [*own, str(HERE / program), *arguments, "--calls", str(calls), "--rounds", "1"]


def play(line: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """The finished run."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    whole = {**inherited, "PYTHONHASHSEED": "0", **environment}
    done = subprocess.run(line, env=whole, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the run failed: {' '.join(line)}: {done.stderr[-2000:]}")
    return done


def compile_into(bytecode: Path, path: str) -> None:
    """Write the bytecode of all that a path loads: of Python's library by playing it, of our packages by themselves.

    What is imported while a script loads is never written by the run.
    """
    packages = [str(HERE), *(str(HERE.parent / name) for name in ("siphon", "shm", "workers"))]
    play([sys.executable, "-X", f"pycache_prefix={bytecode}", "-m", "compileall", "-q", *packages])
    play(python(bytecode, path, FEW))


def collected(line: list[str], function: str | None = None) -> int:
    """Instructions of a run of a command, or of one function of it."""
    counting = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    if function is not None:
        counting.append(f"--toggle-collect={function}")
    found = re.search(r"Collected : (\d+)", play([*counting, *line], PYTHONDONTWRITEBYTECODE="1").stderr)
    if found is None:
        raise RuntimeError("valgrind said no count")
    return int(found[1])


def counted_of(path: str) -> int:
    """Thousands of instructions of one call of a path."""
    with tempfile.TemporaryDirectory(prefix="siphond-bytecode-") as place:
        bytecode = Path(place)
        compile_into(bytecode, path)
        few, many = (collected(python(bytecode, path, calls), COUNTED.get(path)) for calls in (FEW, MANY))
    return (many - few) // (MANY - FEW) // 1000


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
    counted, here = {path: counted_of(path) for path in asked.paths or PATHS}, built_with()
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
