"""The namespace `timer`: periodic and one-shot timers (API 15.2).

What a decorator or a call says is checked here; timers themselves lie where all workers see them
(siphon/services/timers), and workers fire them (siphon/engine/script_timers.py). A one-shot timer whose handler is a
function of a module is stored by that name, so that any worker can fire it, with the code of then. Any other handler
cannot be found from elsewhere and stays in the worker that set it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from siphon.script import binding
from siphon.script.registry import add
from siphon.script.text import encode
from siphon.services.timers import LONGEST_KEY

Handler = TypeVar("Handler", bound=Callable[[], Any])
KIND = "timer.every"
LONGEST_SECS = 366 * 86400.0
"""A year: whoever asks for more has made a mistake in the unit."""


class TimerHandle:
    """One one-shot timer: it stands for the one that set() made, not for a later one of the same key."""

    __slots__ = ("_id", "_timers", "_version", "key")

    def __init__(self, timers: Any, key: str, where: bytes, version: int) -> None:
        self._timers = timers
        self._id = where
        self._version = version
        self.key: str = key

    def cancel(self) -> bool:
        """True where it was still pending; False where it has fired, was cancelled or replaced."""
        return bool(self._timers.remove(self._id, self._version))

    def __repr__(self) -> str:
        return f"<TimerHandle {self.key!r}>"


class Timer:
    """`from siphon import timer`."""

    __slots__ = ()

    def every(
        self, seconds: float, name: str | None = None, jitter: float = 0, per_worker: bool = False
    ) -> Callable[[Handler], Handler]:
        """Run a handler without arguments every `seconds`, plus 0..`jitter` each time, first after one interval. One
        worker of the instance runs it and runs never overlap; with `per_worker` every worker runs its own."""
        wait = _number(seconds, "seconds")
        spread = _number(jitter, "jitter")
        if not wait > 0:
            raise ValueError(f"seconds is a number > 0, not {seconds!r}")
        if name is not None:
            _key(name, "name")

        def apply(function: Handler) -> Handler:
            if not callable(function):
                raise TypeError(f"{KIND} decorates a function, not {type(function).__name__}")
            title = name or str(getattr(function, "__name__", KIND))
            facts = {"seconds": wait, "name": title, "jitter": spread, "per_worker": bool(per_worker)}
            return add(KIND, function, None, facts)

        return apply

    def set(self, key: str, delay_ms: float, handler: Callable[[str], Any]) -> TimerHandle:
        """Call `handler(key)` once, in `delay_ms`; a pending timer of the same key is replaced, whoever set it."""
        secs = _number(delay_ms, "delay_ms") / 1000
        if not callable(handler):
            raise TypeError(f"handler is a function, not {type(handler).__name__}")
        bound = binding.current()
        name = None if bound.script is None else bound.script.find_name(handler)
        timers = _timers(bound)
        where, version = timers.set(_key(key), secs, name, handler)
        return TimerHandle(timers, key, where, version)

    def cancel(self, key: str) -> bool:
        """Cancel the pending timer of that key, whoever set it; False where there is none."""
        return bool(_timers(binding.current()).cancel(_key(key)))

    @property
    def active_count(self) -> int:
        """Pending one-shot timers of the instance."""
        bound = binding.find()
        return 0 if bound is None or bound.services.timers is None else int(bound.services.timers.pending())

    def __repr__(self) -> str:
        return "<namespace timer>"


def _timers(bound: binding.Binding) -> Any:
    if bound.services.timers is None:
        raise RuntimeError("timers need a running siphond: they can be set by handlers, not while a script is loaded")
    return bound.services.timers


def _number(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    limit = LONGEST_SECS * (1000 if name == "delay_ms" else 1)
    if not 0 <= value <= limit:  # also nan
        raise ValueError(f"{name} is a number from 0 to {limit:g}, not {value!r}")
    return float(value)


def _key(key: str, what: str = "key") -> str:
    if not isinstance(key, str):
        raise TypeError(f"{what} is a str, not {type(key).__name__}")
    if len(encode(key)) > LONGEST_KEY:
        raise ValueError(f"{what} is longer than {LONGEST_KEY} bytes")
    return key
