"""get, head, commit, delete, expire and the sweeps, in one process."""

import ctypes
import os
import time

import pytest

from shm.table import BUSY, CONFLICT, FULL, MAX_VALUE, Action, Table

KEY, OTHER = b"k" * 16, b"o" * 16


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_answers_of_a_commit_are_distinct_and_no_versions():
    assert len({CONFLICT, FULL, BUSY}) == 3
    assert max(CONFLICT, FULL, BUSY) <= 0


def test_an_absent_key_reads_as_none(table):
    assert table.get(KEY) is None
    assert table.head(KEY) is None


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 1500, 5000, MAX_VALUE])
def test_what_was_committed_is_read_back(make, length):
    table = make(blocks=1024)
    value = os.urandom(length)
    version = table.commit(KEY, 0, value, owner=3)
    assert table.get(KEY) == (version, value)
    assert table.verify().sound


@pytest.mark.parametrize("block_bytes", [64, 128, 256])
def test_a_value_takes_whole_blocks_whatever_their_size(make, block_bytes):
    table = make(blocks=4096, block_bytes=block_bytes)
    longest = min(MAX_VALUE, 1024 * block_bytes)
    for number, length in enumerate([0, 1, block_bytes - 1, block_bytes, block_bytes + 1, 1500, longest]):
        free = table.verify().blocks_free + table.verify().blocks_at_hand
        value = os.urandom(length)
        key = bytes([number]) * 16
        version = table.commit(key, 0, value, owner=3)
        assert table.get(key) == (version, value)
        blocks = -(-length // block_bytes)
        assert table.verify().blocks_used == blocks
        assert table.verify().blocks_free + table.verify().blocks_at_hand == free - blocks
        assert table.verify().sound
        version = table.commit(key, version, value[::-1], owner=3)
        assert Table.view(table.path).get(key) == (version, value[::-1])
        assert table.delete(key, version) == 1
    with pytest.raises(ValueError, match=f"at most {longest} fit"):
        table.commit(KEY, 0, bytes(longest + 1), owner=3)


def test_a_value_that_fits_no_record_is_refused(table):
    with pytest.raises(ValueError, match="at most"):
        table.commit(KEY, 0, bytes(MAX_VALUE + 1), owner=0)


@pytest.mark.parametrize("key", [b"", b"k" * 15, b"k" * 17, "k" * 16, None])
def test_a_key_is_sixteen_bytes(table, key):
    for call in (table.get, table.head, lambda k: table.commit(k, 0, b"", owner=0), lambda k: table.delete(k, 0)):
        with pytest.raises(ValueError, match="16 bytes"):
            call(key)


def test_insert_if_absent_conflicts_with_what_is_there(table):
    version = table.commit(KEY, 0, b"first", owner=1)
    assert table.commit(KEY, 0, b"second", owner=1) == CONFLICT
    assert table.get(KEY) == (version, b"first")


def test_compare_and_swap_takes_only_the_expected_version(table):
    first = table.commit(KEY, 0, b"1", owner=1)
    second = table.commit(KEY, first, b"2" * 2000, owner=1)
    assert second > first
    assert table.commit(KEY, first, b"late", owner=1) == CONFLICT
    assert table.get(KEY) == (second, b"2" * 2000)
    assert table.commit(OTHER, first, b"absent", owner=1) == CONFLICT


def test_versions_are_never_reused(table):
    seen = [table.commit(KEY, 0, b"", owner=1)]
    assert table.delete(KEY, seen[-1]) == 1
    seen.append(table.commit(KEY, 0, b"", owner=1))
    seen.append(table.commit(OTHER, 0, b"", owner=1))
    assert seen == sorted(set(seen))


def test_a_delete_wants_the_version_too(table):
    version = table.commit(KEY, 0, b"1", owner=1)
    assert table.delete(KEY, version + 1) == CONFLICT
    assert table.delete(KEY, version) == 1
    assert table.get(KEY) is None
    assert table.delete(KEY, version) == CONFLICT
    assert table.stats().records == 0


def test_callers_in_c_are_told_the_same_of_what_is_past(table):
    function, argument = table.past_call
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64)(function)
    assert call(argument, KEY, 1) == 1
    version = table.commit(KEY, 0, b"one", owner=1)
    assert (call(argument, KEY, version), call(argument, KEY, version + 1)) == (0, 1)


def test_a_version_is_past_once_another_is_there_or_none(table):
    first = table.commit(KEY, 0, b"a", owner=1)
    assert not table.is_past(KEY, first)
    second = table.commit(KEY, first, b"b", owner=1)
    assert (table.is_past(KEY, first), table.is_past(KEY, second)) == (True, False)
    table.delete(KEY, second)
    assert table.is_past(KEY, second)
    with pytest.raises(ValueError):
        table.is_past(b"short", second)


def test_the_head_tells_owner_and_deadlines(table):
    version = table.commit(KEY, 0, b"x", owner=-7, next_deadline=11.0, claim_deadline=12.5, expiry=now() + 99)
    head = table.head(KEY)
    assert (head.version, head.owner, head.next_deadline, head.claim_deadline) == (version, -7, 11.0, 12.5)


