"""`siphonctl log-level`: another level than `log.level` says, for all processes and without a reload.

It is three bits beside the flags of the slot table. Each process looks at them once a second, so that the path of a
message knows nothing of it: helpers from their asyncio loop, workers in the turn in which other work of each second is
done, so that an idle one wakes once for all of it. The supervisor looks before each line. It ends with `siphonctl
log-level reset` and with a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shm.slots import Slots
from siphon.config.log import LEVELS, Log

LOOK_SECS = 1.0
SHIFT = 16
NAMES = ("debug", "info", "warn", "error")
MASK = 0b111 << SHIFT


def set_level(slots: Slots, name: str | None) -> None:
    """`None`: what the configuration says holds again."""
    slots.lower_flags(MASK)
    if name is not None:
        slots.raise_flags((NAMES.index(name) + 1) << SHIFT)


def level_of(slots: Slots) -> str | None:
    """The level that was set; None where none is, and for what no release has written."""
    number = (slots.flags & MASK) >> SHIFT
    return NAMES[number - 1] if 1 <= number <= len(NAMES) else None


def apply(log: Log, slots: Slots) -> None:
    """Log at the level that was set, or at that of the configuration."""
    name = level_of(slots)
    log.override(None if name is None else LEVELS[name])


class Follower:
    """Lets this process's log follow it; `also` looks as often. `look` is to be called at `next_at`, a time of
    CLOCK_BOOTTIME."""

    def __init__(self, log: Log, slots: Slots, also: Callable[[Slots], None] | None = None) -> None:
        self._log = log
        self._slots = slots
        self._also = also
        self.next_at = 0.0

    def look(self, now: float) -> None:
        self.next_at = now + LOOK_SECS
        apply(self._log, self._slots)
        if self._also is not None:
            self._also(self._slots)


def follow(log: Log, slots: Slots, loop: asyncio.AbstractEventLoop) -> None:
    """Let this process's log follow it from now on."""

    def look() -> None:
        apply(log, slots)
        loop.call_later(LOOK_SECS, look)

    look()
