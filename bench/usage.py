"""What the processes of a server have used: CPU from /proc, memory as PSS.

All processes that descend from the one that was started count, helpers and timers included. CPU is what the scheduler
noted for each thread (/proc/PID/task/TID/schedstat, ns), or user and system time in ticks of 10 ms where a kernel does
not keep that. PSS counts a page that n processes share as a n-th for each, so the sum is what the server occupies.
"""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
TICK_SECS = 1 / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all that descend from it; not those that have ended and that nobody has waited for."""
    found = [pid]
    for parent in found:
        for children in (PROC / str(parent) / "task").glob("*/children"):
            found.extend(child for child in map(int, children.read_text().split()) if not ended(child))
    return found


def ended(pid: int) -> bool:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of one process."""
    try:
        lines = [(task / "schedstat").read_text() for task in (PROC / str(pid) / "task").iterdir()]
        return sum(int(line.split()[0]) for line in lines) / 1e9
    except FileNotFoundError:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_SECS


def pss_bytes(pid: int) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


class Usage:
    """CPU that a server's processes use from now on. A process that ends meanwhile is an error: it would be a crash."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.before = {one: cpu_seconds(one) for one in tree(pid)}

    def seconds(self) -> float:
        now = {one: cpu_seconds(one) for one in tree(self.pid)}
        gone = self.before.keys() - now.keys()
        if gone:
            raise RuntimeError(f"processes of the server have ended: {sorted(gone)}")
        return sum(now.values()) - sum(self.before.values())
