"""Values that carry their own checksum, keys, and a mix of operations: what the drivers let their processes do."""

import os
import random
import struct
import zlib
from hashlib import blake2b

from shm.table import BUSY, CONFLICT, FULL, Table

HEADER = struct.Struct("<IQII")
POOL = random.Random(7).randbytes(16384)


def key_of(index: int) -> bytes:
    return blake2b(index.to_bytes(4, "little"), digest_size=16).digest()


def value_of(index: int, count: int, length: int) -> bytes:
    """A value of record `index`, the count-th, with a body of `length` bytes and a checksum over all."""
    body = POOL[count % 97 : count % 97 + length]
    head = HEADER.pack(index, count, len(body), 0)
    return HEADER.pack(index, count, len(body), zlib.crc32(head + body)) + body


def count_in(index: int, value: bytes) -> int:
    """The count of a value; AssertionError when the value is torn, mixed or another record's."""
    found, count, length, check = HEADER.unpack_from(value)
    body = value[HEADER.size :]
    assert found == index, f"record {index} holds a value of {found}"
    assert length == len(body), f"record {index}: {len(body)} bytes of {length}"
    assert check == zlib.crc32(HEADER.pack(found, count, length, 0) + body), f"record {index}: torn value"
    return int(count)


def scratch_folder() -> str:
    """Shared memory of our own: no test meets another's, or a running server's."""
    folder = f"/dev/shm/siphond-test-{os.getpid()}"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def step(table: Table, index: int, count: int, length: int, deleting: bool) -> int:
    """One read and one write of a record, checked: what the write answered, or BUSY of the read."""
    key = key_of(index)
    found = table.get(key)
    if found == BUSY:
        return BUSY
    if isinstance(found, tuple):
        count_in(index, found[1])
        if deleting:
            return table.delete(key, found[0])
        return table.commit(key, found[0], value_of(index, count, length), owner=1)
    return table.commit(key, 0, value_of(index, count, length), owner=1)


ANSWERS = {BUSY: "busy", CONFLICT: "conflict", FULL: "full"}
