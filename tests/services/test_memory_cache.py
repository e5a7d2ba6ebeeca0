"""Caches in shared memory: the same for all processes, lists lose nothing, the least recently used go."""

import os
import signal

import pytest

from shm.table import Table
from siphon.services.caches import MemoryCache
from siphon.state.memory import MemoryTable
from workers.net import boottime


class Clock:
    now = 1000.0

    def __call__(self):
        self.now += 0.001  # no two uses at one time
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory", "shared"])
def table(request, clock, tmp_path):
    if request.param == "memory":
        yield MemoryTable(clock=lambda: clock.now)
    else:
        made = Table.create(tmp_path / "caches", records=64, blocks=256, slots=8)
        clock.now = boottime() + 5  # the table has a clock of its own
        yield made
        made.close()


@pytest.fixture
def make(table, clock):
    return lambda name="one", most=100: MemoryCache(name, most, table, b"key", clock)


def test_what_one_process_stores_another_reads(make):
    one, other = make(), make()
    assert one.fetch("a") is None
    assert one.store("a", "värde\udcff", None)
    assert other.fetch("a") == "värde\udcff"
    assert other.store("a", "", None)
    assert one.fetch("a") == ""
    assert one.delete("a") and not other.delete("a")
    assert not other.exists("a")


def test_caches_do_not_see_each_other(make):
    one, two = make("one"), make("two")
    one.store("a", "1", None)
    assert two.fetch("a") is None
    assert two.list_push("a", "x") == 1
    assert one.fetch("a") == "1"


def test_what_has_ended_is_not_there(make, clock):
    cache = make()
    cache.store("a", "1", 10)
    cache.store("b", "1", None)
    assert cache.expire("b", 5) and not cache.expire("c", 5)
    clock.now += 6
    assert (cache.fetch("a"), cache.fetch("b")) == ("1", None)
    clock.now += 6
    assert not cache.exists("a") and not cache.expire("a", 5)
    assert cache.list_push("a", "x") == 1
    assert cache.store("a", "again", None)
    assert cache.fetch("a") == "again"


def test_a_list_keeps_its_order_and_is_emptied_in_one_step(make):
    one, other = make(), make()
    assert [one.list_push("l", "a"), other.list_push("l", "b"), one.list_push("l", "a")] == [1, 2, 3]
    assert other.list_len("l") == 3
    assert other.list_pop_all("l") == ["a", "b", "a"]
    assert one.list_pop_all("l") == []
    assert one.list_len("l") == 0


def test_values_and_lists_are_not_mixed(make):
    cache = make()
    cache.store("v", "1", None)
    cache.list_push("l", "1")
    assert cache.list_push("v", "2") is None
    assert cache.list_pop_all("v") == [] and cache.fetch("v") == "1"
    assert cache.list_len("v") == 0
    assert cache.fetch("l") is None


def test_the_lengths_of_lists_are_added_up_by_prefix(make):
    cache = make()
    for key in ("q:1", "q:1", "q:2", "r:1", "q"):
        cache.list_push(key, "x")
    cache.store("q:text", "not a list", None)
    assert cache.list_len_sum("q:") == 3
    assert cache.list_len_sum("q") == 4
    assert cache.list_len_sum("none") == 0


def test_the_least_recently_used_goes(make):
    cache, other = make(most=3), make(most=3)
    for key in "abc":
        cache.store(key, key, None)
    assert other.fetch("a") == "a"
    other.list_push("d", "x")
    assert [cache.exists(key) for key in "abcd"] == [True, False, True, True]
    cache.store("e", "e", None)
    assert sum(cache.exists(key) for key in "abcde") == 3


def test_no_cache_ever_holds_more_than_it_may(make):
    cache, neighbour = make(most=40), make("two", most=10)
    neighbour.store("mine", "1", None)
    for number in range(200):
        assert cache.store(f"k{number}", "v", None if number % 3 else 5)
        assert len(list(cache._entries())) <= 40
    assert cache.fetch("k199") == "v"
    assert neighbour.fetch("mine") == "1"


def test_a_full_table_makes_room_for_the_cache_that_stores(make):
    cache = make(most=100_000)
    for number in range(300):
        assert cache.store(f"k{number}", "v" * 600, None)
    assert cache.fetch("k299") == "v" * 600


def test_what_is_too_large_is_not_stored(make):
    cache = make()
    assert not cache.store("a", "x" * 70_000, None)
    assert cache.list_push("l", "x" * 40_000) in (1, None)
    assert cache.list_push("l", "x" * 40_000) in (1, None)


def test_processes_that_are_killed_lose_nothing_of_a_list(tmp_path):
    table = Table.create(tmp_path / "caches", records=64, blocks=1024, slots=8)
    told, pids = [], []
    for slot in range(4):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            table.slot = slot
            cache = MemoryCache("c", 10, table, b"key", boottime)
            for number in range(100_000):
                cache.list_push("l", f"{slot}.{number}")
                os.write(writing, b".")
        os.close(writing)
        told.append(reading)
        pids.append(pid)
    table.slot = 5
    cache = MemoryCache("c", 10, table, b"key", boottime)
    popped = []
    while len(popped) < 2000:
        popped += cache.list_pop_all("l")
    seen = []
    for pid, reading in zip(pids, told, strict=True):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        count = 0
        while data := os.read(reading, 65536):
            count += len(data)
        seen.append(count)
        os.close(reading)
    for slot in range(4):
        table.recover(slot)
    popped += cache.list_pop_all("l")
    assert len(popped) == len(set(popped))
    for slot, count in enumerate(seen):
        mine = [item for item in popped if item.startswith(f"{slot}.")]
        assert mine == [f"{slot}.{number}" for number in range(len(mine))]
        assert count <= len(mine) <= count + 1
    table.close()
