"""Dialog records: written once, found from both sides, gone when told or when old."""

from typing import Any, cast

from siphon.services.dialogs import Dialogs, Place
from siphon.state.memory import MemoryTable

CALLER, CALLEE = Place("192.0.2.1", 5060, 0, ""), Place("192.0.2.2", 5070, 1, "192.0.2.9")
KEY = b"k" * 32


def dialogs(records: int = 100) -> tuple[Dialogs, MemoryTable]:
    table = MemoryTable(records)
    return Dialogs(table, KEY, 14400), table


def test_each_side_finds_the_other() -> None:
    known, _ = dialogs()
    known.remember(b"c1", b"a", b"b", CALLER, CALLEE, 1000.0)
    assert known.peer(b"c1", b"a", b"b") == CALLEE
    assert known.peer(b"c1", b"b", b"a") == CALLER


def test_another_tag_or_call_is_not_known() -> None:
    known, _ = dialogs()
    known.remember(b"c1", b"a", b"b", CALLER, CALLEE, 1000.0)
    assert known.peer(b"c1", b"a", b"x") is None
    assert known.peer(b"c2", b"a", b"b") is None


def test_a_forgotten_dialog_is_not_known() -> None:
    known, table = dialogs()
    known.remember(b"c1", b"a", b"b", CALLER, CALLEE, 1000.0)
    known.forget(b"c1", b"b", b"a")
    assert known.peer(b"c1", b"a", b"b") is None
    assert table.stats().records == 0


def test_a_full_table_lets_the_oldest_go() -> None:
    known, _ = dialogs(100)
    for number in range(200):
        known.remember(b"%d" % number, b"a", b"b", CALLER, CALLEE, 1000.0 + 60 * number)
    assert known.peer(b"199", b"a", b"b") == CALLEE
    assert known.peer(b"0", b"a", b"b") is None


def test_a_damaged_record_is_a_dialog_that_is_not_known() -> None:
    known, table = dialogs()
    known.remember(b"c1", b"a", b"b", CALLER, CALLEE, 1000.0)
    (key,), _ = table.keys(1)
    found = table.get(key)
    assert isinstance(found, tuple)
    table.commit(key, found[0], b"garbage", owner=0)
    assert known.peer(b"c1", b"a", b"b") is None


def test_an_answer_is_found_by_the_tags_of_its_request_until_it_is_old() -> None:
    known, table = dialogs()
    known.remember_answer(b"c1", b"a", b"B", bytes(16), 1000.0, 70.0)
    assert known.answered(b"c1", b"A", b"b") == bytes(16)
    assert known.answered(b"c1", b"b", b"a") is None and known.answered(b"c2", b"a", b"b") is None
    assert known.peer(b"c1", b"a", b"B") is None
    table.expire(1069.0, 10)
    assert known.answered(b"c1", b"a", b"b") == bytes(16)
    table.expire(1071.0, 10)
    assert known.answered(b"c1", b"a", b"b") is None


def test_the_last_answer_of_a_dialog_counts() -> None:
    known, _ = dialogs()
    for number in (1, 2):
        known.remember_answer(b"c1", b"a", b"b", bytes([number] * 16), 1000.0, 70.0)
    assert known.answered(b"c1", b"a", b"b") == bytes([2] * 16)


def test_answers_let_the_oldest_go_when_the_table_is_full() -> None:
    known, _ = dialogs(100)
    for number in range(200):
        known.remember_answer(b"%d" % number, b"a", b"b", bytes(16), 1000.0 + number, 1000.0)
    assert known.answered(b"199", b"a", b"b") == bytes(16)


def test_parse_02_tags_are_compared_without_case_and_the_call_id_with_it() -> None:
    known, table = dialogs()
    known.remember(b"Call", b"Aa", b"bB", CALLER, CALLEE, 0.0)
    assert known.peer(b"Call", b"aA", b"Bb") == CALLEE and known.peer(b"Call", b"bb", b"aa") == CALLER
    assert known.peer(b"call", b"Aa", b"bB") is None
    known.forget(b"Call", b"BB", b"AA")
    assert table.stats().records == 0


def test_a_full_table_is_swept_once_for_many_dialogs() -> None:
    table, sweeps = MemoryTable(512), []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            return getattr(table, name)

        def expire(self, now: float, limit: int) -> int:
            sweeps.append(now)
            return table.expire(now, limit)

    many = Dialogs(cast(Any, Counted()), KEY, 14400, evict=128)
    for number in range(512 + 256):
        many.remember(b"%d" % number, b"a", b"b", CALLER, CALLEE, 1000.0 + number)
    assert len(sweeps) <= 3
    assert many.peer(b"0", b"a", b"b") is None and many.peer(b"767", b"a", b"b") == CALLEE
