"""Bans that nodes on one Redis tell each other: one stream, which each node reads to its end again and again.

An entry says that a node has made a ban, or that one was taken back before its end. A node writes what it finds changed
in its own table and applies what others have written; so a ban reaches the others within some seconds, and while Redis
is away each node goes on with what it has. Who begins anew reads everything, what it wrote itself too, so that a node
whose machine was booted gets its bans back.

    node A: bans, + in the stream              node B: reads +, has it
                                               siphonctl bans remove; - in the stream
    node A: reads -, removes it

The stream keeps about KEPT entries: a node that was away for longer than these last misses some, until they end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from siphon.services.bans.bans import Ban, Bans
from siphon.services.store import BadRecord, StoreError, pack, unpack
from siphon.state.redis.script import Answer, Script, Value

KEPT = 100_000
AT_ONCE = 200
ADDED, REMOVED = "+", "-"
_VERSION = 1
_FIELDS = 8

TELL = Script(
    "bans_tell",
    """
    for n = 2, #ARGV do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'b', ARGV[n]) end
    return #ARGV - 1
    """,
)
READ = Script(
    "bans_read",
    """
    local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
    local flat = {}
    for _, entry in ipairs(found) do
        flat[#flat + 1] = entry[1]
        flat[#flat + 1] = entry[2][2]
    end
    return flat
    """,
    writes=False,
)

Asker = Callable[[Script, Iterable[bytes], Iterable[object]], Awaitable[Answer]]


class Exchange:
    """Of one node. `ask` runs a script in the partition that has the stream `key`."""

    def __init__(self, bans: Bans, node: str, key: bytes, ask: Asker, wall: Callable[[], float]) -> None:
        self._bans = bans
        self._node = node
        self._key = key
        self._ask = ask
        self._wall = wall
        self._at = b""
        self._known: dict[tuple[str, str], Ban] = {}
        self._began = False

    async def turn(self) -> None:
        """Read what is new, then tell what has changed here. StoreError when the store did not answer."""
        await self._read()
        await self._tell()

    async def _read(self) -> None:
        while True:
            start = b"(" + self._at if self._at else b"-"
            answer = await self._ask(READ, [self._key], [start, str(AT_ONCE).encode()])
            if not isinstance(answer, Value):
                raise StoreError(answer.why)
            flat: list[bytes] = answer.value or []
            for place in range(0, len(flat) - 1, 2):
                self._apply(flat[place + 1])
                self._at = flat[place]
            if len(flat) < 2 * AT_ONCE:
                return

    def _apply(self, data: bytes) -> None:
        try:
            _, operation, node, source, user, reason, made_at, until = unpack(data, _VERSION, _FIELDS)
        except BadRecord:
            return
        own = node == self._node
        if (own and self._began) or not all(isinstance(text, str) for text in (operation, source, user, reason, node)):
            return
        if operation == REMOVED:
            self._bans.remove(source, user)
            self._known.pop((source, user), None)
        elif operation == ADDED and isinstance(made_at, float) and isinstance(until, float) and until > self._wall():
            ban = Ban(source, user, reason, made_at, until, "" if own else node)
            self._bans.add(ban)
            self._known[source, user] = ban

    async def _tell(self) -> None:
        now = self._wall()
        there = {(ban.source, ban.user): ban for ban in self._bans.list()}
        changed = [
            self._entry(ADDED, ban)
            for name, ban in there.items()
            if not ban.node and (name not in self._known or self._known[name].until < ban.until)
        ]
        changed += [
            self._entry(REMOVED, ban)
            for name, ban in self._known.items()
            if name not in there and ban.until > now + 1.0 and self._began
        ]
        for place in range(0, len(changed), AT_ONCE):
            answer = await self._ask(TELL, [self._key], [str(KEPT).encode(), *changed[place : place + AT_ONCE]])
            if not isinstance(answer, Value):
                raise StoreError(answer.why)
        self._known, self._began = there, True

    def _entry(self, operation: str, ban: Ban) -> bytes:
        return pack([_VERSION, operation, self._node, ban.source, ban.user, ban.reason, ban.made_at, ban.until])
