"""The times of an encoded record, moved from one clock to another.

CLOCK_BOOTTIME means something on one machine only. A record that leaves the machine carries the times of the store's
clock: all that are armed (not 0.0) are moved by the difference of the clocks when it is committed, and back when it is
loaded. Durations (intervals, ring timeouts) and wall times are the same on every clock.

The bytes are changed in place of decoding them: a record is loaded and committed far more often than it has branches.
"""

from __future__ import annotations

import struct

from siphon.state import layout as at
from siphon.state.codec import BadRecord

_DOUBLE = struct.Struct("<d")
_DOUBLE_BYTES = _DOUBLE.size
_BRANCHES, _CLAIMS = 17, 18
"""Places of the counts in the fixed part; a test holds them."""
_RECORD_TIMES = (0, 2, 3, 4, 6, 8, 9)
"""Of at.TIMES: created, final_sent_at, trying_at, resend_at, end_at, cancel_at, prack_until. Not wall, interval and
ring_timeout."""
_BRANCH_TIMES = (0, 2, 3, 4, 5, 6, 7, 9, 10)
"""Of at.BRANCH_TIMES: all but the two intervals."""
_CLAIM_DEADLINE = at.CLAIM.size - _DOUBLE_BYTES


def shifted(record: bytes, by: float) -> bytes:
    """The record with every time `by` seconds later; BadRecord when its bytes end too early."""
    try:
        return bytes(_shifted(bytearray(record), by))
    except struct.error as error:
        raise BadRecord(str(error)) from error


def _shifted(data: bytearray, by: float) -> bytearray:
    head = at.FIXED.unpack_from(data, 0)
    position = at.FIXED.size
    _move(data, position, _RECORD_TIMES, by)
    position += at.TIMES.size
    for _ in range(head[_BRANCHES]):
        _move(data, position + at.BRANCH.size, _BRANCH_TIMES, by)
        position += at.BRANCH.size + at.BRANCH_TIMES.size + at.BRANCH_LENGTHS.size
    for _ in range(head[_CLAIMS]):
        _move(data, position + _CLAIM_DEADLINE, (0,), by)
        position += at.CLAIM.size
    return data


def _move(data: bytearray, position: int, places: tuple[int, ...], by: float) -> None:
    for place in places:
        where = position + place * _DOUBLE_BYTES
        (time,) = _DOUBLE.unpack_from(data, where)
        if time:
            _DOUBLE.pack_into(data, where, time + by)
