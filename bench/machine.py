"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import kamailio_server

ROOT = Path(__file__).resolve().parents[1]


def field(path: str, name: str) -> str:
    """The first "name : value" of a file of /proc."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def available_mb() -> int:
    return int(field("/proc/meminfo", "MemAvailable").split()[0]) // 1024


def commit() -> str:
    line = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


WANTED = ("--enable-optimizations", "--with-lto")
"""Options with which Debian and most images build Python, and with which pyenv does not unless told to."""


DISTRIBUTION = "of the distribution"


def python_options(arguments: str | None, prefix: str = sys.base_prefix) -> list[str]:
    """Those of WANTED in the line with which a Python was configured (sysconfig's CONFIG_ARGS). What a distribution
    keeps there need not be of the program that it ships (Debian's names --enable-shared, and the program has no
    libpython), so for one in /usr all that is said is DISTRIBUTION."""
    if prefix == "/usr":
        return [DISTRIBUTION]
    given = {word.strip("'").partition("=")[0] for word in (arguments or "").split()}
    return [option for option in WANTED if option in given]


def warning(options: list[str]) -> str:
    """What to say of a Python built with no more than these of WANTED; "" when it has all."""
    lacking = [option for option in WANTED if option not in options]
    if not lacking or DISTRIBUTION in options:
        return ""
    return f"warning: this Python was built without {' and '.join(lacking)}: siphond is slower in it than in Debian's"


BY_PROFILE = "by profile"


def guided(root: Path = ROOT, suffix: str = sysconfig.get_config_var("EXT_SUFFIX")) -> str:
    """How the compiled modules of this Python were built, by the options that GCC notes in them: "by profile" (./dev
    build --pgo), "partly by profile" where some were built again since, or "without profile"."""
    modules = [path for package in ("siphon", "workers", "shm") for path in (root / package).rglob(f"*{suffix}")]
    found = sum(b"-fprofile-use" in path.read_bytes() for path in modules)
    if not found:
        return "without profile"
    return BY_PROFILE if found == len(modules) else f"partly {BY_PROFILE}"


def description() -> dict[str, Any]:
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in field("/proc/cpuinfo", "flags").split(),
        "memory_mb": int(field("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_options": python_options(sysconfig.get_config_var("CONFIG_ARGS")),
        "compiler": platform.python_compiler(),
        "siphond": commit(),
        "siphond_built": guided(),
        "kamailio": kamailio_server.version(),
        "load_before": round(os.getloadavg()[0], 2),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def in_words(machine: dict[str, Any]) -> str:
    kind = "virtual machine" if machine["virtual"] else "machine"
    options = machine["python_options"]
    built = [*options, *(f"without {option}" for option in WANTED if option not in options)]
    if DISTRIBUTION in options:
        built = options
    siphond = f"siphond {machine['siphond']} (built {machine['siphond_built']})"
    return (
        f"{machine['cores']} cores of a {kind} ({machine['cpu']}), Linux {machine['kernel']}, "
        f"Python {machine['python']} ({', '.join(built)}), load {machine['load_before']} before; "
        f"{siphond}, Kamailio {machine['kamailio'] or 'not installed'}"
    )
