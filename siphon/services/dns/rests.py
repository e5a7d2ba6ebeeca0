"""Addresses that have asked for a rest: 503 with Retry-After (RFC 3261 §21.5.4), known to all workers.

A small record an address, with an expiry, in a table that all workers share. It only changes an order: an address that
rests is tried after the others. So nothing here raises, and what does not fit or cannot be read is not known. Times are
wall time.
"""

from __future__ import annotations

from collections.abc import Sequence

from siphon.services.dns.order import Address
from siphon.services.store import RecordTable, pack, record_key

LONGEST = 300.0
"""Seconds; a server that says more is asked again after this long."""
OWNER = 0
_VALUE = pack([1])


class Rests:
    """`hash_key` keys the table's keys."""

    def __init__(self, table: RecordTable, hash_key: bytes) -> None:
        self._table = table
        self._hash_key = hash_key

    def note(self, address: Address, seconds: float, wall: float) -> None:
        """The address wants to be left alone for `seconds`."""
        key = self._key(address)
        head = self._table.get(key)
        if isinstance(head, int):
            return
        version = 0 if head is None else head[0]
        until = wall + min(seconds, LONGEST)
        self._table.commit(key, version, _VALUE, owner=OWNER, next_deadline=wall, expiry=until)

    def last(self, addresses: Sequence[Address]) -> list[Address]:
        """The same addresses, those that rest after the others; the order is kept otherwise."""
        if len(addresses) < 2:
            return list(addresses)
        return sorted(addresses, key=self._rests)

    def _rests(self, address: Address) -> bool:
        return isinstance(self._table.get(self._key(address)), tuple)

    def _key(self, address: Address) -> bytes:
        return record_key(self._hash_key, b"r", b"%b %d" % (address[0].encode(), address[1]))
