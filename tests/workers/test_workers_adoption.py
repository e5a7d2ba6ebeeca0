"""Who serves whom."""

from dataclasses import replace
from types import MethodType, SimpleNamespace
from typing import Any

from worker_fakes import FakeSlot, FakeSlots

from workers.adoption import Crew, crew_of, free_places, is_live
from workers.loop import LoopOptions, WorkerLoop

NOW = 100.0
IDLE = FakeSlot(pid=1, heartbeat=1.0, busy=False)
BEATING = FakeSlot(pid=2, heartbeat=NOW - 0.04, busy=True)
BLOCKED = FakeSlot(pid=3, heartbeat=NOW - 0.06, busy=True)
EMPTY = FakeSlot(pid=0, heartbeat=NOW, busy=False)


def adopters(*workers: FakeSlot, helper: FakeSlot | None = None, orphaned: tuple[int, ...] = ()) -> dict[int, int]:
    crew = Crew(len(workers), 7 if helper else None, orphaned)
    states = dict(enumerate(workers)) | ({7: helper} if helper else {})
    return crew.adopters(states, NOW)


def test_a_slot_is_live_while_idle_or_beating() -> None:
    assert [is_live(state, NOW) for state in (IDLE, BEATING, BLOCKED, EMPTY)] == [True, True, False, False]


def test_nobody_is_adopted_while_all_live() -> None:
    assert adopters(IDLE, BEATING, IDLE, helper=IDLE) == {}


def test_all_is_well_exactly_while_nobody_adopts_anybody() -> None:
    slots = FakeSlots()
    for index, state in ((0, IDLE), (1, BEATING), (7, IDLE)):
        slots.write(index, pid=state.pid, heartbeat=state.heartbeat, busy=state.busy)
    assert Crew(2, 7).is_well(slots, NOW) and Crew(2).is_well(slots, NOW)
    assert not Crew(2, 7, orphaned=(3,)).is_well(slots, NOW)
    assert not Crew(2, 7).is_well(slots, NOW + 0.02)
    assert not Crew(3, 7).is_well(slots, NOW)


def test_the_next_live_worker_adopts_cyclically() -> None:
    assert adopters(EMPTY, IDLE, IDLE) == {0: 1}
    assert adopters(IDLE, IDLE, BLOCKED) == {2: 0}
    assert adopters(IDLE, BLOCKED, EMPTY) == {1: 0, 2: 0}
    assert adopters(BLOCKED, BEATING, EMPTY, IDLE) == {0: 1, 2: 3}


def looking(slots: dict[int, FakeSlot], noted: list[str]) -> Any:
    """What of a worker's loop looks after the slots: it is the one of slot 1."""
    application = SimpleNamespace(
        adopt=lambda slot, dead, now: noted.append(f"adopts {slot}"),
        release=lambda slot: noted.append(f"releases {slot}"),
    )
    table = SimpleNamespace(
        read=lambda index: slots[index],
        all_live=lambda indexes, now, _: all(is_live(slots[index], now) for index in indexes),
        add=lambda *_: None,
        beat=lambda *_: None,
    )
    loop = SimpleNamespace(
        context=SimpleNamespace(slot=1, adopted=set(), is_helper=True),
        slots=table,
        application=application,
        options=LoopOptions(Crew(2)),
        now=NOW,
        beaten=NOW,
        heard={},
        dead={},
        keep_beating=lambda: None,
    )
    for name in ("look", "adopt", "release", "guard"):
        setattr(loop, name, MethodType(getattr(WorkerLoop, name), loop))
    return loop


def test_a_worker_that_blocks_again_after_one_beat_is_adopted_anew() -> None:
    slots = {0: BLOCKED, 1: IDLE}
    noted: list[str] = []
    loop = looking(slots, noted)
    loop.look()
    loop.look()
    assert noted == ["adopts 0"]
    slots[0] = replace(BLOCKED, heartbeat=BLOCKED.heartbeat + 0.005)
    loop.look()
    assert noted == ["adopts 0", "releases 0", "adopts 0"]


def test_who_adopts_or_releases_asks_its_application_at_once_and_does_not_sleep_over_what_is_due() -> None:
    """Timers of scripts were up to a second late where a slot was released in the turn after they had been set."""
    slots = {0: BLOCKED, 1: IDLE}
    loop = looking(slots, [])
    for state in (BLOCKED, IDLE):
        slots[0], loop.next_tick = state, NOW + 0.4
        loop.look()
        assert loop.next_tick == 0.0


def test_the_helper_adopts_when_no_worker_lives() -> None:
    assert adopters(BLOCKED, EMPTY, helper=IDLE) == {0: 7, 1: 7}
    assert adopters(BLOCKED, EMPTY, helper=EMPTY) == {}
    assert adopters(BLOCKED, EMPTY) == {}


def test_a_dead_helper_is_adopted_by_a_worker() -> None:
    assert adopters(IDLE, IDLE, helper=EMPTY) == {7: 0}
    assert adopters(BLOCKED, IDLE, helper=BLOCKED) == {0: 1, 7: 1}


def test_slots_of_an_earlier_run_are_always_adopted() -> None:
    assert adopters(IDLE, IDLE, orphaned=(4, 5)) == {4: 1, 5: 0}
    assert adopters(EMPTY, IDLE, orphaned=(5,)) == {0: 1, 5: 1}


def test_the_crew_knows_which_slots_an_earlier_run_has_used() -> None:
    slots = FakeSlots()
    for index in (0, 1, 4, 7):
        slots.enter(index, 1)
        slots.leave(index)
    assert crew_of(slots, 8, 2, True) == Crew(2, 7, (4,))
    assert crew_of(slots, 8, 2, False) == Crew(2, None, (4, 7))
    assert crew_of(slots, 8, 1, True, lambda slot: slot == 4) == Crew(1, 7, (4,))


def test_the_crew_of_an_upgrade_lives_elsewhere_and_looks_after_the_old_slots_once_they_are_left() -> None:
    slots = FakeSlots()
    crew = crew_of(slots, 8, 2, True, lambda slot: False, sockets=3, first=3, last=6, others=(0, 1, 7))
    assert crew == Crew(2, 6, (0, 1, 5, 7), 3)
    assert list(crew.workers) == [3, 4]
    living = dict.fromkeys(range(8), IDLE) | {5: EMPTY}
    assert crew.adopters(living, NOW) == {5: 4}
    assert crew.adopters(living | {0: EMPTY, 7: EMPTY, 4: BLOCKED}, NOW) == {0: 3, 4: 3, 5: 3, 7: 3}
    assert Crew.unpack(crew.pack()) == crew


def test_places_for_a_second_crew_are_free_ones_in_a_row() -> None:
    first = [0, 1, 2, 63, 62]
    assert free_places(first, 64, 3, 2) == (3, 61)
    assert free_places([3, 4, 5, 61, 60], 64, 3, 2) == (0, 63)
    assert free_places([1, 2, 63], 64, 2, 2) == (3, 62)
    assert free_places([*range(40), 63, 62], 64, 20, 2) == (40, 61)
    assert free_places([*range(40), 63, 62], 64, 21, 2) is None
    assert free_places([*range(64)], 64, 1, 1) is None
