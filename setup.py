"""Builds the compiled modules: every `*_cy.py` and `*.pyx` of the three packages.

Without a C compiler, Cython or the Python headers the build ends with a message that names what is missing; nothing
degrades to an interpreted fallback. SIPHOND_ONLY=shm,siphon/sip/_scan_cy.py builds a part (developers).
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
PACKAGES = ("siphon", "workers", "shm")
COMMANDS = {"build", "build_ext", "build_py", "bdist_wheel", "install", "develop", "editable_wheel"}
FLAGS = ["-O2", "-g", "-fno-strict-aliasing", "-Wno-unused-function"]


def sources() -> list[Path]:
    only = [part for part in os.environ.get("SIPHOND_ONLY", "").split(",") if part]
    found: list[Path] = []
    for package in PACKAGES:
        for pattern in ("*_cy.py", "*.pyx"):
            found.extend(p.relative_to(ROOT) for p in sorted((ROOT / package).rglob(pattern)))
    return [p for p in found if not only or any(f"{p}/".startswith(part + "/") for part in only)]


def require_toolchain() -> None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        sys.exit(f"siphond: building needs a C compiler; '{compiler}' was not found (Debian: gcc libc6-dev)")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        sys.exit(f"siphond: building needs the Python headers; {header} was not found (Debian: python3-dev)")
    try:
        import Cython  # noqa: F401
    except ImportError:
        sys.exit("siphond: building needs Cython 3; it was not found (pip install 'cython>=3.0')")


def extensions() -> list[Extension]:
    return [
        Extension(str(p.with_suffix("")).replace("/", "."), [str(p)], extra_compile_args=FLAGS, libraries=["pthread"])
        for p in sources()
    ]


def compiled() -> list[Extension]:
    require_toolchain()
    from Cython.Build import cythonize

    directives = {"language_level": 3, "embedsignature": True}
    jobs = len(os.sched_getaffinity(0))
    modules: list[Extension] = cythonize(extensions(), compiler_directives=directives, quiet=True, nthreads=jobs)
    return modules


if __name__ == "__main__":  # cythonize starts processes that may import this file again
    jobs = len(os.sched_getaffinity(0))
    setup(ext_modules=compiled() if COMMANDS & set(sys.argv) else [], options={"build_ext": {"parallel": jobs}})
