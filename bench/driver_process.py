"""The load generator of bench/driver: compiled when its sources have changed, run, its line of JSON read."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = Path(__file__).parent / "driver"
FLAGS = ["-O2", "-g", "-Wall", "-Wextra"]


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]


def built(place: Path = ROOT / "build" / "bench") -> Path:
    """The program, named by a hash of its sources."""
    files = sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")])
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    program = place / f"driver-{digest}"
    if program.exists():
        return program
    command = compiler()
    if shutil.which(command[0]) is None:
        raise RuntimeError(
            f"the load generator needs a C compiler; '{command[0]}' was not found (Debian: gcc libc6-dev)"
        )
    place.mkdir(parents=True, exist_ok=True)
    made = place / f"{program.name}.{os.getpid()}"
    sources = [str(file) for file in files if file.suffix == ".c"]
    subprocess.run([*command, *FLAGS, "-o", str(made), *sources, "-lm"], check=True)
    made.replace(program)
    return program


@dataclass
class Counted:
    """What one run of the driver says."""

    started: int
    completed: int
    failed: int
    retransmissions: int
    """Messages that callers and callees sent again because nothing came for T1."""
    repeats: int
    """Messages that came again although none was sent again."""
    strays: int
    timeouts: int
    lost_sends: int
    seconds: float
    lag_ms: float
    """The most that a call was started too late: the driver had no time."""
    stopped: bool
    driver_cpu_seconds: float
    delay_us: dict[str, float]
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Completed calls a second."""
        return self.completed / self.seconds if self.seconds else 0.0

    @property
    def clean(self) -> bool:
        """No failure, and nothing was sent twice by anyone."""
        return not (self.failed or self.retransmissions or self.repeats or self.stopped)


def run(options: dict[str, Any], seconds: float) -> Counted:
    """One run with these options (True: without a value, False: not at all), at most `seconds` long."""
    line = [str(built())]
    for name, value in options.items():
        if value is False:
            continue
        line += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    done = subprocess.run(line, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stderr.strip()}")
    return Counted(**json.loads(done.stdout))