def test_an_expired_record_is_absent_and_may_be_inserted_over(table):
    old = table.commit(KEY, 0, b"old", owner=1, expiry=now() - 1)
    assert table.get(KEY) is None
    assert table.head(KEY) is None
    new = table.commit(KEY, 0, b"new", owner=1, expiry=now() + 60)
    assert table.get(KEY) == (new, b"new")
    assert new > old
    assert table.verify().records == 1


def test_wall_expiry_compares_with_the_wall_clock(make):
    table = make(wall_expiry=True)
    table.commit(KEY, 0, b"x", owner=1, expiry=time.time() + 60)
    table.commit(OTHER, 0, b"x", owner=1, expiry=time.time() - 60)
    assert table.get(KEY) is not None
    assert table.get(OTHER) is None


def test_expire_deletes_what_has_expired_and_no_more_than_the_limit(table):
    for index in range(10):
        table.commit(bytes([index]) * 16, 0, b"x" * 600, owner=1, expiry=100.0 + index)
    assert table.expire(99.0, 100) == 0
    assert table.expire(104.0, 3) == 3
    assert table.expire(104.0, 100) == 2
    assert len(table.keys()[0]) == 5
    assert table.verify().sound


def test_due_gives_the_owners_records_in_order_of_their_earlier_deadline(table):
    a = table.commit(b"a" * 16, 0, b"", owner=1, next_deadline=30.0, claim_deadline=10.0)
    b = table.commit(b"b" * 16, 0, b"", owner=1, next_deadline=5.0)
    table.commit(b"c" * 16, 0, b"", owner=2, next_deadline=1.0)
    table.commit(b"d" * 16, 0, b"", owner=1)
    assert table.due(1, 10.0, 10) == [(b"b" * 16, b, 5.0), (b"a" * 16, a, 10.0)]
    assert table.due(1, 4.0, 10) == []
    assert len(table.due(1, 10.0, 1)) == 1


def test_owned_gives_all_records_of_an_owner(table):
    for index in range(9):
        table.commit(bytes([index]) * 16, 0, b"", owner=index % 3, next_deadline=float(index))
    assert sorted(key[0] for key, _, _ in table.owned(2)) == [2, 5, 8]
    assert {deadline for _, _, deadline in table.owned(2)} == {2.0, 5.0, 8.0}


def test_keys_walks_the_table_by_cursor(table):
    wanted = {bytes([index]) * 16 for index in range(10)}
    for key in wanted:
        table.commit(key, 0, b"", owner=1)
    seen, cursor = table.keys(4)
    while cursor:
        more, cursor = table.keys(4, cursor)
        seen += more
    assert len(seen) == 10
    assert set(seen) == wanted


def test_keys_looks_at_so_many_headers_at_most(make):
    table = make(records=1000, blocks=1000)
    wanted = {index.to_bytes(16) for index in range(500)}
    for key in sorted(wanted):
        table.commit(key, 0, b"", owner=1)
    for key in sorted(wanted)[5:495]:
        table.delete(key, 0)
    calls, seen, cursor = 0, [], 0
    while calls == 0 or cursor:
        more, cursor = table.keys(3, cursor, 64)
        calls, seen = calls + 1, seen + more
    assert sorted(seen) == sorted(wanted)[:5] + sorted(wanted)[495:]
    assert calls >= -(-table.stats().records_max // 64)
    assert table.keys(3, 0, 1 << 31)[0] == table.keys(3)[0]


def test_the_action_runs_after_the_switch_and_only_then(table):
    seen = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    def send(argument):
        seen.append((argument, Table.view(table.path).get(KEY)))
        return 0

    action = Action(ctypes.cast(send, ctypes.c_void_p).value, 77)
    version = table.commit(KEY, 0, b"1", owner=1, action=action)
    assert seen == [(77, (version, b"1"))]
    assert table.commit(KEY, 0, b"2", owner=1, action=action) == CONFLICT
    assert len(seen) == 1
    assert table.delete(KEY, version, action=action) == 1
    assert seen[1] == (77, None)


def test_a_view_reads_without_locks_and_cannot_write(table):
    version = table.commit(KEY, 0, b"v" * 700, owner=1, next_deadline=3.0)
    view = Table.view(table.path)
    assert view.get(KEY) == (version, b"v" * 700)
    assert view.head(KEY).next_deadline == 3.0
    assert view.owned(1) == [(KEY, version, 3.0)]
    assert view.stats().records == 1
    with pytest.raises(ValueError, match="reading only"):
        view.commit(OTHER, 0, b"", owner=1)


def test_many_records_come_and_go_without_losing_a_block(table):
    versions = {}
    for number in range(3000):
        key = bytes([number * 7 % 50]) * 16
        if key in versions and number % 3 == 0:
            assert table.delete(key, versions.pop(key)) == 1
        else:
            versions[key] = table.commit(key, versions.get(key, 0), bytes(number % 2000), owner=1)
            assert versions[key] > 0
    report = table.verify()
    assert report.sound
    assert report.records == len(versions)
    assert report.blocks_free + report.blocks_used + report.blocks_at_hand == 256
