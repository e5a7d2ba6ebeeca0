"""Names to addresses for next hops: a cache that decisions read, filled by the worker's asyncio loop.

The system's resolver (files, DNS) is asked for A and AAAA in a thread of the loop, so that the worker serves others
meanwhile. Answers, also negative ones, are kept for a bounded time. NAPTR, SRV and fail-over to further addresses
are not part of this release.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

KEPT_SECS = 30.0
MISSING_SECS = 5.0
MAX_NAMES = 10_000


class SystemResolver:
    """A cache over the system's resolver. `loop` is the worker's asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], timeout: float) -> None:
        self._loop = loop
        self._clock = clock
        self._timeout = timeout
        self._known: dict[str, tuple[float, list[str]]] = {}

    def cached(self, name: str) -> list[str] | None:
        """Addresses of the name, [] when it has none, None when it has to be looked up."""
        found = self._known.get(name.lower())
        return None if found is None or found[0] < self._clock() else found[1]

    def look_up(self, names: set[str], done: Callable[[], None]) -> None:
        """Look the names up; `done` is called when all have an answer, or after the time limit."""
        task = self._loop.create_task(self._look_up(names))
        task.add_done_callback(lambda _task: done())

    async def _look_up(self, names: set[str]) -> None:
        await asyncio.gather(*(self._one(name) for name in names))

    async def _one(self, name: str) -> None:
        addresses: list[str] = []
        try:
            asked = self._loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
            answers = await asyncio.wait_for(asked, self._timeout)
            addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, TimeoutError, UnicodeError):
            addresses = []
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[name.lower()] = (self._clock() + (KEPT_SECS if addresses else MISSING_SECS), addresses)
