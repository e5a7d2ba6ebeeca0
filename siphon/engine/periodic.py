"""Periodic timers as a script declares them, and those that every worker runs for itself (`per_worker=True`).

The latter are no records: nobody else could run them, and they begin anew with their process and with each version of
the script. Intervals are counted from the planned time, so they do not drift; what has passed is not made up for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from siphon.script.registry import Handler

Run = Callable[[Callable[..., object], tuple[object, ...], Callable[[], None]], None]
"""Calls a handler with arguments; the last argument is called when it has ended."""


class Every(NamedTuple):
    """A periodic timer: `key` tells it from the others of its script, `jitter` are seconds."""

    function: Callable[..., Any]
    seconds: float
    jitter: float
    key: str

    def next(self, planned: float, now: float, chance: float) -> float:
        """When it runs after a run that was planned for then; `chance` is from [0, 1)."""
        interval = self.seconds + self.jitter * chance
        return planned + interval if planned + interval > now else now + interval


def declared(handlers: tuple[Handler, ...]) -> Iterator[tuple[Every, bool]]:
    """(timer, per_worker) of each handler of timer.every. Equal names are told apart by their order."""
    seen: dict[str, int] = {}
    for handler in handlers:
        facts = handler.metadata or {}
        name = str(facts["name"])
        number = seen[name] = seen.get(name, 0) + 1
        every = Every(handler.function, facts["seconds"], facts["jitter"], f"{number} {name}")
        yield every, facts["per_worker"]


@dataclass(slots=True)
class _Own:
    every: Every
    at: float


class OwnTimers:
    """The periodic timers that this worker runs for itself."""

    def __init__(self, run: Run, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._run = run
        self._clock = clock
        self._chance = chance
        self._timers: dict[str, _Own] = {}
        self._running: set[str] = set()

    def load(self, timers: list[Every]) -> None:
        """Those of a script version, in place of the former ones. A run that goes on is waited for."""
        now = self._clock()
        self._timers = {every.key: _Own(every, every.next(now, now, self._chance())) for every in timers}

    def __len__(self) -> int:
        return len(self._timers)

    def next_at(self) -> float:
        """When one is due."""
        return min((own.at for own in self._timers.values() if own.every.key not in self._running), default=inf)

    def due(self, now: float) -> Iterator[Callable[[], None]]:
        """What is to be called now."""
        for own in list(self._timers.values()):
            if own.at <= now and own.every.key not in self._running:
                yield lambda own=own: self._call(own)  # type: ignore[misc]

    def _call(self, own: _Own) -> None:
        key = own.every.key
        self._running.add(key)

        def done() -> None:
            self._running.discard(key)
            current = self._timers.get(key)
            now = self._clock()
            if current is not None and current.at <= now:
                current.at = current.every.next(current.at, now, self._chance())

        self._run(own.every.function, (), done)
