"""The bytes of a journal: a head, written twice, then frames.

    head    magic 8, format u32, length u32, salt 8, birth 8, places u32, made f64, instance (UTF-8), crc u32
    frame   magic 4, crc u32, length u32, place u32, version u64, owner i64, deadline f64, expiry f64, value

All numbers are little-endian. What stands before the value takes FRAME bytes. A frame says what lies at one place (the
number of a header) of one table, whose `birth` the head names; length NOTHING says that nothing does. Of several frames
of a place the last holds. The crc is CRC-32 (zlib: no package more, 1 GB/s) of what follows it in the frame, begun with
the crc of the salt. The salt is drawn for each file, so that nobody who chooses a Contact can write something into a
value that a reader, looking for the next whole frame behind a damage, would take for one.

Nothing here depends on the secret: the table's keys are keyed hashes, and are not kept. Times are wall time.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from shm.values import Place
from siphon.services.store import RECORD_LIMIT

MAGIC = b"siphjrnl"
FORMAT = 1
HEAD_BYTES = 512
FIRST = 2 * HEAD_BYTES
"""Where the frames begin: behind both copies of the head, each padded with zeros."""

FRAME_MAGIC = b"\xf5\xa7jr"
FRAME = 48
NOTHING = 0xFFFFFFFF
MOST_PLACES = 1 << 29

_START = struct.Struct("<8sII")
_REST = struct.Struct("<8s8sId")
_CRC = struct.Struct("<I")
_BODY = struct.Struct("<IIQqdd")


class BadHead(ValueError):
    """No head of a journal, or a damaged one."""


class OtherFormat(ValueError):
    """A sound head of another format version."""


@dataclass(frozen=True, slots=True)
class Head:
    """Whose journal it is: of this instance, of the table with this birth, which has that many places."""

    instance: str
    birth: bytes
    places: int
    salt: bytes
    made: float

    @property
    def seed(self) -> int:
        """What the crc of a frame begins with."""
        return zlib.crc32(self.salt)

    def to_bytes(self) -> bytes:
        """Both copies: FIRST bytes."""
        name = self.instance.encode()
        length = _START.size + _REST.size + len(name) + _CRC.size
        if length > HEAD_BYTES:
            raise ValueError("the name of the instance is too long for a journal")
        start = _START.pack(MAGIC, FORMAT, length)
        data = start + _REST.pack(self.salt, self.birth, self.places, self.made) + name
        return (data + _CRC.pack(zlib.crc32(data))).ljust(HEAD_BYTES, b"\0") * 2


def head_of(data: bytes) -> Head:
    """From the first FIRST bytes of a file, the second copy where the first is damaged. BadHead, OtherFormat."""
    for copy in (data[:HEAD_BYTES], data[HEAD_BYTES:FIRST]):
        try:
            return _head(copy)
        except BadHead:
            continue
    raise BadHead("it is no journal of siphond, or its head is damaged")


def _head(data: bytes) -> Head:
    if len(data) < _START.size:
        raise BadHead
    magic, form, length = _START.unpack_from(data)
    if magic != MAGIC or not _START.size + _CRC.size <= length <= len(data):
        raise BadHead
    if _CRC.unpack_from(data, length - _CRC.size)[0] != zlib.crc32(data[: length - _CRC.size]):
        raise BadHead
    if form != FORMAT:
        raise OtherFormat(f"it is of format {form}, this program writes format {FORMAT}")
    if length < _START.size + _REST.size + _CRC.size:
        raise BadHead
    salt, birth, places, made = _REST.unpack_from(data, _START.size)
    name = data[_START.size + _REST.size : length - _CRC.size]
    try:
        return Head(name.decode(), birth, places, salt, made)
    except UnicodeDecodeError:
        raise BadHead from None


def frame(place: Place, seed: int) -> bytes:
    """One frame."""
    value = place.value
    if value is None:
        body = _BODY.pack(NOTHING, place.number, place.version, 0, 0.0, 0.0)
    else:
        facts = (place.number, place.version, place.owner, place.next_deadline, place.expiry)
        body = _BODY.pack(len(value), *facts) + value
    return FRAME_MAGIC + _CRC.pack(zlib.crc32(body, seed)) + body


def length_at(data: bytes, at: int) -> int:
    """How long the frame that begins there says it is; 0 when none does. FRAME bytes of it must be there."""
    if data[at : at + 4] != FRAME_MAGIC:
        return 0
    length = int.from_bytes(data[at + 8 : at + 12], "little")
    if length == NOTHING:
        return FRAME
    return FRAME + length if length <= RECORD_LIMIT else 0


def place_at(data: bytes, at: int, length: int, seed: int) -> Place | None:
    """The frame of this length (`length_at`); None when its checksum or a number in it is wrong."""
    if _CRC.unpack_from(data, at + 4)[0] != zlib.crc32(memoryview(data)[at + 8 : at + length], seed):
        return None
    size, number, version, owner, deadline, expiry = _BODY.unpack_from(data, at + 8)
    if not 1 <= number < MOST_PLACES:
        return None
    value = None if size == NOTHING else data[at + FRAME : at + length]
    return Place(number, version, owner, deadline, expiry, value)
