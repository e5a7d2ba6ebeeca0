"""The bytes of metrics in a table: a record for each definition, and one for each series.

    definition   key: hash of the name             the facts of a Definition, the script version that said so last, and
                                                   8 bytes for each combination of label values that has a series
    series       key: hash of definition, label    what it is of, then its numbers as doubles
                 values and slot

The owner field of the header says which of both a record is. A series of a counter or a histogram belongs to a slot:
each process writes its own and nobody else does, so counting takes no turns; whoever reads adds them up. A process that
takes a dead one's slot goes on with its numbers. A gauge is one series for all (NO_SLOT).
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import NamedTuple

import msgpack  # type: ignore[import-untyped]

from siphon.services.metrics.definition import Definition
from siphon.services.store import BadRecord, pack, record_key, unpack

DEFINITION = 1
SERIES = 2
"""Owners."""
NO_SLOT = 0xFFFF
_VERSION = 1
_FIELDS = 8
_HEAD = struct.Struct("<BH")  # version, length of what it is of

Values = tuple[str, ...]


class Defined(NamedTuple):
    """A definition's record."""

    definition: Definition
    script_version: int
    seats: tuple[bytes, ...]


class Series(NamedTuple):
    """A series' record. `of` is the id of its definition."""

    name: str
    of: bytes
    values: Values
    slot: int
    numbers: tuple[float, ...]


def definition_key(hash_key: bytes, name: str) -> bytes:
    return record_key(hash_key, b"d", name.encode())


def series_key(hash_key: bytes, of: bytes, values: Values, slot: int) -> bytes:
    return record_key(hash_key, b"s", of + slot.to_bytes(2, "little") + _packed(values))


def seat(values: Values) -> bytes:
    """8 bytes that stand for a combination of label values."""
    return blake2b(_packed(values), digest_size=8).digest()


def pack_definition(found: Defined) -> bytes:
    d = found.definition
    return pack([_VERSION, d.name, d.kind, d.help, d.labels, d.buckets, found.script_version, b"".join(found.seats)])


def unpack_definition(value: bytes) -> Defined:
    """BadRecord where it is none."""
    fields = unpack(value, _VERSION, _FIELDS)
    name, kind, text, labels, buckets, version, seats = fields[1:]
    definition = Definition(name, kind, text, tuple(labels), tuple(buckets))
    return Defined(definition, version, tuple(seats[at : at + 8] for at in range(0, len(seats), 8)))


def head_of(definition: Definition, values: Values, slot: int) -> bytes:
    """All of a series' record but its numbers."""
    facts = pack([definition.name, definition.id, values, slot])
    return _HEAD.pack(_VERSION, len(facts)) + facts


def pack_numbers(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def unpack_series(value: bytes) -> Series:
    """BadRecord where it is none."""
    try:
        version, length = _HEAD.unpack_from(value)
        if version != _VERSION:
            raise ValueError(f"version {version}")
        at = _HEAD.size + length
        name, of, values, slot = msgpack.unpackb(value[_HEAD.size : at], raw=False, unicode_errors="surrogateescape")
        numbers = struct.unpack(f"<{(len(value) - at) // 8}d", value[at:])
    except (ValueError, TypeError, struct.error, msgpack.exceptions.UnpackException) as error:
        raise BadRecord(f"not a series: {error}") from None
    return Series(name, of, tuple(values), slot, numbers)


def _packed(values: Values) -> bytes:
    return pack(list(values))
