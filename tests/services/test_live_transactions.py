"""limits.per_source: the transactions of one source that live, counted by looking at them."""

import pytest

from siphon.services.limits import LiveTransactions
from siphon.services.limits.sources import CLEAN_SECS, LIST, PROBES
from siphon.state.memory import MemoryTable


class Desk:
    """A table of limits, a set of live transactions, and as many workers as are asked for."""

    def __init__(self, table=None):
        self.now = 1000.0
        self.alive = set()
        self.table = table if table is not None else MemoryTable(clock=lambda: self.now)
        self.looked = 0
        self.worker = self.new_worker()
        self.made = 0

    def new_worker(self):
        return LiveTransactions(self.table, b"k" * 32, self.lives)

    def lives(self, key):
        self.looked += 1
        return key in self.alive

    def begin(self, most, source="192.0.2.1", worker=None):
        """A new transaction of the source; whether it was let in."""
        self.made += 1
        key = (self.made * 2654435761 % 2**32).to_bytes(4, "big") + self.made.to_bytes(12, "big")
        admitted = (worker or self.worker).admit(source, most, key, self.now)
        if admitted:
            self.alive.add(key)
        return admitted


@pytest.mark.parametrize("most", [1, 5, LIST, LIST + 1, LIST * PROBES])
def test_sec_12_a_source_may_have_exactly_so_many_live_transactions(most):
    desk = Desk()
    assert [desk.begin(most) for _ in range(most + 50)] == [True] * most + [False] * 50
    assert desk.begin(most, source="192.0.2.2")


def test_sec_12_what_has_ended_makes_room_within_a_moment():
    desk = Desk()
    assert all(desk.begin(10) for _ in range(10))
    assert not desk.begin(10)
    for _ in range(4):
        desk.alive.pop()
    desk.now += CLEAN_SECS
    assert [desk.begin(10) for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize("most", [1000, 5000])
def test_sec_12_a_high_limit_is_never_exceeded_and_nearly_reached(most):
    desk = Desk()
    for _ in range(2 * most):
        desk.begin(most)
    assert 0.9 * most <= len(desk.alive) <= most


def test_sec_12_a_transaction_that_is_known_is_none_more():
    desk = Desk()
    assert all(desk.worker.admit("192.0.2.1", 2, key, desk.now) for key in (b"a" * 16, b"b" * 16))
    desk.alive.update((b"a" * 16, b"b" * 16))
    assert desk.worker.admit("192.0.2.1", 2, b"a" * 16, desk.now)
    assert not desk.worker.admit("192.0.2.1", 2, b"c" * 16, desk.now)


def test_sec_12_what_a_dead_worker_had_announced_does_not_count_for_ever():
    desk = Desk()
    dead = desk.new_worker()
    for number in range(10):
        dead.admit("192.0.2.1", 10, b"%016d" % number, desk.now)  # killed before it made one of the records
    assert [desk.begin(10) for _ in range(11)] == [True] * 10 + [False]


def test_sec_12_refusing_is_cheap_a_full_list_is_cleaned_now_and_then():
    desk = Desk()
    assert all(desk.begin(LIST) for _ in range(LIST))
    desk.looked = 0
    for _ in range(1000):
        assert not desk.begin(LIST)
    assert desk.looked == LIST
    desk.now += CLEAN_SECS
    assert not desk.begin(LIST)
    assert desk.looked == 2 * LIST


def test_sec_12_floods_from_ever_new_addresses_stay_within_the_table():
    desk = Desk(MemoryTable(200, 200))
    for number in range(1000):
        desk.now += 1
        assert desk.begin(5, source=f"s{number}")
    assert desk.table.stats().records <= 200


def test_a_table_that_does_not_answer_refuses_nobody():
    desk = Desk()
    desk.begin(1)
    desk.table.busy.update(desk.table.keys(10)[0])
    assert desk.begin(1)
