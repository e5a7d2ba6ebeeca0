"""Records as bytes: every field survives, equal records give equal bytes, and what is not a record is a BadRecord."""

from __future__ import annotations

from inspect import isgetsetdescriptor
from typing import Any

import pytest
import reference_codec
from hypothesis import given, settings
from hypothesis import strategies as st

from siphon.state.codec import SAME, BadRecord, decode, encode
from siphon.state.layout import BRANCH_FLAGS, BRANCH_TEXT, LAYOUT, RECORD_FLAGS, TEXT_PARTS
from siphon.state.record import Branch, CancelCause, Claim, ClaimKind, Client, Record

KEY = bytes(range(16))
TIME = st.floats(0.0, 1e10, allow_nan=False)
OCTET, SHORT = st.integers(0, 0xFE), st.integers(0, 0xFFFF)
PARTS = st.binary(max_size=40).filter(lambda part: part != SAME)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)

NARROW = {"state", "strategy", "attempts"}
WIDE = {"salt": 32, "script_version": 32, "cseq": 32, "rseq": 32, "touched": 64}
TIMES = {
    "created",
    "wall",
    "final_sent_at",
    "trying_at",
    "resend_at",
    "interval",
    "end_at",
    "ring_timeout",
    "cancel_at",
    "prack_until",
}
BRANCH_TIMES = {"resend_at", "interval", "timeout_at", "end_at", "ring_at", "timer_c_at", "give_up_at"}


def value_of(name: str, example: object, text: frozenset[str], flags: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """What a field may hold, by its name and the value that a new object has."""
    if name in flags:
        return st.booleans()
    if name in TIMES | BRANCH_TIMES:
        return TIME
    if isinstance(example, bytes):
        return PARTS
    if name in text:
        return TEXT
    if name in WIDE:
        return st.integers(0, 2 ** WIDE[name] - 1)
    return OCTET if name in NARROW else SHORT


def slots(kind: type) -> list[str]:
    found = [(name, value) for base in kind.__mro__ for name, value in vars(base).items()]
    return [name for name, value in found if isgetsetdescriptor(value) and name[0] != "_"]


def fill(draw: st.DrawFn, target: object, text: frozenset[str], flags: tuple[str, ...], skip: set[str]) -> None:
    for name in slots(type(target)):
        if name not in skip:
            setattr(target, name, draw(value_of(name, getattr(target, name), text, flags)))


@st.composite
def clients(draw: st.DrawFn) -> Client:
    client = Client()
    client.state = draw(OCTET)
    for name in ("resend_at", "interval", "timeout_at", "end_at"):
        setattr(client, name, draw(TIME))
    return client


@st.composite
def branches(draw: st.DrawFn) -> Branch:
    branch = Branch(draw(SHORT))
    fill(draw, branch, BRANCH_TEXT, BRANCH_FLAGS, {"index", "cancel", "cancel_by"})
    branch.cancel_by = draw(st.sampled_from(CancelCause))
    branch.cancel = draw(st.none() | clients())
    return branch


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    kind = draw(st.sampled_from(ClaimKind))
    return Claim(kind, draw(SHORT), draw(SHORT), draw(st.integers(0, 2**64 - 1)), draw(OCTET), draw(TIME))


@st.composite
def records(draw: st.DrawFn) -> Record:
    record = Record(KEY, draw(st.integers(0, 2**32 - 1)))
    fill(draw, record, TEXT_PARTS, RECORD_FLAGS, {"key", "salt", "branches", "claims"})
    record.branches = draw(st.lists(branches(), max_size=3))
    record.claims = draw(st.lists(claims(), max_size=3))
    return record


def facts(value: object) -> object:
    """Everything in a record, to be compared."""
    if isinstance(value, list):
        return [facts(item) for item in value]
    if isinstance(value, Record | Client | Claim):
        return {name: facts(getattr(value, name)) for name in slots(type(value))}
    return value


@settings(max_examples=150, deadline=None)
@given(records())
def test_every_field_survives(record: Record) -> None:
    assert facts(decode(KEY, encode(record))) == facts(record)


@settings(max_examples=50, deadline=None)
@given(records())
def test_equal_records_give_equal_bytes(record: Record) -> None:
    data = encode(record)
    assert encode(decode(KEY, data)) == data


@settings(max_examples=150, deadline=None)
@given(records())
def test_the_bytes_are_those_of_the_reference_in_plain_python(record: Record) -> None:
    data = encode(record)
    assert data == reference_codec.encode(record)
    assert facts(reference_codec.decode(KEY, data)) == facts(record)


def test_what_is_no_text_or_bytes_is_refused_and_not_read() -> None:
    record = Record(KEY, 7)
    record.request = None  # type: ignore[assignment]
    with pytest.raises(TypeError, match="not None"):
        encode(record)
    with pytest.raises(OverflowError):
        record.attempts = 256


def test_a_new_record_survives() -> None:
    record = Record(KEY, 7)
    assert facts(decode(KEY, encode(record))) == facts(record)


def test_a_text_that_is_no_utf_8_survives() -> None:
    record = Record(KEY, 7)
    record.auth_user = b"al\xffice".decode("utf-8", "surrogateescape")
    assert decode(KEY, encode(record)).auth_user == record.auth_user


@settings(max_examples=60, deadline=None)
@given(records(), st.data())
def test_a_truncated_record_is_a_bad_record(record: Record, data: st.DataObject) -> None:
    whole = encode(record)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadRecord):
        decode(KEY, whole[:cut])


@settings(max_examples=60, deadline=None)
@given(records(), st.binary(min_size=1, max_size=20))
def test_a_record_with_something_behind_it_is_a_bad_record(record: Record, more: bytes) -> None:
    with pytest.raises(BadRecord):
        decode(KEY, encode(record) + more)


@settings(max_examples=300, deadline=None)
@given(records(), st.data())
def test_garbled_bytes_give_a_record_or_a_bad_record_and_nothing_else(record: Record, data: st.DataObject) -> None:
    garbled = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 8))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(KEY, bytes(garbled))
    except BadRecord:
        return


@given(st.binary(max_size=600))
def test_noise_is_a_bad_record(noise: bytes) -> None:
    with pytest.raises(BadRecord):
        decode(KEY, noise)


def test_a_record_of_another_layout_is_refused_by_its_number() -> None:
    data = bytearray(encode(Record(KEY, 7)))
    data[0] += 1
    with pytest.raises(BadRecord, match=f"layout {LAYOUT + 1}, expected {LAYOUT}"):
        decode(KEY, bytes(data))
