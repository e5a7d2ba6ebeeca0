"""What one process counts and logs: the core's Reporter and the handlers' Watch.

Counters lie in the process's slot, where siphonctl reads them. All that the core reports may be brought about by peers
or by one fault of many records, so of each kind a few lines a second are written and the rest is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from siphon.config.log import ERROR, INFO, WARN, Log
from siphon.engine.counters import Counter

LINES_PER_SECOND = 5


class Count(Protocol):
    """Adds to a counter of this slot: shm.slots.Slots.adder(), one call of compiled code."""

    def __call__(self, counter: Counter, number: int = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class Reports:
    """Of one process."""

    log: Log
    count: Count
    enter: Callable[[], None]
    """A handler begins."""
    leave: Callable[[], None]
    """A handler has returned (or awaits)."""

    def error(self, event: str, record_key: bytes, **facts: object) -> None:
        """Log a fault of ours or of the store."""
        self._write(ERROR, event, record_key, facts)

    def warn(self, event: str, record_key: bytes, **facts: object) -> None:
        """Log what works and should be looked at."""
        self._write(WARN, event, record_key, facts)

    def note(self, event: str, record_key: bytes, **facts: object) -> None:
        """Log what peers can cause at will."""
        self._write(INFO, event, record_key, facts)

    def _write(self, level: int, event: str, record_key: bytes, facts: dict[str, object]) -> None:
        self.log.often(level, event, LINES_PER_SECOND, record=record_key.hex() or "-", **facts)
