"""Builds the compiled modules: every `*_cy.py` and `*.pyx` of the three packages.

Without a C compiler, Cython or the Python headers the build ends with a message that names what is missing; nothing
degrades to an interpreted fallback. CFLAGS is heard, a level of optimization in it too.
SIPHOND_ONLY=shm,siphon/sip/_scan_cy.py builds a part (developers).

SIPHOND_PGO=count:DIR puts counters into the code, SIPHOND_PGO=use:DIR compiles by what they have counted: GCC's
profile-guided optimization (tools/pgo.py). DIR has the object files of both, for GCC finds the counts beside them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
PACKAGES = ("siphon", "workers", "shm")
COMMANDS = {"build", "build_ext", "build_py", "bdist_wheel", "install", "develop", "editable_wheel"}
OPTIMIZED = [] if " -O" in f" {os.environ.get('CFLAGS', '')}" else ["-O2"]
FLAGS = [*OPTIMIZED, "-g", "-fno-plt", "-fno-strict-aliasing", "-Wno-unused-function"]
COUNT = ["-fprofile-generate"]
USE = ["-fprofile-use", "-fprofile-correction", "-Wno-missing-profile"]


def compiler() -> str:
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]


def guidance() -> tuple[list[str], list[str], dict[str, str]]:
    """Flags of the compiler, of the linker, and options of build_ext, as SIPHOND_PGO says."""
    word, _, place = os.environ.get("SIPHOND_PGO", "").partition(":")
    if not word:
        return [], [], {}
    if word not in ("count", "use") or not place:
        sys.exit(f"siphond: SIPHOND_PGO is count:DIR or use:DIR, not '{os.environ['SIPHOND_PGO']}'")
    macros = [compiler(), "-dM", "-E", "-x", "c", "/dev/null"]
    said = subprocess.run(macros, capture_output=True, text=True, check=False).stdout
    if "__GNUC__" not in said or "__clang__" in said:
        sys.exit(f"siphond: profile-guided optimization needs GCC; '{compiler()}' is another compiler")
    if word == "use" and not any(Path(place).rglob("*.gcda")):
        sys.exit(f"siphond: nothing was counted in {place}")
    options = {"build_temp": str(Path(place).resolve())}
    return (COUNT, COUNT, options) if word == "count" else (USE, [], options)


def sources() -> list[Path]:
    only = [part for part in os.environ.get("SIPHOND_ONLY", "").split(",") if part]
    found: list[Path] = []
    for package in PACKAGES:
        for pattern in ("*_cy.py", "*.pyx"):
            found.extend(p.relative_to(ROOT) for p in sorted((ROOT / package).rglob(pattern)))
    return [p for p in found if not only or any(f"{p}/".startswith(part + "/") for part in only)]


def require_toolchain() -> None:
    if shutil.which(compiler()) is None:
        sys.exit(f"siphond: building needs a C compiler; '{compiler()}' was not found (Debian: gcc libc6-dev)")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        sys.exit(f"siphond: building needs the Python headers; {header} was not found (Debian: python3-dev)")
    try:
        import Cython  # noqa: F401
    except ImportError:
        sys.exit("siphond: building needs Cython 3; it was not found (pip install 'cython>=3.0')")


def extensions() -> list[Extension]:
    compile_args, link_args, _ = guidance()
    return [
        Extension(
            str(p.with_suffix("")).replace("/", "."),
            [str(p)],
            extra_compile_args=[*FLAGS, *compile_args],
            extra_link_args=link_args,
            libraries=["pthread"],
        )
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
    modules = compiled() if COMMANDS & set(sys.argv) else []
    setup(ext_modules=modules, options={"build_ext": {"parallel": jobs, **(guidance()[2] if modules else {})}})
