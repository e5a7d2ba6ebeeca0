"""Requests that came by two paths and are answered here: RFC 3261 §8.2.2.2.

Who serves a request without a To tag by registrar.save() or a 2xx leaves a mark: a keyed hash of its From tag, Call-ID,
CSeq and method, and the id of its transaction. Another transaction that finds the mark of the first is a merged
request. All workers see it. It lasts 64*T1, as the transaction does that it stands for: who has given up by then may
ask again.

A transaction that finds its own mark is the first, so a repeat and handlers that run again after a death change
nothing. Nothing here raises: where the table is full, busy or unreadable, no request counts as merged.
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.services.store import CONFLICT, RecordTable, record_key

OWNER = 0
ID_BYTES = 16
FRESH_SECS = 1.0


class MergedRequests:
    """`hash_key` keys the table's keys, `lifetime` is in seconds, `wall` the clock (epoch seconds)."""

    def __init__(self, table: RecordTable, hash_key: bytes, lifetime: float, wall: Callable[[], float]) -> None:
        self._table = table
        self._hash_key = hash_key
        self._lifetime = lifetime
        self._wall = wall
        self._first = b"", 0.0
        """Whose mark was made last, and when: registrar.save() asks, and then the engine does."""

    def is_merged(self, transaction: bytes, method: str, call_id: bytes, from_tag: bytes, cseq: int) -> bool:
        """Whether another transaction has answered this request; if none has, this one does from now on. A request
        without a From tag (RFC 2543) is never merged."""
        if not from_tag or len(transaction) != ID_BYTES or self.has_just_marked(transaction):
            return False
        tag = from_tag.lower()  # a token (RFC 3261 §7.3.1)
        key = record_key(self._hash_key, b"m", b"%b %d %d:%b%b" % (method.encode(), cseq, len(tag), tag, call_id))
        for _ in range(2):
            found = self._table.get(key)
            if isinstance(found, tuple):
                return len(found[1]) == ID_BYTES and found[1] != transaction
            if found is not None:
                return False
            answer = self._mark(key, transaction)
            if answer != CONFLICT:
                if answer > 0:
                    self._first = transaction, self._wall()
                return False
        return False

    def has_just_marked(self, transaction: bytes) -> bool:
        """Whether this process has found a moment ago that it is the first: then nobody need look again."""
        known, at = self._first
        return transaction == known and 0.0 <= self._wall() - at < FRESH_SECS

    def _mark(self, key: bytes, transaction: bytes) -> int:
        wall = self._wall()
        expiry = wall + self._lifetime
        return self._table.commit(
            key, 0, transaction, owner=OWNER, next_deadline=wall, expiry=expiry, use_reserve=False
        )
