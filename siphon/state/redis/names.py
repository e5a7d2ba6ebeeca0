"""How keys are named, so that one Lua script serves a single server and a Cluster alike.

All state is cut into PARTITIONS by a hash of its key. What belongs to one partition lies in one slot of a Cluster,
because its keys have the same hash tag:

    siphon:{s07}:...        the tag of partition 7; `key_slot` of it names the slot

LAYOUT is the version of everything that is stored: names, fields, scripts. Nodes of different versions must not work
on the same keys (agreement.py).
"""

from __future__ import annotations

from zlib import crc32

from redis.crc import key_slot

PARTITIONS = 64
LAYOUT = 1


def partition(key: bytes) -> int:
    """0..63. Spread evenly; who may choose keys must not be able to choose partitions, so keys are keyed hashes."""
    return crc32(key) & (PARTITIONS - 1)


class Names:
    """Keys that begin with one prefix, which holds no braces."""

    __slots__ = ("_tags", "prefix")

    def __init__(self, prefix: str = "siphon:") -> None:
        if "{" in prefix or "}" in prefix:
            raise ValueError("must not hold braces: they name the slot in a Cluster")
        self.prefix = prefix
        self._tags = [f"{prefix}{{s{number:02d}}}:".encode() for number in range(PARTITIONS)]

    def key(self, number: int, kind: bytes, name: bytes = b"") -> bytes:
        """The key of something of one kind in a partition."""
        return self._tags[number] + kind + (b":" + name.hex().encode() if name else b"")

    def channel(self) -> bytes:
        """Where a hint is published for each entry of a stream."""
        return self.prefix.encode() + b"hints"


def slot(number: int) -> int:
    """The slot of a Cluster that holds a partition."""
    found: int = key_slot(f"{{s{number:02d}}}".encode())
    return found
