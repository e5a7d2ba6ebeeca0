"""A standard asyncio loop that a worker steps from its own epoll.

Handlers and clients written for asyncio run on it, the datagrams of SIP never do. Its selector is an epoll of its
own, whose descriptor lies in the worker's epoll. A step is what asyncio itself defines for stop() before
run_forever(): poll once without waiting, run what is ready, return. The worker steps it when the descriptor is
readable, when callbacks wait or when the earliest timer is due; nobody else runs it. Its clock is CLOCK_BOOTTIME, the
`now` of everything else.

Two attributes of asyncio's base loop are read to learn when it wants to run: `_ready` and `_scheduled`. They have had
this meaning since Python 3.4; a test holds it.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from workers.net import boottime


class SteppedLoop(asyncio.SelectorEventLoop):
    _ready: "deque[asyncio.Handle]"
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        self.epoll = selectors.EpollSelector()
        super().__init__(self.epoll)

    def time(self) -> float:
        return boottime()


class Stepper:
    """Owns the loop of one process. Make it after fork."""

    def __init__(self) -> None:
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)

    def fileno(self) -> int:
        return self.loop.epoll.fileno()

    def next_when(self) -> float | None:
        """When the loop wants to run: 0.0 for at once, None for not before its descriptor is readable."""
        if self.loop._ready:
            return 0.0
        return self.loop._scheduled[0].when() if self.loop._scheduled else None

    def is_due(self, now: float) -> bool:
        when = self.next_when()
        return when is not None and when <= now

    def step_if_due(self, now: float) -> bool:
        if not self.is_due(now):
            return False
        self.step()
        return True

    def step(self) -> None:
        self.loop.stop()
        self.loop.run_forever()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it asyncio.get_running_loop() gives this loop: for the first send(None) to a coroutine."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def close(self) -> None:
        self.loop.close()
