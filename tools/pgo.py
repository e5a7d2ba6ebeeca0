"""Compiles siphond by what calls make of its code: GCC's profile-guided optimization. `./dev build --pgo` runs this.

    .venv/bin/python tools/pgo.py           counts, then builds the compiled modules of this tree
    .venv/bin/python tools/pgo.py --count   counts only: SIPHOND_PGO=use:build/pgo/objects builds what it is for

A copy of the tree in build/pgo is built with counters in it and trained: calls and registrations through a whole
worker, and random runs of the simulator, so that what is rare is not taken for what never happens. The compiler then
knows which branches are taken and what is worth inlining, and puts what never ran apart. Nothing else changes: the
sources are the same. What was not trained is compiled as ever.

GCC only: the modules must be counted and built by one version of it. Takes twice the time of a build and some more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build/pgo"
PARTS = ("siphon", "workers", "shm", "bench", "tests/engine", "tests/recipe.py", "setup.py", "pyproject.toml")
TRAINING = (
    ("bench/one_worker.py", "--calls", "2000", "--rounds", "2"),
    ("bench/replay_register.py", "--what", "register", "--calls", "2000"),
    ("bench/replay_register.py", "--what", "digest", "--calls", "2000"),
    ("bench/replay_register.py", "--what", "options", "--calls", "2000"),
    ("-m", "siphon.testing.sim", "--seeds", "20", "--jobs", "1"),
)
BUILD = ("-W", "ignore", "setup.py", "--quiet", "build_ext", "--inplace", "--force")


def run(line: tuple[str, ...], tree: Path, what: str, **more: str) -> None:
    """One Python in `tree`; what it prints is shown when it fails, and the program ends."""
    done = subprocess.run(
        [sys.executable, *line],
        cwd=tree,
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\npgo: {what} failed ({' '.join(line)})")


def copy_tree(tree: Path) -> None:
    for part in PARTS:
        source, target = ROOT / part, tree / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)


def count(objects: Path) -> None:
    """Build with counters, play, and leave what was counted beside `objects`."""
    shutil.rmtree(PLACE, ignore_errors=True)
    tree = PLACE / "tree"
    copy_tree(tree)
    say("compiling with counters")
    run(BUILD, tree, "the build with counters", SIPHOND_PGO=f"count:{objects}")
    keep_generated(tree)
    for line in TRAINING:
        say(f"training: {' '.join(line)}")
        run(line, tree, "the training")
    shutil.rmtree(tree)
    if not any(objects.rglob("*.gcda")):
        sys.exit(f"pgo: the training has left no counts in {objects}")


def keep_generated(tree: Path) -> None:
    """The counts are for the lines of this C; made again with other options it would have others."""
    for made in tree.rglob("*.c"):
        kept = ROOT / made.relative_to(tree)
        if not kept.exists() or kept.read_bytes() != made.read_bytes():
            shutil.copy2(made, kept)


def say(text: str) -> None:
    print(f"pgo: {text}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", action="store_true", help="count only")
    asked = parser.parse_args()
    objects = PLACE / "objects"
    count(objects)
    if not asked.count:
        say("compiling by what was counted")
        run(BUILD, ROOT, "the build", SIPHOND_PGO=f"use:{objects}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
