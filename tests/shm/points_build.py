"""A second build of the table, from the same sources, that stops or kills itself at named points.

It lies in build/shm-points-HASH/ and is imported by drivers that put that folder first on their path. The production
build has no trace of it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shm"

SETUP = """
from setuptools import Extension, setup
from Cython.Build import cythonize
flags = ["-O1", "-fno-strict-aliasing", "-w", "-DSHM_TEST_POINTS=1"]
names = ("_layout", "_identity", "_mapping", "_looking", "_table", "_slots", "_marks")
modules = [Extension(f"shm.{n}", [f"shm/{n}.pyx"], extra_compile_args=flags, libraries=["pthread"]) for n in names]
setup(name="points", ext_modules=cythonize(modules, quiet=True))
"""


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.iterdir() if p.suffix in (".py", ".pyx", ".pxd"))


def fingerprint() -> str:
    digest = hashlib.sha256(f"{SETUP}{sys.version}".encode())
    for path in sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build_points() -> Path:
    """The folder to put first on the path; built if the sources have changed."""
    wanted = ROOT / "build" / f"shm-points-{fingerprint()}"
    if wanted.exists():
        return wanted
    wanted.parent.mkdir(exist_ok=True)
    with (wanted.parent / "shm-points.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who wants the same meanwhile waits for it
        if not wanted.exists():
            _build(wanted)
    return wanted


def _build(wanted: Path) -> None:
    with tempfile.TemporaryDirectory(dir=wanted.parent) as scratch:
        folder = Path(scratch) / "points"
        (folder / "shm").mkdir(parents=True)
        for path in sources():
            shutil.copy2(path, folder / "shm")
        (folder / "setup.py").write_text(SETUP)
        command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)
        os.rename(folder, wanted)


def run_driver(script: str, *arguments: str, points: bool, timeout: float = 900) -> str:
    """Run a script of this folder; what it printed. Its failure is ours."""
    first = build_points() if points else ROOT
    environment = {**os.environ, "PYTHONPATH": f"{first}:{Path(__file__).parent}"}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{script} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    print(build_points())
