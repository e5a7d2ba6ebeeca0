"""Breaks a process of siphond a second: kill -9, SIGSTOP, or no memory for it any more.

A stopped process is left to the supervisor. One without memory has a limit of its data (RLIMIT_DATA) below what it
has, so that its next allocation fails; what it has may last it for a while.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from proxy_process import Siphond

from load.footprint import processes_of

HELPER_ONE_IN = 8
WAYS = ("kill", "stop", "memory")


@dataclass(frozen=True, slots=True)
class Break:
    at: float
    way: str
    title: str
    pid: int


class Breaker(threading.Thread):
    """A context manager: breaks things while it is entered."""

    def __init__(self, siphond: Siphond, seed: int, every: float = 1.0, ways: tuple[str, ...] = WAYS) -> None:
        super().__init__(daemon=True)
        self.siphond, self.every, self.ways = siphond, every, ways
        self.random = random.Random(seed)
        self.enough = threading.Event()
        self.broken: list[Break] = []

    def run(self) -> None:
        while not self.enough.wait(self.every):
            self.break_one()

    def break_one(self) -> None:
        wanted = "helper" if self.random.randrange(HELPER_ONE_IN) == 0 else "worker"
        way = self.random.choice(self.ways)
        chance = self.random.random()
        titles = {pid: title for pid, title in processes_of(self.siphond).items() if title.startswith(wanted)}
        if not titles:
            return
        pid = sorted(titles)[int(chance * len(titles))]
        with suppress(ProcessLookupError):
            break_process(pid, way)
            self.broken.append(Break(time.time(), way, titles[pid], pid))

    def by_way(self) -> str:
        found = Counter(broken.way for broken in self.broken)
        return ", ".join(f"{way} {found[way]}" for way in self.ways)

    def __enter__(self) -> Breaker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self.join()


def break_process(pid: int, way: str) -> None:
    if way == "kill":
        os.kill(pid, signal.SIGKILL)
    elif way == "stop":
        os.kill(pid, signal.SIGSTOP)
    else:
        _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
        resource.prlimit(pid, resource.RLIMIT_DATA, (4096, hard))
