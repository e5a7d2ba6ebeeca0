"""The in-memory table keeps the promises of the shared one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shm.table as shared
from siphon.state.memory import BLOCK_BYTES, BUSY, CONFLICT, FULL, KEY_BYTES, MemoryTable

A = b"a" * 16
B = b"b" * 16


Make = Callable[..., Any]


@pytest.fixture(params=["memory", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a table of either kind: what a test says of the one holds for the other."""

    def memory(records: int = 64, blocks: int = 128, reserve_blocks: int = 0, reserve_records: int = 0) -> Any:
        return MemoryTable(records, blocks, reserve_blocks=reserve_blocks, reserve_records=reserve_records)

    def in_shared_memory(
        records: int = 64, blocks: int = 128, reserve_blocks: int = 0, reserve_records: int = 0
    ) -> Any:
        return shared.Table.create(
            tmp_path / f"{records}-{blocks}",
            records=records,
            blocks=blocks,
            slots=1,
            reserve_blocks=reserve_blocks,
            reserve_records=reserve_records,
        )

    return memory if request.param == "memory" else in_shared_memory


class Recorder:
    def __init__(self, table: MemoryTable) -> None:
        self.table = table
        self.seen: list[object] = []

    def run(self) -> None:
        self.seen.append(self.table.get(A))


def test_an_insert_answers_a_version_and_get_gives_it_back(make: Make) -> None:
    table = make()
    assert table.get(A) is None
    version = table.commit(A, 0, b"one", owner=3, next_deadline=5.0, expiry=9e9)
    assert version > 0
    assert table.get(A) == (version, b"one")
    assert table.head(A) == (version, 3, 5.0, 0.0, 9e9)


def test_insert_if_absent_refuses_a_key_that_is_there(make: Make) -> None:
    table = make()
    version = table.commit(A, 0, b"one", owner=0)
    assert table.commit(A, 0, b"two", owner=0) == CONFLICT
    assert table.get(A) == (version, b"one")


def test_a_swap_against_another_version_is_a_conflict_and_changes_nothing(make: Make) -> None:
    table = make()
    first = table.commit(A, 0, b"one", owner=0)
    second = table.commit(A, first, b"two", owner=0)
    assert table.commit(A, first, b"three", owner=0) == CONFLICT
    assert table.get(A) == (second, b"two")


def test_versions_are_never_reused_even_after_a_delete(make: Make) -> None:
    table = make()
    first = table.commit(A, 0, b"one", owner=0)
    assert table.delete(A, first) == 1
    assert table.delete(A, first) == CONFLICT
    assert table.commit(A, 0, b"one", owner=0) > first


def test_the_action_runs_after_the_switch_and_only_when_it_happened() -> None:
    table = MemoryTable()
    action = Recorder(table)
    version = table.commit(A, 0, b"one", owner=0, action=action)
    assert action.seen == [(version, b"one")]
    table.commit(A, 0, b"two", owner=0, action=action)
    assert len(action.seen) == 1
    table.delete(A, version, action=action)
    assert action.seen[1] is None


def test_a_full_table_refuses_inserts_but_not_updates_of_the_same_size(make: Make) -> None:
    table = make(records=1, blocks=3)
    version = table.commit(A, 0, b"x" * BLOCK_BYTES, owner=0)
    assert table.commit(B, 0, b"", owner=0) == FULL
    assert table.commit(A, version, b"y" * BLOCK_BYTES, owner=0) > version
    assert table.stats().full == 1


def test_an_update_needs_its_new_blocks_while_it_still_holds_the_old(make: Make) -> None:
    table = make(blocks=3)
    version = table.commit(A, 0, b"x" * 2 * BLOCK_BYTES, owner=0)
    assert table.commit(A, version, b"y" * 2 * BLOCK_BYTES, owner=0) == FULL
    assert table.get(A) == (version, b"x" * 2 * BLOCK_BYTES)
    assert table.commit(A, version, b"lean", owner=0) > version
    assert table.stats().blocks_free == 2


def test_the_reserve_is_kept_from_those_who_may_not_use_it(make: Make) -> None:
    for table in (make(blocks=2, reserve_blocks=1), make(records=2, reserve_records=1)):
        assert table.commit(A, 0, b"x", owner=0, use_reserve=False) > 0
        assert table.commit(B, 0, b"x", owner=0, use_reserve=False) == FULL
        assert table.commit(B, 0, b"x", owner=0) > 0


def test_due_and_owned_sweep_the_records_of_one_owner(make: Make) -> None:
    table = make()
    one = table.commit(A, 0, b"", owner=1, next_deadline=7.0, claim_deadline=5.0)
    table.commit(B, 0, b"", owner=2, next_deadline=1.0)
    assert table.due(1, 4.9, 10) == []
    assert table.due(1, 5.0, 10) == [(A, one, 5.0)]
    assert table.owned(1) == [(A, one, 5.0)]


def test_expire_removes_what_has_expired_up_to_the_limit() -> None:
    table = MemoryTable()
    table.commit(A, 0, b"", owner=0, expiry=5.0)
    table.commit(B, 0, b"", owner=0)
    assert table.expire(4.9, 10) == 0
    assert table.expire(5.0, 10) == 1
    assert table.get(A) is None
    assert table.get(B) is not None


def test_with_a_clock_an_expired_record_reads_as_none_and_may_be_inserted_anew() -> None:
    now = [0.0]
    table = MemoryTable(records=1, clock=lambda: now[0])
    first = table.commit(A, 0, b"old", owner=0, expiry=5.0)
    now[0] = 5.0
    assert table.get(A) is None
    assert table.head(A) is None
    assert table.commit(A, 0, b"new", owner=0) > first


def test_keys_walks_the_whole_table_in_pieces(make: Make) -> None:
    table = make()
    for n in range(5):
        table.commit(bytes([n]) * 16, 0, b"", owner=0)
    found, cursor = table.keys(3)
    more, end = table.keys(3, cursor)
    assert len(set(found + more)) == 5
    assert end == 0


def test_a_busy_key_answers_busy_and_stays_as_it_was() -> None:
    table = MemoryTable()
    version = table.commit(A, 0, b"one", owner=0)
    table.busy.add(A)
    assert table.get(A) == BUSY
    assert table.commit(A, version, b"two", owner=0) == BUSY
    assert table.delete(A, version) == BUSY
    table.busy.clear()
    assert table.get(A) == (version, b"one")


def test_a_key_of_another_length_is_a_programming_error(make: Make) -> None:
    with pytest.raises(ValueError, match="16"):
        make().commit(b"short", 0, b"", owner=0)


def test_both_kinds_of_table_use_the_same_numbers() -> None:
    mine = (BLOCK_BYTES, BUSY, CONFLICT, FULL, KEY_BYTES)
    assert mine == (shared.BLOCK_BYTES, shared.BUSY, shared.CONFLICT, shared.FULL, shared.KEY_BYTES)


def test_delete_of_version_0_deletes_whatever_is_there(make: Make) -> None:
    table = make()
    assert table.delete(A, 0) == CONFLICT
    table.commit(A, 0, b"one", owner=0)
    assert table.delete(A, 0) == 1
    assert table.get(A) is None


def test_due_gives_the_earliest_first(make: Make) -> None:
    table = make()
    table.commit(A, 0, b"", owner=0, next_deadline=9.0)
    table.commit(B, 0, b"", owner=0, next_deadline=8.0)
    assert [key for key, _, _ in table.due(0, 10.0, 10)] == [B, A]
