"""What a process takes over from dead nodes, and how it finds what its own node has without knowing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from siphon.state.redis.remote import PARTITIONS, Lost, Portion, Taken
from siphon.state.redis.takeover import AGAIN_SECS, LOOK_SECS, TakeOver
from siphon.state.store import Wait

KEY = b"k" * 16
EMPTY = Portion([], False)


@dataclass
class Member:
    number: int = 0
    dead: list[int] = field(default_factory=list)


class Remote:
    """Keeps what it was asked until the test answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int, Wait]] = []
        self.forgotten: list[int] = []

    def take(self, dead: int, partition: int, node: int, limit: int) -> Wait:
        wait = Wait()
        self.asked.append((dead, partition, node, wait))
        return wait

    def forget(self, dead: int) -> Wait:
        self.forgotten.append(dead)
        return Wait()


class Bench:
    def __init__(self) -> None:
        self.remote, self.member = Remote(), Member(5)
        self.taken: list[tuple[bytes, int, float]] = []
        remote: Any = self.remote
        member: Any = self.member
        self.takeover = TakeOver(remote, member, lambda *record: self.taken.append(record))

    def tick(self, now: float, answers: dict[int, object] | None = None) -> list[tuple[int, int]]:
        """One turn at `now`; `answers` by partition, of the others nothing is taken. Whose indexes were looked into,
        and how many partitions of each."""
        self.remote.asked = []
        self.takeover.tick(now)
        seen: dict[int, set[int]] = {}
        while self.remote.asked:
            dead, partition, node, wait = self.remote.asked.pop(0)
            assert node == 5
            seen.setdefault(dead, set()).add(partition)
            wait.resolve((answers or {}).pop(partition, EMPTY))
        return [(dead, len(partitions)) for dead, partitions in seen.items()]


def test_a_process_looks_through_the_index_of_its_own_node_when_it_begins() -> None:
    """Another process may have taken a record over, or committed one, and died before anybody else knew."""
    bench = Bench()
    assert bench.tick(10.0, {3: Portion([Taken(KEY, 9, 77.0)], False)}) == [(5, PARTITIONS)]
    assert bench.taken == [(KEY, 9, 77.0)]
    looks = [now for now in (10.5, 11.0, 12.0, 15.0, 20.0, 60.0) if bench.tick(now)]
    assert looks == [10.0 + later for later in LOOK_SECS[1:]]


def test_a_new_number_is_looked_through_as_well() -> None:
    bench = Bench()
    for now in (10.0, 11.0, 15.0):
        bench.tick(now)
    assert bench.tick(20.0) == []
    bench.member.number = 5 + 1
    bench.remote.asked = []
    bench.takeover.tick(20.5)
    assert {(dead, node) for dead, _, node, _ in bench.remote.asked} == {(6, 6)}


def test_a_partition_whose_answer_is_lost_is_looked_through_again() -> None:
    bench = Bench()
    bench.tick(10.0, {3: Lost("hung")})
    assert bench.tick(10.5) == [(5, 1)] and bench.tick(10.6) == []


def test_what_was_taken_by_an_answer_that_is_lost_is_found_in_our_own_index() -> None:
    bench = Bench()
    for now in (10.0, 11.0, 15.0):
        bench.tick(now)
    bench.member.dead = [7]
    assert bench.tick(20.0, {3: Lost("hung")}) == [(7, PARTITIONS)]
    assert bench.remote.forgotten == [] and bench.taken == []
    assert bench.tick(20.5, {3: Portion([Taken(KEY, 9, 77.0)], False)}) == [(5, 1)]
    assert bench.taken == [(KEY, 9, 77.0)]
    assert bench.tick(20.0 + AGAIN_SECS) == [(7, PARTITIONS)]
    assert bench.remote.forgotten == [7]
