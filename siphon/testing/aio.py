"""An asyncio loop on the virtual clock: handlers sleep in virtual time. It has no selector and no sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class _Nothing:
    """A selector over nothing that never waits."""

    def select(self, timeout: float | None) -> list[Any]:
        """Nothing is ever readable."""
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one virtual worker; stepped by the world, as a real worker steps its own."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._abandoned = False
        self._failure: BaseException | None = None
        self.set_exception_handler(self._note)
        self._selector = _Nothing()

    def time(self) -> float:
        """Virtual seconds."""
        return self._clock()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def next_when(self) -> float | None:
        """When it wants to run: 0.0 for at once, None for never."""
        if self._ready:
            return 0.0
        return self._scheduled[0].when() if self._scheduled else None

    def step(self) -> None:
        """Run what is ready; its process may die of it."""
        self.stop()
        self.run_forever()
        if self._abandoned:
            self.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would only log: the death of the worker, or a fault of the engine."""
        self._failure = context.get("exception", self._failure)

    def abandon(self) -> None:
        """Its process is gone: what awaits never wakes, and nobody warns of it."""
        self._abandoned = True
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        for handle in [*self._ready, *self._scheduled]:
            handle.cancel()
        if not self.is_running():
            self.close()
