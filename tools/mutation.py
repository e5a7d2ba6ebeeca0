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
    """In `file`, the first `old` becomes `new`."""

    what: str
    file: str
    old: str
    new: str


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
        text = (ROOT / mutant.file).read_text()
        if mutant.old not in text:
            return False
        (self.path / mutant.file).write_text(text.replace(mutant.old, mutant.new, 1))
        self._build(mutant.file)
        return True

    def restore(self, mutant: Mutant) -> None:
        """Take it back."""
        shutil.copy2(ROOT / mutant.file, self.path / mutant.file)
        self._build(mutant.file)

    def run(self, *arguments: str, only: str = "") -> subprocess.CompletedProcess[str]:
        """This Python with these arguments, over the copy; `only`: the folder that setup.py is to build."""
        environment = {**os.environ, "PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1", "SIPHOND_ONLY": only}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)

    def _build(self, file: str) -> None:
        """Where the file is compiled: build what was changed, or take the tree's own modules back."""
        if not file.endswith(("_cy.py", ".pyx", ".pxd")):
            return
        folder = Path(file).parent
        if (self.path / file).read_text() == (ROOT / file).read_text():
            for built in (ROOT / folder).glob("*.so"):
                shutil.copy2(built, self.path / folder / built.name)
            return
        done = self.run("-W", "ignore", "setup.py", "--quiet", "build_ext", "--inplace", only=str(folder))
        if done.returncode:
            raise RuntimeError(f"{file} does not build: {done.stderr[-2000:]}")
