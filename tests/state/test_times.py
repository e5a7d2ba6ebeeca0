"""Times of a record on another clock: every one that is armed is moved, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from test_codec import BRANCH_TIMES, KEY, TIMES, facts, records, slots

from siphon.state.codec import BadRecord, decode, encode
from siphon.state.record import Branch, Claim, Client, Record
from siphon.state.times import shifted

STAY = {"wall", "interval", "ring_timeout"}
"""Wall time, and durations."""


def moved(value: object, by: float) -> object:
    """The facts of a record whose times are later."""
    if isinstance(value, list):
        return [moved(item, by) for item in value]
    if not isinstance(value, Record | Client | Claim):
        return value
    times = (TIMES | BRANCH_TIMES | {"deadline"}) - STAY
    found: dict[str, object] = {}
    for name in slots(type(value)):
        old = getattr(value, name)
        found[name] = old + by if name in times and old else moved(old, by)
    return found


@settings(max_examples=150, deadline=None)
@given(records())
def test_every_armed_time_is_moved_and_nothing_else(record: Record) -> None:
    expected = moved(record, 1.5e9)
    assert facts(decode(KEY, shifted(encode(record), 1.5e9))) == expected


def test_shared_34_a_record_that_goes_over_and_back_is_the_same_to_a_microsecond() -> None:
    record = Record(KEY, 1)
    branch = Branch(0)
    branch.timeout_at, branch.interval = 1234.567891, 0.5
    record.branches.append(branch)
    record.end_at = 99.25
    back = decode(KEY, shifted(shifted(encode(record), 1.7e9 + 1 / 3), -1.7e9 - 1 / 3))
    assert back.branches[0].timeout_at == pytest.approx(1234.567891, abs=1e-6)
    assert back.branches[0].interval == 0.5
    assert back.end_at == pytest.approx(99.25, abs=1e-6)
    assert back.trying_at == 0.0


def test_sec_17_what_ends_too_early_is_a_bad_record() -> None:
    record = Record(KEY, 1)
    record.branches.append(Branch(0))
    whole = encode(record)
    for length in (0, 10, 60, 150):
        with pytest.raises(BadRecord):
            shifted(whole[:length], 1.0)
