"""Full tables, the reserve, sizes."""

import pytest

from shm.table import FULL, MAX_VALUE, Table, file_size


def key(index: int) -> bytes:
    return index.to_bytes(4, "big") * 4


def fill(table: Table, length: int, use_reserve: bool) -> int:
    """Insert until the table says FULL: how many went in."""
    count = 0
    while table.commit(key(count), 0, bytes(length), owner=1, use_reserve=use_reserve) != FULL:
        count += 1
    return count


def test_shared_35_new_work_is_refused_before_running_work_starves(make):
    table = make(records=64, blocks=64, reserve_blocks=16)
    assert fill(table, 1024, use_reserve=False) == 24
    version, value = table.get(key(3))
    grown = table.commit(key(3), version, value + bytes(1024), owner=1)
    assert grown > version
    assert table.commit(key(99), 0, b"ack", owner=1) > 0


def test_shared_35_what_does_not_grow_always_finds_room(make):
    table = make(records=64, blocks=64, reserve_blocks=16)
    count = fill(table, 1024, use_reserve=True)
    assert table.commit(key(0), table.get(key(0))[0], bytes(2048), owner=1) == FULL
    for index in range(count):
        version, _ = table.get(key(index))
        assert table.commit(key(index), version, b"\1" * 1024, owner=1) > version
    assert table.stats().full == 2


def test_shared_35_a_full_table_recovers_by_itself(make):
    table = make(records=64, blocks=64, reserve_blocks=16)
    count = fill(table, 1024, use_reserve=False)
    for index in range(count):
        assert table.delete(key(index), table.get(key(index))[0]) == 1
    assert fill(table, 1024, use_reserve=False) == count


def test_shared_35_a_reserve_of_records_is_kept_too(make):
    table = make(records=64, blocks=256, reserve_records=10)
    assert fill(table, 1, use_reserve=False) == 54
    assert table.commit(key(1000), 0, b"cancel", owner=1) > 0
    assert table.commit(key(1001), 0, b"invite", owner=1, use_reserve=False) == FULL
    for index in range(1002, 1011):
        assert table.commit(key(index), 0, b"ack", owner=1) > 0
    assert table.commit(key(1011), 0, b"ack", owner=1) == FULL


def test_a_refused_commit_leaves_the_old_version(make):
    table = make(records=8, blocks=8, reserve_blocks=0)
    version = table.commit(key(1), 0, bytes(3000), owner=1)
    assert table.commit(key(1), version, bytes(2000), owner=1) == FULL
    assert table.get(key(1)) == (version, bytes(3000))
    assert table.verify().sound


def test_a_value_larger_than_the_table_is_full_not_an_error(make):
    assert make(blocks=100).commit(key(1), 0, bytes(MAX_VALUE), owner=1) == FULL


def test_file_size_is_what_create_allocates(make):
    table = make(records=1000, blocks=3000, slots=8)
    assert table.stats().bytes == file_size(records=1000, blocks=3000, slots=8)
    assert 3000 * 512 < table.stats().bytes < 3000 * 512 * 1.3


@pytest.mark.parametrize("block_bytes", [64, 128, 256])
def test_smaller_blocks_make_a_smaller_file(make, block_bytes):
    table = make(records=1000, blocks=3000, slots=8, block_bytes=block_bytes)
    assert table.stats().bytes == file_size(records=1000, blocks=3000, slots=8, block_bytes=block_bytes)
    whole = file_size(records=1000, blocks=3000, slots=8)
    assert whole - table.stats().bytes == pytest.approx(3000 * (512 - block_bytes), abs=4096)


@pytest.mark.parametrize("block_bytes", [0, 32, 65, 96, 1024, -64])
def test_a_block_has_one_of_four_sizes(make, block_bytes):
    with pytest.raises(ValueError, match="a block has 64, 128, 256, 512 bytes"):
        make(block_bytes=block_bytes)


@pytest.mark.parametrize(
    "sizes", [{"records": 0}, {"blocks": 0}, {"slots": 0}, {"slots": 256}, {"reserve_blocks": 256}]
)
def test_senseless_sizes_are_refused(make, sizes):
    with pytest.raises(ValueError, match="must be"):
        make(**sizes)
