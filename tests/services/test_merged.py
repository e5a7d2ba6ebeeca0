"""Marks of who has answered first: the same in C as in plain Python, in shared memory and elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shm.table import Table
from siphon.services.merged import MergedRequests
from siphon.services.store import record_key
from siphon.state.memory import BUSY, FULL, MemoryTable

KEY = b"k" * 16
LIFETIME = 32.0
WALL = 4e9  # records in shared memory expire by the real clock: not while this runs
FIRST, OTHER = b"1" * 16, b"2" * 16


def tables(place: Path) -> list[Any]:
    shared = Table.create(place / "hints", records=100, blocks=100, wall_expiry=True)
    return [shared, MemoryTable(clock=lambda: WALL)]


def asked(merged: MergedRequests, transaction: bytes = FIRST, **changed: Any) -> bool:
    given = {"method": "REGISTER", "call_id": b"c1", "from_tag": b"Tag", "cseq": 7} | changed
    return merged.is_merged(transaction, **given)


@pytest.fixture(params=[0, 1], ids=["shared", "memory"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return tables(tmp_path)[request.param]


def test_the_first_leaves_a_mark_that_another_transaction_finds(table: Any) -> None:
    merged, elsewhere = (MergedRequests(table, KEY, LIFETIME, lambda: WALL) for _ in range(2))
    assert not asked(merged) and merged.has_just_marked(FIRST) and not elsewhere.has_just_marked(FIRST)
    assert not asked(elsewhere) and asked(elsewhere, OTHER) and asked(merged, OTHER)
    assert asked(merged, OTHER, from_tag=b"TAG"), "a tag is a token: its case does not count"
    name = b"REGISTER 7 3:tagc1"
    found = table.get(record_key(KEY, b"m", name))
    assert found[1] == FIRST
    head = table.head(record_key(KEY, b"m", name))
    assert (head.owner, head.next_deadline, head.expiry) == (0, WALL, WALL + LIFETIME)


CHANGES = [("method", "INVITE"), ("call_id", b"c2"), ("from_tag", b"u"), ("cseq", 8), ("cseq", 77), ("from_tag", b"")]


@pytest.mark.parametrize("changed", [{name: value} for name, value in CHANGES])
def test_another_request_is_not_merged(table: Any, changed: dict[str, Any]) -> None:
    merged = MergedRequests(table, KEY, LIFETIME, lambda: WALL)
    assert not asked(merged) and not asked(merged, OTHER, **changed)


def test_the_names_of_marks_are_those_of_plain_text(table: Any) -> None:
    random = Random(5)
    merged = MergedRequests(table, KEY, LIFETIME, lambda: WALL)
    for number in range(50):
        transaction = number.to_bytes(16)
        method = random.choice(["MESSAGE", "X-" + "Y" * 40])
        call_id, tag = (random.randbytes(random.choice([1, 30, 3000])) for _ in range(2))
        cseq = random.choice([0, -1, 10, 2**31 - 1, 2**40])
        assert not merged.is_merged(transaction, method, call_id, tag, cseq)
        name = b"%b %d %d:%b%b" % (method.encode(), cseq, len(tag), tag.lower(), call_id)
        assert table.get(record_key(KEY, b"m", name))[1] == transaction


def test_a_mark_made_a_second_ago_is_looked_for_again(table: Any) -> None:
    now = [WALL]
    merged = MergedRequests(table, KEY, LIFETIME, lambda: now[0])
    assert not asked(merged) and merged.has_just_marked(FIRST)
    for later, fresh in ((0.5, True), (1.0, False), (-0.5, False)):
        now[0] = WALL + later
        assert merged.has_just_marked(FIRST) is fresh
        assert not asked(merged)


@pytest.mark.parametrize("transaction", [b"", b"1" * 15, b"1" * 17])
def test_what_is_no_transaction_leaves_no_mark(table: Any, transaction: bytes) -> None:
    merged = MergedRequests(table, KEY, LIFETIME, lambda: WALL)
    assert not asked(merged, transaction) and table.stats().records == 0


class Refusing:
    """A table that answers so."""

    def __init__(self, found: Any, answer: int) -> None:
        self.found, self.answer = found, answer
        self.get: Callable[..., Any] = lambda key: self.found
        self.commit: Callable[..., int] = lambda *facts, **more: self.answer


@pytest.mark.parametrize(("found", "answer", "merges"), [
    (None, FULL, False), (None, BUSY, False), (BUSY, 1, False), (None, 0, False),
    ((1, OTHER), 0, True), ((1, b"damage"), 0, False), ((1, b""), 0, False),
])  # fmt: skip
def test_a_table_that_refuses_or_is_damaged_merges_nothing(found: Any, answer: int, merges: bool) -> None:
    merged = MergedRequests(Refusing(found, answer), KEY, LIFETIME, lambda: WALL)  # type: ignore[arg-type]
    assert asked(merged) is merges and not merged.has_just_marked(FIRST)
