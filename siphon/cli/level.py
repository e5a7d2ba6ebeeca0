"""`siphonctl log-level`: another level than `log.level` says, for all processes and without a reload.

It is three bits beside the flags of the slot table. Each process looks at them once a second from its asyncio loop, so
that the path of a message knows nothing of it; the supervisor looks before each line. It ends with `siphonctl log-level
reset` and with a stop.
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


def follow(
    log: Log, slots: Slots, loop: asyncio.AbstractEventLoop, also: Callable[[Slots], None] | None = None
) -> None:
    """Let this process's log follow it from now on; `also` looks as often."""

    def look() -> None:
        apply(log, slots)
        if also is not None:
            also(slots)
        loop.call_later(LOOK_SECS, look)

    look()
