"""What `on_change` is told: events in the record, their order, their bound, and what happens when somebody dies."""

from __future__ import annotations

from typing import Any

import pytest
from desk import ALICE, Desk
from test_location_store import overtake

from siphon.services.location import AddressRecord, Changes, Event
from siphon.services.location.changes import MOST
from siphon.services.store import BadRecord, StoreError, pack
from siphon.state.memory import MemoryTable
from siphon.testing.sweep import sweep

PHONE = "<sip:alice@192.0.2.7:5062>"
SOFT = "<sip:alice@192.0.2.8>"


class Office(Desk):
    """A desk with a helper behind it that is told what has changed."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.woken: list[bytes] = []
        self.location.tell = self.woken.append

    def next(self) -> tuple[str, list[str]] | None:
        """Deliver one event of whoever has some: kind and URIs of the bindings then."""
        keys = self.location.changed_keys()
        change = self.location.begin_change(keys[0], self.wall) if keys else None
        if change is None:
            return None
        self.location.delivered(keys[0], change.number, self.wall)
        return change.event.value, [b.uri for b in change.bindings]

    def all(self) -> list[str]:
        found = []
        while (event := self.next()) is not None:
            found.append(event[0])
        return found


def test_there_is_one_event_a_changed_contact_in_order_with_the_bindings_at_delivery() -> None:
    office = Office()
    office.register(PHONE)
    office.register(PHONE + ";q=0.5", SOFT)
    office.register(SOFT + ";expires=0")
    assert office.next() == ("registered", ["sip:alice@192.0.2.7:5062"])
    office.register("*", expires="0")
    assert office.next() == ("refreshed", [])
    assert office.all() == ["registered", "deregistered", "deregistered"]


def test_who_is_told_is_told_after_the_change_is_stored() -> None:
    office = Office()
    seen: list[int] = []
    office.location.tell = lambda key: seen.append(len(office.lookup()))
    office.register(PHONE)
    office.register()
    assert seen == [1]


def test_a_refused_register_is_no_event() -> None:
    office = Office()
    office.register(PHONE, cseq=5)
    office.all()
    assert office.register(PHONE, cseq=5, transaction=b"another.request.").status == 500
    assert office.register(SOFT, expires="1").status == 423
    assert office.all() == []


def test_force_replaces_without_deregistered() -> None:
    office = Office()
    office.register(PHONE, SOFT)
    office.all()
    office.register(SOFT, "<sip:alice@new>", force=True)
    assert office.all() == ["refreshed", "registered"]


def test_eviction_and_removal_deregister_also_when_others_remain() -> None:
    office = Office(max_contacts=2)
    for host in ("h1", "h2", "h3"):
        office.wall += 1
        office.register(f"<sip:a@{host}>")
    assert office.all() == ["registered"] * 3 + ["deregistered"]
    office.location.remove(ALICE, office.wall)
    assert office.all() == ["deregistered"] * 2
    assert office.table.stats().records == 3  # hints; of alice nothing is left


def test_a_save_that_is_repeated_by_its_transaction_is_told_once() -> None:
    office = Office()
    for force in (False, True):
        facts = office.facts(PHONE, SOFT, force=force)
        office.location.save(facts, office.wall)
        office.all()
        assert office.location.save(facts, office.wall).ok
        assert office.all() == []


def test_only_the_sweep_that_takes_the_last_binding_away_is_an_expiry() -> None:
    office = Office()
    office.register(PHONE, expires="60")
    office.register(SOFT, expires="100")
    office.all()
    office.wall += 61
    sweep(office.location, office.table, office.wall)
    assert office.all() == []
    office.wall += 60
    assert sweep(office.location, office.table, office.wall) != []
    assert office.next() == ("expired", [])
    assert sweep(office.location, office.table, office.wall) == [] and office.all() == []
    assert office.location.count(office.wall) == 0


def test_a_phone_that_is_back_before_the_sweep_has_not_expired() -> None:
    office = Office()
    office.register(PHONE, expires="60")
    office.wall += 61
    office.register(PHONE)
    sweep(office.location, office.table, office.wall)
    assert office.all() == ["registered", "registered"]


@pytest.mark.parametrize("how", ["remove", "star"])
def test_who_takes_away_what_has_expired_does_the_sweeps_work(how: str) -> None:
    office = Office()
    office.register(PHONE, expires="60")
    office.all()
    office.wall += 61
    if how == "remove":
        assert office.location.remove(ALICE, office.wall) == ()
    else:
        office.register("*", expires="0")
    assert office.all() == ["expired"]


def test_the_sweep_waits_for_nothing_that_was_not_told_yet() -> None:
    office = Office()
    office.register(PHONE, expires="60")
    office.wall += 61
    sweep(office.location, office.table, office.wall)
    assert office.all() == ["registered", "expired"]


def test_an_event_that_nobody_took_off_is_there_for_the_next_process() -> None:
    office = Office()
    office.register(PHONE)
    (key,) = office.location.changed_keys()
    first = office.location.begin_change(key, office.wall)
    other = office.worker().location
    again = other.begin_change(key, office.wall)
    assert other.changed_keys() == [key] and first is not None and again == first._replace(runs=2)
    office.location.delivered(key, 1, office.wall)
    assert other.changed_keys() == [] and other.begin_change(key, office.wall) is None
    office.location.delivered(key, 1, office.wall)


def test_how_often_an_event_was_begun_is_its_own() -> None:
    changes = Changes().add([Event.REFRESHED]).begin().begin()
    assert changes.begun == 2 and changes.add([Event.REGISTERED]).begun == 2
    assert changes.add([Event.REGISTERED] * MOST).begun == 0  # the first has been left out
    assert changes.add([Event.REGISTERED]).delivered(1).begun == 0
    office = Office()
    office.register(PHONE, SOFT)
    (key,) = office.location.changed_keys()
    for runs in (1, 2, 3):
        change = office.location.begin_change(key, office.wall)
        assert change is not None and change.runs == runs
        office.register(PHONE)
    office.location.delivered(key, 1, office.wall)
    change = office.location.begin_change(key, office.wall)
    assert change is not None and (change.number, change.runs) == (2, 1)


def test_a_register_while_an_event_is_begun_or_taken_off_loses_neither() -> None:
    office = Office()
    office.register(PHONE)
    (key,) = office.location.changed_keys()
    overtake(office, lambda: office.register(SOFT))
    change = office.location.begin_change(key, office.wall)
    assert change is not None and (change.number, len(change.bindings)) == (1, 2)
    overtake(office, lambda: office.register("<sip:alice@192.0.2.9>"))
    office.location.delivered(key, 1, office.wall)
    assert office.all() == ["registered"] * 2 and len(office.lookup()) == 3


def test_a_table_that_stays_busy_keeps_the_event() -> None:
    office = Office()
    office.register(PHONE)
    (key,) = office.location.changed_keys()
    office.table.busy.add(key)
    with pytest.raises(StoreError):
        office.location.delivered(key, 1, office.wall)
    office.table.busy.clear()
    assert office.all() == ["registered"]


def test_events_wait_for_an_hour_although_the_record_has_nothing_else() -> None:
    office = Office(MemoryTable(clock=lambda: office.wall))
    office.register(PHONE, expires="60")
    office.register("*", expires="0")
    office.wall += 3500
    sweep(office.location, office.table, office.wall)
    assert office.all() == ["registered", "deregistered"]
    office.register(PHONE, expires="60")
    office.location.remove(ALICE, office.wall)
    office.wall += 3601
    assert office.location.changed_keys() == [] or office.next() is None


def test_without_a_script_that_wants_them_no_event_is_kept() -> None:
    office = Office()
    office.register(PHONE)
    office.location.tell = None
    office.register(PHONE)
    assert office.location.changed_keys() == []
    office.register("*", expires="0")
    assert office.lookup() == []


def test_of_too_many_events_the_oldest_refreshed_go_and_the_number_is_known() -> None:
    changes = Changes().add([Event.REGISTERED, *[Event.REFRESHED] * (MOST - 1)])
    changes = changes.add([Event.DEREGISTERED, Event.REGISTERED])
    assert len(changes.waiting) == MOST and changes.lost == 2
    assert changes.waiting[:2] == ((1, Event.REGISTERED), (4, Event.REFRESHED))
    assert changes.waiting[-2:] == ((MOST + 1, Event.DEREGISTERED), (MOST + 2, Event.REGISTERED))
    assert changes.delivered(1).lost == 2 and changes.begin().lost == 0


def test_of_too_many_events_that_are_no_refresh_the_oldest_goes() -> None:
    changes = Changes().add([Event.REGISTERED] * MOST).add([Event.DEREGISTERED])
    assert [changes.waiting[0][0], changes.waiting[-1]] == [2, (MOST + 1, Event.DEREGISTERED)]
    assert Changes().add([Event.REGISTERED] * MOST).add([Event.REFRESHED]).waiting[-1][1] is Event.REFRESHED


def test_a_register_is_answered_however_many_events_wait() -> None:
    office = Office()
    for _ in range(3 * MOST):
        assert office.register(PHONE).ok
    (key,) = office.location.changed_keys()
    change = office.location.begin_change(key, office.wall)
    assert change is not None and change.lost == 2 * MOST
    office.register(PHONE)
    office.location.delivered(key, change.number, office.wall)
    change = office.location.begin_change(key, office.wall)
    assert change is not None and change.lost == 1
    assert len(office.all()) == MOST - 1


def test_a_record_of_the_first_version_is_read() -> None:
    office = Office()
    office.register(PHONE, aliases=["sip:a@example.com"])
    (binding,) = office.lookup()
    record = AddressRecord(ALICE, (binding,), ("sip:a@example.com",), ("sip:x@h",), ("<sip:r>",))
    fields = record.to_bytes()
    first = b"\x96\x01" + fields[2 : -len(pack([[], Changes().flat()])) + 1]
    assert AddressRecord.from_bytes(first) == record


@pytest.mark.parametrize(
    "changes",
    [None, [1, 0, 0], [1, 0, 0, [[1, 9]]], [1, 0, 0, [[1]]], [-1, 0, 0, []], [1, "0", 0, []], [1, 0, 0, [[1, 1]] * 65]],
)
def test_sec_17_events_that_are_damaged_are_refused(changes: Any) -> None:
    with pytest.raises(BadRecord):
        AddressRecord.from_bytes(pack([2, ALICE, [], [], [], [], [], changes]))
