"""The Store over a far store whose answers the test gives: leases, order, lost answers, times, owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from siphon.state.codec import decode, encode
from siphon.state.memory import MemoryTable
from siphon.state.record import Record
from siphon.state.redis.link import Link
from siphon.state.redis.local import Local
from siphon.state.redis.names import Names
from siphon.state.redis.nodes import SLOTS, Membership
from siphon.state.redis.notes import Notes
from siphon.state.redis.remote import TOMBSTONE_SECS, Found, Lost, Node, Nodes, Refused, Write
from siphon.state.redis.script import Lost as LostCall
from siphon.state.redis.script import Refused as RefusedCall
from siphon.state.redis.script import Script, Value
from siphon.state.redis.store import PATIENCE_SECS, FarStore
from siphon.state.store import CONFLICT, FULL, Away, Busy, Commit, Loaded, Send, Wait
from siphon.testing.clock import VirtualClock

KEY = b"k" * 16
OFFSET = 1e9
SEND = Send(b"datagram", ("192.0.2.1", 5060), 0, "")


class Remote:
    """Keeps what it was asked until the test answers."""

    def __init__(self) -> None:
        self.reachable = True
        self.asked: list[tuple[str, Any, Wait]] = []
        self.waiting: list[Wait] = []

    def offset(self, key: bytes) -> float:
        return OFFSET

    def back(self) -> Wait:
        wait = Wait()
        if self.reachable:
            wait.resolve(True)
        else:
            self.waiting.append(wait)
        return wait

    def load(self, key: bytes) -> Wait:
        return self._ask("load", key)

    def write(self, write: Write) -> Wait:
        return self._ask("write", write)

    def renew(self, token: bytes, ttl_secs: float, facts: bytes, former: int) -> Wait:
        return self._ask("renew", former)

    def leave(self, token: bytes) -> Wait:
        return self._ask("leave", token)

    def take(self, dead: int, partition: int, node: int, limit: int) -> Wait:
        return self._ask("take", (dead, partition))

    def forget(self, dead: int) -> Wait:
        return self._ask("forget", dead)

    def _ask(self, kind: str, what: object) -> Wait:
        wait = Wait()
        self.asked.append((kind, what, wait))
        return wait

    def next(self, kind: str) -> tuple[Any, Wait]:
        """What was asked first."""
        asked, what, wait = self.asked.pop(0)
        assert asked == kind
        return what, wait


class Process:
    """A store of one process of node 5; `slot` has generation 1."""

    def __init__(self, world: World, slot: int, before: Callable[[bytes], Wait | None] = lambda key: None) -> None:
        self.remote = Remote()
        self.sent: list[Send] = []
        self.armed: list[tuple[float, bytes, int]] = []
        self.member = Membership(self.remote, b"token", lambda: [(slot, 1)], world.clock, lambda number: None)
        self.member.tick(0.0)
        self.remote.next("renew")[1].resolve(Nodes(5, [Node(5, 3.0, b"")], []))
        self.store = FarStore(
            self.remote,
            Local(world.table, slot, 1, lambda slot, _: slot not in world.dead, world.clock),
            self.member,
            slot=slot,
            generation=1,
            hold_secs=0.25,
            send=lambda commit: self.sent.extend(commit.sends),
            arm=lambda *entry: self.armed.append(entry),
            clock=world.clock,
            later=world.later,
            random_bits=lambda bits: 3,
            before=before,
        )

    def commit(self, expected: int, value: bytes | None, **facts: Any) -> Answer:
        clock = {"owner": 2, "next_deadline": 100.0, "expiry": 500.0, "sends": [SEND]}
        result = self.store.commit(Commit(KEY, expected, value, **{**clock, **facts}))
        assert isinstance(result, Wait)
        return Answer(result)

    def load(self) -> Answer:
        result = self.store.load(KEY)
        assert isinstance(result, Wait)
        return Answer(result)


class Answer:
    """What a Wait came to."""

    def __init__(self, wait: Wait) -> None:
        self.values: list[object] = []
        wait.then(self.values.append)

    @property
    def value(self) -> object:
        assert len(self.values) == 1
        return self.values[0]


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock(50.0)
        self.table = MemoryTable(clock=self.clock)
        self.dead: set[int] = set()
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.calls.append((self.clock() + seconds, call))

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        due = [call for at, call in self.calls if at <= self.clock()]
        self.calls = [entry for entry in self.calls if entry[0] > self.clock()]
        for call in due:
            call()


@pytest.fixture
def world() -> World:
    return World()


def record() -> bytes:
    made = Record(KEY, 7)
    made.trying_at = 60.25
    return encode(made)


def test_datagrams_leave_when_the_answer_is_there_and_before_anybody_else_sees_the_record(world: World) -> None:
    one, two = Process(world, 2), Process(world, 3)
    answer = one.commit(0, record())
    assert isinstance(two.store.load(KEY), Busy) and not answer.values and not one.sent
    write, wait = one.remote.next("write")
    assert write.expected == 0 and write.node == 5 and write.deadline == 100.0 + OFFSET
    assert decode(KEY, write.value).trying_at == 60.25 + OFFSET
    wait.resolve(True)
    assert answer.value == write.version and one.sent == [SEND]
    loaded = two.load()
    two.remote.next("load")[1].resolve(Found(write.version, write.value, 5, write.deadline))
    assert isinstance(loaded.value, Loaded) and decode(KEY, loaded.value.value).trying_at == 60.25
    assert two.store.head(KEY) == (write.version, 2)


class NoteLink:
    """Keeps the calls of Notes until the test answers."""

    def __init__(self) -> None:
        self.calls: list[Wait] = []

    def call(self, script: Script, partition: int, keys: Iterable[bytes], args: Iterable[object] = ()) -> Wait:
        self.calls.append(Wait())
        return self.calls[-1]


@pytest.mark.parametrize("outcome", [Value(1, 0.0), LostCall("hung"), RefusedCall("down")])
def test_shared_31_a_commit_leaves_after_what_other_nodes_must_know_for_its_answers(
    world: World, outcome: object
) -> None:
    link = NoteLink()
    notes = Notes(cast(Link, link), Names())
    one, two = Process(world, 2, notes.under_way), Process(world, 3)
    notes.put(b"tags of the dialog", KEY, 64.0)
    answer = one.commit(0, record())
    loaded = one.load()
    assert one.remote.asked == [] and isinstance(two.store.load(KEY), Busy)
    link.calls[0].resolve(outcome)
    write, wait = one.remote.next("write")
    wait.resolve(True)
    assert answer.value == write.version and one.sent == [SEND] and not loaded.values
    assert one.remote.next("load") and notes.under_way(KEY) is None


def test_a_put_that_is_made_again_is_waited_for_by_its_last_answer() -> None:
    link = NoteLink()
    notes = Notes(cast(Link, link), Names())
    for _ in range(2):
        notes.put(b"tags of the dialog", KEY, 64.0)
    link.calls[0].resolve(Value(1, 0.0))
    assert notes.under_way(KEY) is link.calls[1] and notes.under_way(b"another") is None
    link.calls[1].resolve(Value(1, 0.0))
    assert notes.under_way(KEY) is None


def test_a_load_that_comes_back_while_another_commits_is_shown_to_nobody(world: World) -> None:
    one, two = Process(world, 2), Process(world, 3)
    loaded = two.load()
    one.commit(0, record())
    two.remote.next("load")[1].resolve(Found(9, record(), 5, 0.0))
    assert isinstance(loaded.value, Busy)


def test_events_of_this_process_wait_for_its_commit_and_then_load(world: World) -> None:
    one = Process(world, 2)
    answer = one.commit(0, record())
    write, wait = one.remote.next("write")
    loaded = one.load()
    assert one.store.commit(Commit(KEY, 4, record())) == CONFLICT
    assert one.remote.asked == [] and not loaded.values
    wait.resolve(True)
    assert answer.values
    one.remote.next("load")[1].resolve(Found(write.version, write.value, 5, 0.0))
    assert isinstance(loaded.value, Loaded)


def test_a_conflict_sends_nothing_and_lets_go(world: World) -> None:
    one, two = Process(world, 2), Process(world, 3)
    answer = one.commit(4, record())
    one.remote.next("write")[1].resolve(False)
    assert answer.value == CONFLICT and one.sent == []
    two.commit(0, record())
    assert two.remote.next("write")


def test_shared_30_a_lost_answer_is_asked_for_again_by_the_same_writer(world: World) -> None:
    one = Process(world, 2)
    answer = one.commit(4 << 24, record())
    write, wait = one.remote.next("write")
    one.remote.reachable = False
    wait.resolve(Lost("hung"))
    world.pass_time(1.0)
    assert not answer.values and one.sent == []
    one.remote.reachable = True
    for waiting in one.remote.waiting:
        waiting.resolve(True)
    again, wait = one.remote.next("write")
    assert again == write
    wait.resolve(True)
    assert answer.value == write.version == 5 << 24 | 3 and one.sent == [SEND]


def test_shared_29_new_work_whose_answer_is_lost_is_refused_and_its_record_removed_later(world: World) -> None:
    one = Process(world, 2)
    answer = one.commit(0, record(), new_work=True)
    write, wait = one.remote.next("write")
    wait.resolve(Lost("hung"))
    assert isinstance(answer.value, Away)
    world.pass_time(1.0)
    again, wait = one.remote.next("write")
    assert again == write
    wait.resolve(True)
    assert one.sent == []
    gone, wait = one.remote.next("write")
    assert gone.value is None and gone.expected == write.version
    wait.resolve(True)
    assert one.store.under_way == 0 and one.store.head(KEY) is None


@pytest.mark.parametrize("answer", [Lost("hung"), Refused("down")])
def test_shared_29_the_record_of_refused_work_is_removed_however_often_the_store_goes(
    world: World, answer: object
) -> None:
    one = Process(world, 2)
    one.commit(0, record(), new_work=True)
    write, wait = one.remote.next("write")
    wait.resolve(Lost("hung"))
    world.pass_time(1.0)
    _, wait = one.remote.next("write")
    one.remote.reachable = False
    wait.resolve(True)
    world.pass_time(1.0)
    assert one.remote.asked == []
    one.remote.reachable = True
    world.pass_time(1.0)
    gone, wait = one.remote.next("write")
    wait.resolve(answer)
    world.pass_time(1.0)
    again, wait = one.remote.next("write")
    assert gone.value is None and again.value is None and again.expected == gone.expected == write.version
    wait.resolve(True)
    world.pass_time(1.0)
    assert one.store.under_way == 0 and one.remote.asked == []


@pytest.mark.parametrize("stands", [True, False])
def test_shared_29_refused_work_is_not_begun_anew_by_who_stood_still_meanwhile(world: World, stands: bool) -> None:
    """Another node may have taken it, and be done with it."""
    one = Process(world, 2)
    one.commit(0, record(), new_work=True)
    write, wait = one.remote.next("write")
    world.pass_time(TOMBSTONE_SECS + 1.0)
    wait.resolve(Lost("no answer in time"))
    world.pass_time(1.0)
    gone, wait = one.remote.next("write")
    assert gone.value is None and gone.expected == write.version
    wait.resolve(stands)
    world.pass_time(1.0)
    assert one.store.under_way == 0 and one.remote.asked == [] and one.sent == []


def test_refused_work_on_which_another_has_committed_is_told_of(world: World) -> None:
    one = Process(world, 2)
    doubted: list[bytes] = []
    one.store.doubted = doubted.append
    one.commit(0, record(), new_work=True)
    one.remote.next("write")[1].resolve(Lost("hung"))
    world.pass_time(1.0)
    one.remote.next("write")[1].resolve(True)
    one.remote.next("write")[1].resolve(False)
    assert doubted == [KEY] and one.store.under_way == 0


def test_a_commit_that_is_never_answered_is_given_back(world: World) -> None:
    one = Process(world, 2)
    answer = one.commit(4, record())
    while not answer.values:
        one.remote.next("write")[1].resolve(Lost("hung"))
        world.pass_time(1.0)
        assert world.clock() < 50 + PATIENCE_SECS + 3
    assert isinstance(answer.value, Away) and one.sent == []


def test_nothing_is_asked_while_the_store_is_away_and_who_waits_is_called_when_it_is_back(world: World) -> None:
    one = Process(world, 2)
    one.remote.reachable = False
    away = one.load()
    result = one.store.commit(Commit(KEY, 0, record()))
    assert isinstance(result, Away) and not away.values and one.remote.asked == []
    world.pass_time(1.0)
    assert not away.values
    one.remote.reachable = True
    world.pass_time(1.0)
    assert away.values == [True]


def test_a_store_that_takes_half_its_limit_is_behind(world: World) -> None:
    one = Process(world, 2)
    one.commit(4, record())
    assert not one.store.is_behind
    world.pass_time(0.2)
    assert one.store.is_behind
    one.remote.next("write")[1].resolve(True)
    assert not one.store.is_behind


def test_a_refusal_of_a_running_calls_commit_is_away_and_frees_the_lease(world: World) -> None:
    one, two = Process(world, 2), Process(world, 3)
    answer = one.commit(4, record())
    one.remote.next("write")[1].resolve(Refused("down"))
    assert isinstance(answer.value, Away)
    assert two.load()


def test_a_stopped_process_that_finds_its_lease_gone_sends_nothing(world: World) -> None:
    one, two = Process(world, 2), Process(world, 3)
    answer = one.commit(0, record())
    write, wait = one.remote.next("write")
    world.pass_time(5.0)
    two.commit(4, record())
    wait.resolve(True)
    assert answer.value == write.version and one.sent == [] and one.store.unordered == 1


def test_a_process_that_dies_in_a_commit_frees_its_lease_and_a_sibling_looks_after_the_record(world: World) -> None:
    one, two = Process(world, 2), Process(world, 3)
    one.commit(0, record())
    world.dead.add(2)
    assert [key for key, _, _ in two.store.owned(2)] == [KEY]
    two.load()
    two.remote.next("load")[1].resolve(Found(9, record(), 5, 77.0 + OFFSET))
    assert two.armed == [(77.0, KEY, 9)] and two.store.head(KEY) == (9, 3)


def test_who_commits_what_a_sibling_owns_leaves_it_to_whoever_adopts_him(world: World) -> None:
    """The sibling has looked in vain while it was leased, and looks no more."""
    one, two = Process(world, 2), Process(world, 3)
    answer = two.commit(0, record(), owner=3, next_deadline=60.0)
    write, wait = two.remote.next("write")
    wait.resolve(True)
    assert answer.values and two.store.owned(3) == [(KEY, write.version, 60.0)]
    one.commit(write.version, record())
    world.dead.add(2)
    assert [(key, at) for key, _, at in two.store.owned(2)] == [(KEY, 51.0)] and two.store.owned(3) == []


def test_what_another_node_owns_is_not_fired_here(world: World) -> None:
    one = Process(world, 2)
    answer = one.commit(0, record())
    write, wait = one.remote.next("write")
    wait.resolve(True)
    assert answer.values and one.store.owned(2) == [(KEY, write.version, 100.0)]
    one.load()
    one.remote.next("load")[1].resolve(Found(write.version + 1, record(), 6, 90.0 + OFFSET))
    assert one.store.head(KEY) is None and one.store.owned(2) == []


def test_what_is_taken_over_is_armed_here(world: World) -> None:
    one = Process(world, 2)
    one.store.taken(KEY, 9, 77.0 + OFFSET)
    assert one.armed == [(77.0, KEY, 9)] and one.store.owned(2) == [(KEY, 9, 77.0)]


def test_a_full_table_of_this_node_refuses_new_work(world: World) -> None:
    world.table = MemoryTable(records=1, reserve_records=1, clock=world.clock)
    one = Process(world, 2)
    assert one.store.commit(Commit(KEY, 0, record(), new_work=True)) == FULL


@pytest.mark.parametrize("found", [Found(9, b"", 0, 0.0, sound=False), Found(9, b"\x03\x00", 5, 0.0)])
def test_sec_17_a_damaged_record_is_handed_out_as_no_record(world: World, found: Found) -> None:
    one = Process(world, 2)
    loaded = one.load()
    one.remote.next("load")[1].resolve(found)
    assert loaded.value == Loaded(9, b"") and one.store.damaged == 1


def test_the_slots_of_a_node_are_numbered_among_those_of_all_nodes(world: World) -> None:
    one = Process(world, 2)
    member = one.member
    assert member.slot(2) == 5 * SLOTS + 2
    here = lambda slot, generation: (slot, generation) == (2, 1)  # noqa: E731
    assert member.alive(member.slot(2), 1, here) and not member.alive(member.slot(2), 0, here)
    member.next_at = 0.0
    member.tick(world.clock())
    facts = b"\x03\x00" + (7).to_bytes(8, "little")
    one.remote.next("renew")[1].resolve(Nodes(5, [Node(5, 60.0, b""), Node(6, 60.0, facts)], [4]))
    assert member.alive(6 * SLOTS + 3, 7, here) and member.alive(6 * SLOTS + 3, 8, here)
    assert not member.alive(6 * SLOTS + 3, 6, here), "a newer process has that slot"
    assert not member.alive(6 * SLOTS + 2, 1, here) and not member.alive(4 * SLOTS + 1, 1, here)
    world.pass_time(60.0)
    assert member.alive(4 * SLOTS + 1, 1, here), "nothing is known of others while we are cut off"
