"""All compiled modules once more, built by clang so that libFuzzer and AddressSanitizer see them.

`build()` makes build/fuzz-HASH/ from the same sources as the production build: the modules, and the program that runs
a target on them (driver.c). The tree itself is not touched. `use(folder)` makes this process import those modules;
everything in Python still comes from the tree. `preloaded(folder)` is an environment in which every Python does so,
with AddressSanitizer's library before all others: for tests, and for the processes that they start.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from fuzz.target import ROOT

PACKAGES = ("siphon", "shm", "workers")
FLAGS = "-O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -Wno-everything -UNDEBUG"
SANITIZERS = "-fsanitize=fuzzer-no-link,address"
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:symbolize=1:malloc_context_size=2:quarantine_size_mb=16",
    "PYTHONMALLOC": "malloc",
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""PYTHONMALLOC: each object is an allocation of its own, so that AddressSanitizer sees where it ends. Few frames are
kept of each allocation and few freed ones are held: half the time goes there otherwise."""

SETUP = """
import sys
from pathlib import Path
from setuptools import Extension, setup
from Cython.Build import cythonize
patterns = sys.argv.pop(1).split(",")
names = sorted(p for pattern in patterns for p in Path(".").rglob(pattern))
modules = [Extension(".".join(n.with_suffix("").parts), [str(n)], libraries=["pthread"]) for n in names]
setup(name="fuzz", ext_modules=cythonize(
    modules, compiler_directives={"language_level": 3, "embedsignature": True}, quiet=True))
"""
"""The directives are those of setup.py."""
CUSTOM = """
from pathlib import Path
from fuzz import instrumented
instrumented.use(Path(__file__).parent)
"""
"""With the folder on PYTHONPATH each Python process imports its modules, whoever started it."""


def missing() -> str:
    """What keeps the instrumented build from being made; empty when nothing does."""
    clang = shutil.which("clang")
    if clang is None:
        return "clang (Debian: clang)"
    line = [clang, f"--print-file-name=libclang_rt.fuzzer-{os.uname().machine}.a"]
    runtime = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    return "" if Path(runtime).exists() else "the sanitizers of clang (Debian: libclang-rt-dev)"


def sources(root: Path) -> list[Path]:
    """Of the packages of this tree, what compiled modules are made from; relative to it."""
    patterns = ("*.pyx", "*.pxd", "*_cy.py", "__init__.py")
    found = [path for package in PACKAGES for pattern in patterns for path in (root / package).rglob(pattern)]
    return sorted(path.relative_to(root) for path in found)


def fingerprint(root: Path, only: str) -> str:
    """Of all that the build is made from."""
    digest = hashlib.sha256(f"{SETUP}{FLAGS}{SANITIZERS}{only}{sys.version}".encode())
    for path in [*sources(root), ROOT / "fuzz/driver.c"]:
        digest.update(path.name.encode() + (root / path).read_bytes())
    return digest.hexdigest()[:16]


def build(root: Path = ROOT, only: str = "*_cy.py,*.pyx") -> Path:
    """The folder with `driver` and the modules of that tree whose names match `only`, patterns with commas between;
    made when something of it has changed."""
    wanted = ROOT / "build" / f"fuzz-{fingerprint(root, only)}"
    if wanted.exists():
        return wanted
    wanted.parent.mkdir(exist_ok=True)
    with (wanted.parent / "fuzz.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who wants the same meanwhile waits for it
        if not wanted.exists():
            _build(wanted, root, only)
    return wanted


def _build(wanted: Path, root: Path, only: str) -> None:
    with tempfile.TemporaryDirectory(dir=wanted.parent) as scratch:
        folder = Path(scratch) / "fuzz"
        for path in sources(root):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, folder / path)
        (folder / "sitecustomize.py").write_text(CUSTOM)
        (folder / "setup.py").write_text(SETUP)
        _build_modules(folder, only)
        _build_driver(folder)
        os.rename(folder, wanted)


def _build_modules(folder: Path, only: str) -> None:
    compiler = {"CC": "clang", "LDSHARED": f"clang -shared {SANITIZERS}", "CFLAGS": f"{FLAGS} {SANITIZERS}"}
    jobs = str(len(os.sched_getaffinity(0)))
    command = [sys.executable, "-W", "ignore", "setup.py", only, "-q", "build_ext", "--inplace", "--parallel", jobs]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, env={**os.environ, **compiler})


def _build_driver(folder: Path) -> None:
    variables = sysconfig.get_config_vars()
    library = Path(variables["LIBDIR"])
    command = ["clang", "-O1", "-g", "-fsanitize=fuzzer,address", "-rdynamic", f"-I{sysconfig.get_paths()['include']}"]
    command += [str(ROOT / "fuzz/driver.c"), "-o", str(folder / "driver"), f"-L{library}", f"-Wl,-rpath,{library}"]
    command += [f"-lpython{variables['LDVERSION']}", *f"{variables['LIBS']} {variables['SYSLIBS']}".split()]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what lies in the folder as an extension module, nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See MetaPathFinder."""
        found = list(self.folder.glob(f"{fullname.replace('.', '/')}.*.so"))
        if not found:
            return None
        loader = importlib.machinery.ExtensionFileLoader(fullname, str(found[0]))
        return importlib.util.spec_from_file_location(fullname, found[0], loader=loader)


def preloaded(folder: Path) -> dict[str, str]:
    """For a Python that is not driver.c. What dies by a signal in a test may do so; a fault ends with status 99."""
    name = f"--print-file-name=libclang_rt.asan-{os.uname().machine}.so"
    library = subprocess.run(["clang", name], capture_output=True, text=True, check=True).stdout.strip()
    return ENVIRONMENT | {
        "LD_PRELOAD": library,
        "PYTHONPATH": f"{folder}:{ROOT}",
        "ASAN_OPTIONS": f"{ENVIRONMENT['ASAN_OPTIONS']}:abort_on_error=0:exitcode=99:handle_segv=0",
    }


def use(folder: Path) -> None:
    """From here on this process imports the instrumented modules. Before any of siphon is imported."""
    sys.meta_path.insert(0, _Finder(folder))
