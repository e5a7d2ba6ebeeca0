"""How much of the machine's memory an instance takes, for `proxy.memory_used_pct()`.

What each process has for itself is read from /proc/PID/statm: resident pages less those that it shares with files. What
they share is counted once: the tables as they are allocated, or the largest share of a process where that is more.
Pages that a worker still has in common with the supervisor since the fork are counted for both, so the sum is rather
too high. The finer figure of the kernel (PSS) walks every page of the tables, which takes milliseconds; this takes some
twenty microseconds a process, once a second at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

KEEP_SECS = 1.0


class MemoryUse:
    """`pids` gives the processes of the instance, `tables` the bytes of its shared memory."""

    def __init__(
        self, pids: Callable[[], Iterable[int]], tables: int, clock: Callable[[], float], proc: Path = Path("/proc")
    ) -> None:
        self._pids = pids
        self._tables = tables
        self._clock = clock
        self._proc = proc
        self._read_at = -KEEP_SECS
        self._percent = 0

    def percent(self) -> int:
        """In percent of the machine, 1 at least; 0 when it cannot be told. Kept for a second."""
        now = self._clock()
        if now - self._read_at >= KEEP_SECS:
            self._read_at = now
            self._percent = self._read()
        return self._percent

    def _read(self) -> int:
        own, shared = 0, self._tables
        page = os.sysconf("SC_PAGE_SIZE")
        try:
            machine = self._machine()
            for pid in set(self._pids()):
                resident, common = self._pages(pid)
                own += (resident - common) * page
                shared = max(shared, common * page)
        except (OSError, ValueError, IndexError):
            return 0
        return max(1, (own + shared) * 100 // machine)

    def _pages(self, pid: int) -> tuple[int, int]:
        """Resident and shared; nothing for a process that has just gone."""
        try:
            fields = (self._proc / str(pid) / "statm").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return 0, 0
        return int(fields[1]), int(fields[2])

    def _machine(self) -> int:
        for line in (self._proc / "meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
        raise ValueError("no MemTotal")
