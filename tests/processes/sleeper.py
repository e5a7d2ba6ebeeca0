"""Whether the machine runs its processes: one that only sleeps 10 ms at a time notes when it was woken much too late.

A test that measures time on a busy machine takes it off; one that counts retransmissions knows what to excuse.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

KEPT_WAITING = 0.03
"""Share of the time that a process was to run and did not, from which on a machine is one that has no time."""
CROWD = 3
"""Runnable processes a processor, likewise. The tests themselves make one or two."""


def crowded() -> bool:
    """Whether more processes have been runnable in the last minute than this machine can serve: one that sleeps is
    woken in time even so, one that works is not."""
    return os.getloadavg()[0] > CROWD * (os.cpu_count() or 1)


class Sleeper:
    """The process and its notes, a file."""

    PROGRAM = """
import time
before = time.time()
while True:
    time.sleep(0.01)
    now = time.time()
    if now - before > 0.03:
        print(before, now, flush=True)
    before = now
"""

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self.began = time.time()
        with notes.open("wb") as output:
            self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM], stdout=output)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def stalls(self, start: float, end: float) -> float:
        """Seconds between these times in which it was to run and did not."""
        *whole, _ = self.notes.read_text().split("\n")
        rows = [tuple(map(float, line.split())) for line in whole]
        return sum(max(0.0, min(end, after) - max(start, before) - 0.01) for before, after in rows)

    def slack(self, start: float) -> float:
        """Seconds that what began at this time may have taken longer than promised: what the machine has kept a process
        waiting, twice, and 10 where it is crowded. None on a machine that does its part."""
        return 2 * self.stalls(start, time.time()) + (10 if crowded() else 0)

    def excused(self, rate: float) -> int:
        """Retransmissions that a driver of `rate` calls a second may count: none while the machine has done its part,
        else those of the calls that its stalls may have touched, or of each tenth where it is crowded."""
        now = time.time()
        touched = 2 * self.stalls(self.began, now)
        return round(rate * (touched + (now - self.began) / 10 if crowded() else touched))

    def carried(self, rates: Sequence[float], attempt: Callable[[float], None]) -> None:
        """Makes the attempt at the first rate, which must pass; where it does not and the machine has kept processes
        waiting meanwhile, at the next one, and at the last in any case."""
        for rate in rates[:-1]:
            began = time.time()
            try:
                attempt(rate)
                return
            except AssertionError:
                now = time.time()
                if self.stalls(began, now) < KEPT_WAITING * (now - began) and not crowded():
                    raise
        attempt(rates[-1])
