"""Lua scripts that run in the store, and what a call of one may answer.

The body of a script is Lua that returns one value; it sees KEYS, ARGV and `now`, the store's time in milliseconds. It
makes its checks first and its writes last: Redis does not undo the writes of a script that fails half way. A body that
writes must not depend on anything but its arguments and keys.

An answer is one of three, and who asked must know which:

    Value      it was done, this is what it returned
    Refused    it was surely not done
    Lost       nobody knows: the answer did not come. Read back before anything is told to a peer
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any, NamedTuple

_FRAME = """\
local siphon_time = redis.call('TIME')
local now = siphon_time[1] * 1000 + math.floor(siphon_time[2] / 1000)
local function body()
%s
end
return {siphon_time[1], siphon_time[2], body()}
"""


class Script:
    """A script and its digest. `name` is for the log."""

    __slots__ = ("digest", "name", "source", "writes")

    def __init__(self, name: str, body: str, *, writes: bool = True) -> None:
        self.name = name
        self.writes = writes
        self.source = (_FRAME % body).encode()
        self.digest = sha1(self.source, usedforsecurity=False).hexdigest().encode()


class Value(NamedTuple):
    """What the script returned: int, bytes, list or None. `at`: the store's time then, seconds. `replicated`: as many
    replicas as wanted have said that they have it; True where none were wanted."""

    value: Any
    at: float
    replicated: bool = True


class Refused(NamedTuple):
    """Surely not done."""

    why: str


class Lost(NamedTuple):
    """Unknown whether it was done, or still will be."""

    why: str


Answer = Value | Refused | Lost
