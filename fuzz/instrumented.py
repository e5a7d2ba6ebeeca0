"""The compiled modules of siphon/sip once more, built by clang so that libFuzzer and AddressSanitizer see them.

`build()` makes build/fuzz-HASH/ from the same sources as the production build: the modules, and the program that runs
a target on them (driver.c). The tree itself is not touched. `use(folder)` makes this process import those modules;
everything in Python still comes from the tree.
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

SOURCES = ROOT / "siphon/sip"
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
names = sorted(str(p) for p in Path("siphon").rglob(sys.argv.pop(1)))
modules = [Extension(n.removesuffix(".py").replace("/", "."), [n], libraries=["pthread"]) for n in names]
setup(name="fuzz", ext_modules=cythonize(
    modules, compiler_directives={"language_level": 3, "embedsignature": True}, quiet=True))
"""
"""The directives are those of setup.py."""


def missing() -> str:
    """What keeps the instrumented build from being made; empty when nothing does."""
    clang = shutil.which("clang")
    if clang is None:
        return "clang (Debian: clang)"
    line = [clang, f"--print-file-name=libclang_rt.fuzzer-{os.uname().machine}.a"]
    runtime = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    return "" if Path(runtime).exists() else "the sanitizers of clang (Debian: libclang-rt-dev)"


def fingerprint(sources: Path, only: str) -> str:
    """Of all that the build is made from."""
    digest = hashlib.sha256(f"{SETUP}{FLAGS}{SANITIZERS}{only}{sys.version}".encode())
    for path in [*sorted(p for p in sources.iterdir() if p.suffix in (".py", ".pxd", ".h")), ROOT / "fuzz/driver.c"]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build(sources: Path = SOURCES, only: str = "*_cy.py") -> Path:
    """The folder with `driver` and the modules whose names match `only`; made when something of it has changed."""
    wanted = ROOT / "build" / f"fuzz-{fingerprint(sources, only)}"
    if wanted.exists():
        return wanted
    wanted.parent.mkdir(exist_ok=True)
    with (wanted.parent / "fuzz.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who wants the same meanwhile waits for it
        if not wanted.exists():
            _build(wanted, sources, only)
    return wanted


def _build(wanted: Path, sources: Path, only: str) -> None:
    with tempfile.TemporaryDirectory(dir=wanted.parent) as scratch:
        folder = Path(scratch) / "fuzz"
        (folder / "siphon").mkdir(parents=True)
        shutil.copy2(ROOT / "siphon/__init__.py", folder / "siphon")
        shutil.copytree(sources, folder / "siphon/sip", ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
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


def use(folder: Path) -> None:
    """From here on this process imports the instrumented modules. Before any of siphon is imported."""
    sys.meta_path.insert(0, _Finder(folder))
