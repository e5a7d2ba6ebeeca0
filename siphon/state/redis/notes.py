"""Small facts beside the transactions that all nodes must know: which INVITE an answer's tags belong to, and how often
a nonce has been used. Each is a string of Redis that goes by itself.

A `use` raises the count of a nonce, once for each: what is not higher is refused, whoever used it, except to the
transaction whose use it was (a handler that is run again asks again). Random bytes count as used up.
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.state.redis.link import Link
from siphon.state.redis.names import Names, partition
from siphon.state.redis.script import Script, Value
from siphon.state.store import Wait

_PUT = Script("note.put", "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1")
_GET = Script(
    "note.get", "local found = redis.pcall('GET', KEYS[1]) return type(found) == 'string' and found", writes=False
)
_REMEMBERED = 8
"""Transactions that are known again for one nonce."""

# KEYS: the nonce. ARGV: count, transaction (16 hex digits), ms to live, 1 if it is good once only.
_USE = Script(
    "nonce.use",
    f"""
    local held = redis.pcall('GET', KEYS[1])
    local users = ''
    if held then
      local count, known = string.match(type(held) == 'string' and held or '', '^(%d+):([%x,]*)$')
      if not count then return 0 end
      if string.find(known, ARGV[2], 1, true) then return 1 end
      if tonumber(ARGV[1]) <= tonumber(count) or ARGV[4] == '1' then return 0 end
      users = string.sub(known, -{17 * (_REMEMBERED - 1)})
    end
    redis.call('SET', KEYS[1], ARGV[1] .. ':' .. users .. ARGV[2] .. ',', 'PX', ARGV[3])
    return 1
    """,
)
KEY_BYTES = 8


class Notes:
    """Over one process's link. Keys are keyed hashes, the same on all nodes."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._puts: dict[bytes, Wait] = {}

    def put(self, key: bytes, value: bytes, secs: float) -> None:
        """What is lost costs a fallback, so nobody asks what became of it; but see `under_way`."""
        number = partition(key)
        put = self._link.call(_PUT, number, (self._names.key(number, b"a", key),), (value, max(1, round(secs * 1000))))
        self._puts[value] = put
        put.then(lambda _: self._ended(value, put))

    def under_way(self, value: bytes) -> Wait | None:
        """The put of a value that has not been answered. The datagrams that make a peer ask another node for it are
        not to leave before: a call may overtake the one before it, by another server of a Cluster, or on one server
        that did not know the script yet."""
        return self._puts.get(value)

    def _ended(self, value: bytes, put: Wait) -> None:
        if self._puts.get(value) is put:
            del self._puts[value]

    def get(self, key: bytes, then: Callable[[bytes | None], None]) -> None:
        """`then` gets the value; None where there is none, or the store does not say."""
        number = partition(key)
        called = self._link.call(_GET, number, (self._names.key(number, b"a", key),))
        called.then(lambda answer: then(answer.value if isinstance(answer, Value) else None))

    def use(self, nonce: bytes, count: int, transaction: bytes, secs: float, once: bool) -> Wait:
        """True: the nonce was good for that. False: it was used. None: the store does not say."""
        number = partition(nonce)
        user = transaction[:KEY_BYTES].hex()
        arguments = (count, user, max(1, round(secs * 1000)), int(once))
        wait = Wait()
        called = self._link.call(_USE, number, (self._names.key(number, b"c", nonce),), arguments)
        called.then(lambda answer: wait.resolve(bool(answer.value) if isinstance(answer, Value) else None))
        return wait
