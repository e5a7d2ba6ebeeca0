"""Who tells `registrar.on_change`: one event of an address of record at a time, whatever handlers and the store do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siphon.engine.deliveries import MOST_RUNNING, Deliveries
from siphon.engine.wakes import READ_KEYS, Wake
from siphon.services.location import Change, Event
from siphon.services.store import StoreError


class Records:
    """Events that wait, by key."""

    def __init__(self, **waiting: int) -> None:
        self.waiting = {name.encode(): list(range(1, count + 1)) for name, count in waiting.items()}
        self.fails = 0

    def changed_keys(self) -> list[bytes]:
        return [key for key, numbers in self.waiting.items() if numbers]

    def begin_change(self, key: bytes, wall: float) -> Change | None:
        numbers = self.waiting.get(key)
        return Change(key.decode(), numbers[0], Event.REGISTERED, [], 0) if numbers else None

    def delivered(self, key: bytes, number: int, wall: float) -> None:
        if self.fails:
            self.fails -= 1
            raise StoreError("busy")
        self.waiting[key] = [n for n in self.waiting[key] if n > number]


class Desk:
    """Handlers that finish when told to, or at once."""

    def __init__(self, records: Records, at_once: bool = True) -> None:
        self.told: list[tuple[str, int]] = []
        self.open: dict[str, Callable[[], None]] = {}
        self.at_once = at_once
        self.deliveries = Deliveries(records, self.run, lambda: 0.0)

    def run(self, change: Change, done: Callable[[], None]) -> None:
        assert change.aor not in self.open, "two events of one address of record at a time"
        self.told.append((change.aor, change.number))
        if self.at_once:
            done()
        else:
            self.open[change.aor] = done

    def finish(self, aor: str) -> None:
        self.open.pop(aor)()

    def steps(self) -> None:
        while self.deliveries.busy:
            self.deliveries.step()


def test_all_events_are_told_in_order_and_taken_off() -> None:
    records = Records(a=3, b=2)
    desk = Desk(records)
    desk.deliveries.look()
    desk.steps()
    assert [number for aor, number in desk.told if aor == "a"] == [1, 2, 3]
    assert [number for aor, number in desk.told if aor == "b"] == [1, 2]
    assert records.changed_keys() == []


def test_while_one_awaits_others_are_told_but_not_its_own() -> None:
    records = Records(a=2, b=1)
    desk = Desk(records, at_once=False)
    desk.deliveries.look()
    desk.steps()
    desk.deliveries.hint([b"a", b"a"])
    desk.steps()
    assert desk.told == [("a", 1), ("b", 1)]
    desk.finish("a")
    desk.steps()
    assert desk.told[2:] == [("a", 2)]


def test_only_so_many_handlers_await_at_a_time() -> None:
    records = Records(**{f"k{number}": 1 for number in range(MOST_RUNNING + 1)})
    desk = Desk(records, at_once=False)
    desk.deliveries.look()
    desk.steps()
    assert len(desk.told) == MOST_RUNNING and not desk.deliveries.busy
    desk.finish("k0")
    desk.steps()
    assert len(desk.told) == MOST_RUNNING + 1


def test_what_could_not_be_taken_off_is_taken_off_later_and_not_told_again() -> None:
    records = Records(a=2)
    desk = Desk(records)
    records.fails = 1
    desk.deliveries.look()
    desk.steps()
    assert desk.told == [("a", 1)] and records.waiting[b"a"] == [1, 2]
    desk.deliveries.look()
    desk.steps()
    assert desk.told == [("a", 1), ("a", 2)] and records.changed_keys() == []


def test_a_hint_without_an_event_costs_a_look() -> None:
    desk = Desk(Records())
    desk.deliveries.hint([b"gone"])
    desk.steps()
    assert desk.told == []


def test_a_store_that_fails_is_for_the_loop_to_log_and_the_record_is_found_again() -> None:
    records = Records(a=1)
    desk = Desk(records)
    desk.deliveries.look()
    plain = records.begin_change

    def fail(key: bytes, wall: float) -> Change | None:
        records.begin_change = plain  # type: ignore[method-assign]
        raise StoreError("busy")

    records.begin_change = fail  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        desk.deliveries.step()
    desk.deliveries.look()
    desk.steps()
    assert desk.told == [("a", 1)]


def test_keys_pass_whole_through_the_pipe_and_never_block() -> None:
    wake = Wake()
    try:
        for number in range(10_000):
            wake.tell(number.to_bytes(16, "big"))
        first = wake.keys()
        assert first == [number.to_bytes(16, "big") for number in range(READ_KEYS)]
        while wake.keys():
            pass
        wake.tell(b"k" * 16)
        assert wake.keys() == [b"k" * 16] and wake.keys() == []
    finally:
        wake.close()
