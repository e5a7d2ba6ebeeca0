"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
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


def description() -> dict[str, Any]:
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in field("/proc/cpuinfo", "flags").split(),
        "memory_mb": int(field("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "siphond": commit(),
        "kamailio": kamailio_server.version(),
        "load_before": round(os.getloadavg()[0], 2),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def in_words(machine: dict[str, Any]) -> str:
    kind = "virtual machine" if machine["virtual"] else "machine"
    return (
        f"{machine['cores']} cores of a {kind} ({machine['cpu']}), Linux {machine['kernel']}, "
        f"Python {machine['python']}, load {machine['load_before']} before; "
        f"siphond {machine['siphond']}, Kamailio {machine['kamailio'] or 'not installed'}"
    )
