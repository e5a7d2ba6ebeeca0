"""Mutants: one line of the source changed in a copy of the tree, so that tests can be shown to notice it.

The copy has the packages with their compiled modules, the tests and what they read. Where the changed line is compiled
the module is built again there. The tree itself is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("siphon", "workers", "shm", "tests", "scripts", "etc", "deploy", "docs", "examples", "tools", "bench")
FILES = ("setup.py", "pyproject.toml", "README.md", "dev", "MANIFEST.in", "LICENSE")


class Mutant(NamedTuple):
    """In `file`, the first `old` becomes `new`. `test`: what notices it where seeds do so too seldom."""

    what: str
    file: str
    old: str
    new: str
    test: str = ""

    @property
    def fits(self) -> bool:
        """Whether `old` still stands in the tree's file, and the change is one."""
        return self.old != self.new and self.old in (ROOT / self.file).read_text()


class Copy:
    """A copy of the tree for the time of a `with`."""

    def __enter__(self) -> Copy:
        self._temporary = tempfile.TemporaryDirectory(prefix="siphon-mutants-")
        self.path = Path(self._temporary.name)
        for name in COPIED:
            shutil.copytree(ROOT / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy2(ROOT / name, self.path / name)
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def change(self, mutant: Mutant) -> bool:
        """Apply it; False when its line is not there."""
        if not mutant.fits:
            return False
        text = (ROOT / mutant.file).read_text()
        (self.path / mutant.file).write_text(text.replace(mutant.old, mutant.new, 1))
        if is_compiled(mutant.file):
            self._build(mutant.file)
        return True

    def restore(self, mutant: Mutant) -> None:
        """Take it back, the tree's own modules as well where it was compiled."""
        # Not with its old time: a later build would take the module of the mutant for up to date.
        shutil.copyfile(ROOT / mutant.file, self.path / mutant.file)
        if is_compiled(mutant.file):
            folder = Path(mutant.file).parent
            for built in (ROOT / folder).glob("*.so"):
                _replace(built, self.path / folder / built.name)

    def run(self, *arguments: str, only: str = "") -> subprocess.CompletedProcess[str]:
        """This Python with these arguments, over the copy; `only`: what setup.py is to build."""
        environment = {**os.environ, "PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1", "SIPHOND_ONLY": only}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)

    def _build(self, file: str) -> None:
        """The one module; of declarations all modules of their folder."""
        only = str(Path(file).parent) if file.endswith(".pxd") else file
        done = self.run("-W", "ignore", "setup.py", "--quiet", "build_ext", "--inplace", "--force", only=only)
        if done.returncode:
            raise RuntimeError(f"{file} does not build: {done.stderr[-2000:]}")


def is_compiled(file: str) -> bool:
    """Whether a change of the file shows only after a build."""
    return file.endswith(("_cy.py", ".pyx", ".pxd"))


def _replace(source: Path, target: Path) -> None:
    """Under a new inode: a process that still has the old one mapped keeps it."""
    target.unlink(missing_ok=True)
    shutil.copy2(source, target)
