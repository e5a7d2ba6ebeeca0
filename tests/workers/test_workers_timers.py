"""Timer rings against a sorted list."""

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.timers import TimerRings


def key(number: int) -> bytes:
    return b"%016d" % number


def test_entries_come_out_in_the_order_of_deadlines_when_they_are_due() -> None:
    rings = TimerRings()
    for number, deadline in enumerate([5.0, 1.0, 3.0]):
        rings.arm(deadline, key(number), 100 + number)
    assert rings.next_deadline() == 1.0
    assert rings.due(0.9) == []
    assert rings.due(3.0) == [(key(1), 101), (key(2), 102)]
    assert rings.next_deadline() == 5.0
    assert rings.due(9.0, limit=0) == []
    assert rings.due(9.0) == [(key(0), 100)]
    assert rings.next_deadline() is None
    assert len(rings) == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=400))
def test_any_mix_of_arming_and_firing_equals_a_sorted_list(steps: list[tuple[float, float]]) -> None:
    rings = TimerRings()
    model: list[tuple[float, int]] = []
    for number, (deadline, now) in enumerate(steps):
        rings.arm(deadline, key(number), number)
        model.append((deadline, number))
        if number % 7 == 6:
            due = [entry for entry in model if entry[0] <= now]
            fired = [version for _, version in rings.due(now)]
            assert sorted(fired) == sorted(version for _, version in due)
            assert [steps[version][0] for version in fired] == sorted(deadline for deadline, _ in due)
            model = [entry for entry in model if entry[0] > now]
        assert len(rings) == len(model)
        assert rings.next_deadline() == min((deadline for deadline, _ in model), default=None)


def test_a_falling_row_of_deadlines_fits_as_well() -> None:
    rings = TimerRings()
    for number in range(5000):
        rings.arm(5000.0 - number, key(number), number)
    assert [version for _, version in rings.due(1e9, limit=9999)] == list(range(4999, -1, -1))


def test_versions_have_64_bits() -> None:
    rings = TimerRings()
    rings.arm(1.0, key(0), 2**64 - 1)
    assert rings.due(1.0) == [(key(0), 2**64 - 1)]


@pytest.mark.parametrize(("deadline", "name"), [(1.0, b"short"), (1.0, b"x" * 17), (float("nan"), key(0))])
def test_what_is_no_key_or_deadline_is_refused(deadline: float, name: bytes) -> None:
    with pytest.raises(ValueError, match="is"):
        TimerRings().arm(deadline, name, 1)


PAST = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_uint64)


def test_what_is_past_is_dropped_and_not_given() -> None:
    rings, gone = TimerRings(), {101}
    judge = PAST(lambda _, where, version: version in gone and where[:16] == key(version - 100))
    rings.skip_past(ctypes.cast(judge, ctypes.c_void_p).value or 0, 0)
    for number in range(3):
        rings.arm(1.0 + number, key(number), 100 + number)
    assert rings.due(2.0) == [(key(0), 100)]
    assert len(rings) == 1


def test_nobody_wakes_up_for_what_is_past_before_it_is_due() -> None:
    rings, gone = TimerRings(), {100, 101, 103}
    judge = PAST(lambda _, where, version: version in gone)
    rings.skip_past(ctypes.cast(judge, ctypes.c_void_p).value or 0, 0)
    for number in range(4):
        rings.arm(1.0 + number, key(number), 100 + number)
    rings.prune(1.5)
    assert rings.next_deadline() == 2.0
    rings.prune(9.0)
    assert rings.next_deadline() == 3.0 and len(rings) == 2
