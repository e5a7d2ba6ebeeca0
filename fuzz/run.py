"""Runs fuzz targets on the instrumented build, guided by coverage, and says what it came to.

    ./dev fuzz [--runs N] [--seconds S] [--jobs J] [target ...]
    ./dev fuzz --repeat FILE target
    ./dev fuzz --tests tests/shm tests/sip ...     these tests, arguments of pytest, with AddressSanitizer looking on

A run ends after N inputs a target, or S seconds, or at the first input that breaks the target's invariant or makes
AddressSanitizer speak; that input is kept in build/fuzz/ and named. What the inputs reached is kept there too, and the
next run goes on from it. Afterwards all of it is run once more on the production build, where the CPU is measured.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz import instrumented, plain
from fuzz.target import ROOT, Target
from fuzz.targets import NAMES, target

KEPT = ROOT / "build/fuzz"
SLOWER = "40"
"""How much more CPU the instrumented build may take, with lines counted, on a busy machine."""
OPTIONS = ("-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096", "-reload=5", "-use_value_profile=0")


@dataclass(slots=True)
class Found:
    """What a run of one target came to. `reached` are the edges of compiled code and all features, before and after."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    edges: tuple[int, int] = (0, 0)
    features: tuple[int, int] = (0, 0)
    corpus: int = 0
    kept: str = ""
    output: str = ""

    def line(self) -> str:
        rate = self.inputs / self.seconds if self.seconds else 0
        text = (
            f"{self.target:10}{self.inputs:>10} inputs {rate:>7.0f}/s   edges {self.edges[0]:>5} -> {self.edges[1]:<5}"
        )
        return f"{text} features {self.features[0]:>6} -> {self.features[1]:<6} corpus {self.corpus:<5} {self.kept}"


def prepare(chosen: Target) -> tuple[Path, Path, Path]:
    """The folders of the seeds and of what was found before, and the dictionary."""
    folder = KEPT / chosen.name
    seeds, found, words = folder / "seeds", folder / "found", folder / "words"
    seeds.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    for path in seeds.iterdir():
        path.unlink()
    for number, data in enumerate(chosen.seeds()):
        (seeds / f"{number:04}").write_bytes(data)
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in piece) + '"\n' for piece in plain.PIECES))
    return seeds, found, words


def environment(chosen: Target, modules: Path) -> dict[str, str]:
    """Of the process that runs the target."""
    ours = {
        "SIPHOND_FUZZ_TARGET": chosen.name,
        "SIPHOND_FUZZ_MODULES": str(modules),
        "SIPHOND_FUZZ_PYTHON": sys.executable,
        "SIPHOND_FUZZ_CPU": SLOWER,
    }
    return {**os.environ, **instrumented.ENVIRONMENT, **ours}


def run(chosen: Target, modules: Path, runs: int, seconds: int, jobs: int) -> Found:
    """One target in that many processes over one corpus."""
    seeds, found, words = prepare(chosen)
    line = [str(modules / "driver"), *OPTIONS, f"-max_len={chosen.max_bytes}", f"-dict={words}"]
    line += [f"-artifact_prefix={KEPT / chosen.name}/", f"-runs={max(1, runs // jobs)}", f"-max_total_time={seconds}"]
    started = time.monotonic()
    processes = [
        subprocess.Popen(
            [*line, str(found), str(seeds)],
            env=environment(chosen, modules),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        for _ in range(jobs)
    ]
    outputs = [process.communicate()[0] for process in processes]
    result = Found(chosen.name, seconds=time.monotonic() - started)
    for process, output in zip(processes, outputs, strict=True):
        take(result, output, process.returncode)
    result.corpus = len(list(found.iterdir()))
    return result


def take(result: Found, output: str, status: int) -> None:
    """Add what one process said."""
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    result.inputs += int(executed[1]) if executed else 0
    reached = [(int(a), int(b)) for a, b in re.findall(r"cov: (\d+) ft: (\d+)", output)]
    if reached:
        result.edges = (reached[0][0], max(result.edges[1], reached[-1][0]))
        result.features = (reached[0][1], max(result.features[1], reached[-1][1]))
    if status:
        kept = re.search(r"Test unit written to (\S+)", output)
        result.kept = kept[1] if kept else "nothing kept"
        result.output = "\n".join(line[:300] for line in output.splitlines()[-300:])


def repeat(chosen: Target, modules: Path, file: Path) -> int:
    """One input once more; the exit status."""
    line = [str(modules / "driver"), "-timeout=20", str(file)]
    return subprocess.run(line, env=environment(chosen, modules), stdin=subprocess.DEVNULL).returncode


def fuzz(names: Sequence[str], runs: int, seconds: int, jobs: int) -> int:
    """All targets, one after the other; 1 when one of them found something."""
    modules = instrumented.build()
    failed = False
    total = 0
    for chosen in map(target, names):
        print(f"{chosen.name}: {chosen.invariant}", flush=True)
        result = run(chosen, modules, runs, seconds, jobs)
        total += result.inputs
        print(result.line(), flush=True)
        if result.kept:
            failed = True
            print(result.output)
            print(f"again:  ./dev fuzz --repeat {result.kept} {chosen.name}")
            continue
        tried = plain.replay(chosen, [path.read_bytes() for path in sorted((KEPT / chosen.name / "found").iterdir())])
        print(f"{chosen.name:10}{tried.inputs:>10} of them on the production build, {tried.slowest_text()}", flush=True)
    print(f"{total} inputs")
    return int(failed)


def tests(arguments: Sequence[str]) -> int:
    """pytest on the instrumented build, and what it starts; the exit status, 99 where AddressSanitizer spoke."""
    line = [sys.executable, "-m", "pytest", *arguments]
    slower = {"SIPHOND_FUZZ_CPU": SLOWER}
    surroundings = {**os.environ, **instrumented.preloaded(instrumented.build()), **slower}
    return subprocess.run(line, env=surroundings, stdin=subprocess.DEVNULL, cwd=ROOT).returncode


def main() -> int:
    if sys.argv[1:2] == ["--tests"]:
        return tests(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Coverage-guided fuzzing of siphond's own code.")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(NAMES)}; all when none is named")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs a target")
    parser.add_argument("--seconds", type=int, default=0, help="at most this long a target; 0: no limit")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes a target")
    parser.add_argument("--repeat", type=Path, help="run this input alone")
    asked = parser.parse_args()
    unknown = [name for name in asked.targets if name not in NAMES]
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(NAMES)}")
    lacking = instrumented.missing()
    if lacking:
        parser.error(f"missing: {lacking}")
    names = asked.targets or list(NAMES)
    if asked.repeat:
        return repeat(target(names[0]), instrumented.build(), asked.repeat)
    return fuzz(names, asked.runs, asked.seconds, asked.jobs)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
