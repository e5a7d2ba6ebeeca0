"""The sweep that costs what expires: what it finds, what it leaves, and what a damaged or forgotten word costs."""

import random
import time
from collections.abc import Callable

import pytest

from shm.expiry import Sweep
from shm.table import Table

FAR = float("inf")


def key(n: int) -> bytes:
    return n.to_bytes(16)


def spend(sweep: Sweep, now: float) -> tuple[int, list[tuple[bytes, int]]]:
    """All that was taken is gone through."""
    gone, due = 0, []
    while sweep.waiting:
        went, told = sweep.turn(now, FAR)
        gone += went
        due += told
    return gone, due


def settled(table: Table, deadlines: bool = False) -> Sweep:
    """A sweep that has seen every group once."""
    sweep = Sweep(table, deadlines)
    sweep.look(0.0)
    spend(sweep, 0.0)
    return sweep


def test_what_is_over_goes_and_the_rest_stays(make: Callable[..., Table]) -> None:
    table = make(records=1000, blocks=1000)
    table.slot = 0
    later = time.clock_gettime(time.CLOCK_BOOTTIME) + 1000.0
    for n in range(900):
        table.commit(key(n), 0, b"x", owner=1, expiry=later + n)
    sweep = settled(table)
    sweep.look(later + 99.5)
    assert spend(sweep, later + 99.5) == (100, [])
    sweep.look(later + 99.5)
    assert spend(sweep, later + 99.5) == (0, [])
    assert len(table.keys(1000)[0]) == 800
    assert table.verify().sound


def test_only_groups_with_something_to_come_are_looked_at(make: Callable[..., Table]) -> None:
    table = make(records=64 * 1000 - 1, blocks=1000)
    table.slot = 0
    sweep = settled(table)
    for n in range(64):
        table.commit(key(n), 0, b"x", owner=1, expiry=1e9 + n)
    sweep.look(1e9 - 1)
    assert sweep.waiting <= 2  # regardless of their words
    spend(sweep, 1e9 - 1)
    sweep.look(1e9 + 5)
    assert 1 <= sweep.waiting <= 5


def test_a_record_that_ends_sooner_than_those_beside_it_is_seen(make: Callable[..., Table]) -> None:
    table = make(records=63)
    table.slot = 0
    version = table.commit(key(1), 0, b"x", owner=1, expiry=1e9 + 50)
    sweep = settled(table)
    table.commit(key(1), version, b"x", owner=1, expiry=1e9 + 10)
    sweep.look(1e9 + 20)
    assert spend(sweep, 1e9 + 20) == (1, [])


def test_a_record_that_was_prolonged_after_it_was_taken_stays(make: Callable[..., Table]) -> None:
    table = make(records=63)
    table.slot = 0
    version = table.commit(key(1), 0, b"x", owner=1, expiry=1e9)
    sweep = settled(table)
    sweep.look(1e9)
    table.commit(key(1), version, b"x", owner=1, expiry=1e9 + 10)
    assert spend(sweep, 1e9) == (0, [])
    sweep.look(1e9 + 10)
    assert spend(sweep, 1e9 + 10) == (1, [])


def test_deadlines_are_told_until_they_are_dealt_with(make: Callable[..., Table]) -> None:
    table = make(records=63, marked=True, wall_expiry=True)
    table.slot = 0
    wall = time.time() + 1000
    version = table.commit(key(1), 0, b"x", owner=1, next_deadline=wall, expiry=wall + 300)
    sweep = settled(table, deadlines=True)
    for _ in range(2):
        sweep.look(wall + 1)
        assert spend(sweep, wall + 1) == (0, [(key(1), version)])
    table.delete(key(1), version)
    sweep.look(wall + 1)
    assert spend(sweep, wall + 1) == (0, [])


def test_deadlines_are_no_business_of_a_sweep_that_was_not_asked(make: Callable[..., Table]) -> None:
    table = make(records=63, marked=True, wall_expiry=True)
    table.slot = 0
    wall = time.time() + 1000
    table.commit(key(1), 0, b"x", owner=1, next_deadline=wall, expiry=wall + 300)
    sweep = settled(table)
    sweep.look(wall + 1)
    assert spend(sweep, wall + 1) == (0, [])
    sweep.look(wall + 300)
    assert spend(sweep, wall + 300) == (1, [])


def test_a_table_without_marks_notes_no_deadlines(table: Table) -> None:
    with pytest.raises(ValueError, match="not noted"):
        Sweep(table, deadlines=True)


def test_a_turn_ends_when_its_time_is_over_and_at_its_limit(make: Callable[..., Table]) -> None:
    table = make(records=64 * 10 - 1, blocks=1000, marked=True, wall_expiry=True)
    table.slot = 0
    wall = time.time() + 1000
    for n in range(600):
        table.commit(key(n), 0, b"x", owner=1, next_deadline=wall, expiry=wall + 300)
    sweep = settled(table, deadlines=True)
    sweep.look(wall)
    assert sweep.waiting == 10
    sweep.turn(wall, 0.0)
    assert sweep.waiting == 9
    _, due = sweep.turn(wall, FAR, 100)
    assert 100 <= len(due) < 164
    assert sweep.waiting == 7


def test_what_one_gives_back_the_next_one_finds(make: Callable[..., Table]) -> None:
    table = make(records=63)
    table.slot = 0
    sweep, other = settled(table), settled(table)
    table.commit(key(1), 0, b"x", owner=1, expiry=1e9)
    sweep.look(1e9)
    sweep.give_back()
    assert sweep.waiting == 0
    other.look(1e9)
    assert spend(other, 1e9) == (1, [])


def test_damaged_words_delay_and_do_nothing_else(make: Callable[..., Table]) -> None:
    table = make(records=64 * 300 - 1, blocks=19000)
    table.slot = 0
    for n in range(19000):
        table.commit(key(n), 0, b"x", owner=1, expiry=1e9 + n)
    sweep = settled(table)
    offset, size, count = table.sections()["earliest"]
    draw = random.Random(7)
    with open(table.path, "r+b") as file:
        file.seek(offset)
        file.write(draw.randbytes(size * count))
    gone = 0
    for _ in range(600):
        sweep.look(1e9 + 9999)
        gone += spend(sweep, 1e9 + 9999)[0]
    assert gone == 10000
    assert table.verify().sound


def test_a_damaged_header_that_it_meets_is_quarantined(make: Callable[..., Table]) -> None:
    table = make(records=63)
    table.slot = 0
    table.commit(key(1), 0, b"x", owner=1, expiry=1e9)
    (number,) = [n for n in range(63) if header_is_used(table, n)]
    offset, size, _ = table.sections()["headers"]
    with open(table.path, "r+b") as file:
        file.seek(offset + size * number + 64)
        file.write(bytes(56))
    sweep = settled(table)
    assert table.stats().quarantined == 1
    assert sweep.waiting == 0


def header_is_used(table: Table, number: int) -> bool:
    offset, size, _ = table.sections()["headers"]
    with open(table.path, "rb") as file:
        file.seek(offset + size * number + 44)
        return file.read(4) in (b"AVIL", b"BVIL")
