"""What names have resolved to, known to all workers: the second level of the cache (RFC 1035 §7.4, RFC 2308).

A record a hop in the table of hints, with the wall time until which it holds. A worker that has no answer of its own
reads here before it asks a server, and writes what it was told, answers without addresses included. Two workers that
ask for the same hop at once both write: the last one stays, and either is right. That nobody answered is written only
where nothing is known, so a worker whose questions got lost does not hide the answer of another.

So nothing here raises: what does not fit is not shared, and what cannot be read is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from siphon.forwarding.next_hop import Hop, numeric_host
from siphon.services.dns.lookup import ADDRESSES, SERVERS
from siphon.services.dns.order import Address, Server
from siphon.services.store import RecordTable, pack, record_key, unpack

OWNER = 0
_VERSION = 1
_FIELDS = 3


class Known(NamedTuple):
    """The servers of a hop and for how many seconds more they hold."""

    seconds: float
    servers: tuple[Server, ...]


class Answers:
    """`hash_key` keys the table's keys, `wall` is the clock (epoch seconds)."""

    def __init__(self, table: RecordTable, hash_key: bytes, wall: Callable[[], float]) -> None:
        self._table = table
        self._hash_key = hash_key
        self._wall = wall

    def find(self, hop: Hop, families: Sequence[int]) -> Known | None:
        """What some worker was told and what still holds; None when that is nothing."""
        found = self._table.get(self._key(hop, families))
        if not isinstance(found, tuple):
            return None
        try:
            _, until, rows = unpack(found[1], _VERSION, _FIELDS)
            left = float(until) - self._wall()
            return Known(left, _servers(rows)) if left > 0 else None
        except (ValueError, TypeError):
            return None

    def keep(self, hop: Hop, families: Sequence[int], servers: Sequence[Server], seconds: float, faulty: bool) -> None:
        """Tell the others. `faulty`: somebody did not answer, so what is known already stays."""
        key = self._key(hop, families)
        head = self._table.head(key)
        if isinstance(head, int) or (faulty and head is not None):
            return
        wall = self._wall()
        value = pack([_VERSION, wall + seconds, [[s.priority, s.weight, s.addresses] for s in servers]])
        version = 0 if head is None else head.version
        self._table.commit(key, version, value, owner=OWNER, next_deadline=wall, expiry=wall + seconds)

    def _key(self, hop: Hop, families: Sequence[int]) -> bytes:
        text = f"{hop.port}:{hop.transport_named:d}:{families}:{hop.host}"
        return record_key(self._hash_key, b"n", text.encode("utf-8", "surrogateescape"))


def _servers(rows: Any) -> tuple[Server, ...]:
    if not isinstance(rows, list) or len(rows) > SERVERS:
        raise ValueError("servers")
    return tuple(Server(int(priority), int(weight), _addresses(found)) for priority, weight, found in rows)


def _addresses(rows: Any) -> tuple[Address, ...]:
    if not isinstance(rows, list) or len(rows) > ADDRESSES:
        raise ValueError("addresses")
    return tuple(_address(ip, port) for ip, port in rows)


def _address(ip: Any, port: Any) -> Address:
    if not isinstance(ip, str) or numeric_host(ip) is None or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("address")
    return ip, port
