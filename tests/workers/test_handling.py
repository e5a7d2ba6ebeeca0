"""The mark in a slot that a handler runs."""

import pytest

from workers._handling_cy import Handling
from workers.net import boottime


class Slots:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.written: list[tuple[int, float]] = []

    def set_handler(self, slot: int, since: float) -> None:
        self.written.append((slot, since))


def test_only_the_outermost_handler_is_marked() -> None:
    slots = Slots()
    handling = Handling(slots, 3)  # type: ignore[arg-type]
    handling.enter_at(7.5)
    handling.enter_at(8.5)
    assert (slots.written, handling.depth) == ([(3, 7.5)], 2)
    handling.leave()
    assert slots.written == [(3, 7.5)]
    handling.leave()
    assert (slots.written, handling.depth) == ([(3, 7.5), (3, 0.0)], 0)


def test_a_handler_that_enters_is_marked_with_the_time() -> None:
    slots = Slots()
    before = boottime()
    Handling(slots, 1).enter()  # type: ignore[arg-type]
    ((slot, since),) = slots.written
    assert slot == 1 and before <= since <= boottime()


def test_a_slot_that_cannot_be_written_is_told() -> None:
    class Broken(Slots):
        def set_handler(self, slot: int, since: float) -> None:
            raise IndexError(slot)

    with pytest.raises(IndexError):
        Handling(Broken(), 9).enter()  # type: ignore[arg-type]
