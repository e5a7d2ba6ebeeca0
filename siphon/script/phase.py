"""When a script may do what with a request."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """OPEN: handlers of a request or a failed attempt run. INERT: on_reply, on_cancel. CLOSED: they have returned."""

    OPEN = 0
    INERT = 1
    CLOSED = 2
