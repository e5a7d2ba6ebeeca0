"""What lies around a record in Redis: version, writer, owner, deadline and a checksum, before the record's own bytes.

    magic 2 | version 8 | writer 20 | owner's node 2 | kind 1 | deadline 8 | checksum 8 | the record

Big endian. The scripts compare and move parts of it as bytes and understand none of them; their positions are given to
them from here (siphon/state/redis/scripts.py). The checksum covers the key, the record and all before it but the owner,
which a take-over changes in place. What does not fit is nobody's record: random bytes in Redis, or a record that was
put under another key, are seen and never decoded.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from siphon.state.redis.remote import Found, Write, Writer

MAGIC = b"s1"
"""Of this layout; a record of another is nobody's."""

_HEAD = struct.Struct(">2sQHHQQHBd8s")
_VERSION = struct.Struct(">Q")
_NODE = struct.Struct(">H")

HEAD_BYTES = _HEAD.size
VERSION_AT = 2
WRITER_AT = 10
NODE_AT = 30
KIND_AT = 32
SUM_AT = 41
RECORD = 0
TOMBSTONE = 1


def seal(write: Write) -> bytes:
    """The bytes to store for a write."""
    kind = TOMBSTONE if write.value is None else RECORD
    value = write.value or b""
    head = _HEAD.pack(MAGIC, write.version, *write.writer, write.node, kind, write.deadline, b"")
    return head[:SUM_AT] + _checksum(write.key, head, value) + value


def unseal(key: bytes, data: bytes) -> Found | None:
    """What lies under the key; None for a tombstone."""
    if len(data) < HEAD_BYTES:
        return Found(0, b"", 0, 0.0, sound=False)
    magic, version, _, _, _, _, node, kind, deadline, checksum = _HEAD.unpack_from(data)
    value = data[HEAD_BYTES:]
    if magic != MAGIC or checksum != _checksum(key, data, value):
        return Found(version, b"", 0, 0.0, sound=False)
    return None if kind == TOMBSTONE else Found(version, value, node, deadline)


def writer_of(data: bytes) -> Writer:
    """Who wrote what is stored."""
    return Writer(*_HEAD.unpack_from(data)[2:6])


def version_bytes(version: int) -> bytes:
    """A version as the scripts compare it; b"" for none."""
    return _VERSION.pack(version) if version else b""


def version_of(data: bytes) -> int:
    """Of the bytes that a script gave."""
    return int(_VERSION.unpack(data)[0])


def node_bytes(node: int) -> bytes:
    """An owner as a take-over writes it."""
    return _NODE.pack(node)


def _checksum(key: bytes, head: bytes, value: bytes) -> bytes:
    made = blake2b(head[:NODE_AT], digest_size=8)
    made.update(head[KIND_AT:SUM_AT])
    made.update(key)
    made.update(value)
    return made.digest()
