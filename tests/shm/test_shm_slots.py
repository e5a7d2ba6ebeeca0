"""Worker slots: generation, heart, counters, damage."""

import ctypes
import os
import random

import pytest

from shm._slots import ROW_BYTES
from shm.slots import LayoutMismatch, SlotCondition, Slots
from shm.table import Table


@pytest.fixture
def slots(folder):
    return Slots.create(f"{folder}/slots", 8, 16)


def test_a_free_slot_shows_nothing(slots):
    state = slots.read(3)
    assert (state.pid, state.heartbeat, state.busy, state.state) == (0, 0.0, False, SlotCondition.FREE)
    assert slots.generation_of(3) == 0


def test_entering_gives_a_generation_that_was_never_there(slots, folder):
    seen = [slots.enter(1, 100), slots.enter(1, 101)]
    slots.leave(1)
    seen.append(slots.enter(1, 102))
    seen.append(Slots.create(f"{folder}/slots", 8, 16).enter(1, 103))
    assert seen == sorted(set(seen))
    assert slots.read(1).starts == 4
    os.unlink(f"{folder}/slots")
    assert Slots.create(f"{folder}/slots", 8, 16).enter(1, 104) > 1_000_000


def test_the_heart_beats_where_others_see_it(slots, folder):
    generation = slots.enter(2, 4242)
    slots.beat(2, 17.25, True)
    slots.set_handler(2, 17.5)
    slots.set_row_flags(2, 5)
    seen = Slots.attach(f"{folder}/slots").read(2)
    assert (seen.pid, seen.generation, seen.heartbeat, seen.busy) == (4242, generation, 17.25, True)
    assert (seen.in_handler_since, seen.flags, seen.state) == (17.5, 5, SlotCondition.TAKEN)
    slots.set_handler(2, 0.0)
    assert seen.in_handler_since == 17.5
    assert slots.read(2).in_handler_since == 0.0


def test_a_slot_that_was_left_keeps_its_generation_but_no_process(slots):
    generation = slots.enter(2, 4242)
    slots.beat(2, 17.25, True)
    slots.leave(2)
    left = slots.read(2)
    assert (left.pid, left.busy, left.generation, left.state) == (0, False, generation, SlotCondition.FREE)
    assert slots.generation_of(2) == 0


def test_counters_add_up_over_the_slots_and_outlive_their_processes(slots, folder):
    slots.add(0, 3)
    slots.adder(5)(3, 40)
    slots.leave(5)
    assert slots.total(3) == 41
    assert slots.row(5)[3] == 40
    assert Slots.create(f"{folder}/slots", 8, 16).total(3) == 41


def test_the_instance_has_flags_a_script_version_and_a_start(slots, folder):
    slots.raise_flags(2 | 1 << 63)
    slots.raise_flags(5)
    slots.lower_flags(4 | 1 << 63)
    slots.script_version = 9
    slots.started_wall = 1.7e9
    other = Slots.attach(f"{folder}/slots")
    assert (other.flags, other.script_version, other.started_wall) == (3, 9, 1.7e9)


def test_what_is_not_there_is_an_index_error(slots):
    for call in (slots.read, slots.leave, slots.row, slots.total):
        with pytest.raises(IndexError):
            call(99)
        with pytest.raises(IndexError):
            call(-1)
    with pytest.raises(IndexError):
        slots.add(0, 16)
    with pytest.raises(IndexError):
        slots.adder(0)(16)
    with pytest.raises(IndexError):
        slots.adder(len(slots))


def test_other_sizes_are_refused(folder, slots):
    with pytest.raises(LayoutMismatch, match="wanted are 9 and 16"):
        Slots.create(f"{folder}/slots", 9, 16)
    assert len(Slots.create(f"{folder}/slots", 9, 16, fresh=True)) == 9


def test_a_table_notes_critical_sections_in_the_slot(folder, slots):
    table = Table.create(f"{folder}/t", records=8, blocks=8, slots=8)
    table.slot = 4
    table.watch(slots, 4)
    seen = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    def send(_):
        seen.append(slots.read(4).critical_since)
        return 0

    table.commit(b"k" * 16, 0, b"", owner=1, action=(ctypes.cast(send, ctypes.c_void_p).value, 0))
    assert seen[0] > 0.0
    assert slots.read(4).critical_since == 0.0


def test_sec_17_random_bytes_in_the_slots_are_recognised_or_harmless(slots):
    dice = random.Random(11)
    damaged = 0
    for _ in range(400):
        index = dice.randrange(8)
        slots.enter(index, 1000 + index)
        at = slots.c_address + 4096 + index * ROW_BYTES + dice.randrange(ROW_BYTES - 8)
        ctypes.memmove(at, dice.randbytes(8), 8)
        state = slots.read(index)
        assert state.state is SlotCondition.DAMAGED or state.pid == 1000 + index
        assert 0.0 <= state.heartbeat < float("inf")
        damaged += state.state is SlotCondition.DAMAGED
    assert damaged > 50
    assert slots.enter(0, 1) > 0
    assert slots.read(0).state is SlotCondition.TAKEN


def test_sec_17_a_damaged_first_page_of_the_slots_is_refused(slots, folder):
    ctypes.memmove(slots.c_address + 16, b"\xff", 1)
    with pytest.raises(LayoutMismatch, match="damaged"):
        Slots.attach(f"{folder}/slots")


def test_one_look_tells_whether_anybody_is_busy(slots):
    assert not slots.any_busy()
    slots.enter(7, 4242)
    slots.beat(7, 17.25, True)
    assert slots.any_busy()
    slots.leave(7)
    assert not slots.any_busy()


def test_one_look_tells_whether_all_of_some_slots_are_live(slots):
    assert slots.all_live((), 100.0, 0.05)
    slots.enter(2, 4242)
    slots.enter(3, 4243)
    slots.beat(2, 1.0, False)
    slots.beat(3, 99.96, True)
    assert slots.all_live((2, 3), 100.0, 0.05)
    assert not slots.all_live((1, 2, 3), 100.0, 0.05)  # nobody is in slot 1
    assert not slots.all_live((2, 3), 100.1, 0.05)  # 3 is busy and does not beat
    slots.beat(3, float("nan"), True)
    assert not slots.all_live((2, 3), 100.0, 0.05)
