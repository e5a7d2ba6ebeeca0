"""save_pending and confirm_pending: a REGISTER that is put aside (API 11.2)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from desk import ALICE, Desk, header
from test_on_change_events import Office

from siphon.services.location import AddressRecord
from siphon.services.location.pending import MOST
from siphon.services.store import BadRecord
from siphon.testing.sweep import sweep

PHONE = "<sip:alice@192.0.2.7:5062>"
SOFT = "<sip:alice@192.0.2.8>"


def put_aside(desk: Desk, *contacts: str, **options: Any) -> Any:
    return desk.location.save_pending(desk.facts(*contacts, **options), desk.wall)


def test_what_is_put_aside_is_answered_as_save_does_and_invisible_until_it_is_confirmed() -> None:
    office = Office()
    result = put_aside(office, PHONE, expires="600", path=["<sip:edge;lr>"], supported=["path"])
    assert (result.status, header(result, "Contact")) == (200, [f"{PHONE};expires=600"])
    assert header(result, "Path") == ["<sip:edge;lr>"]
    assert office.lookup() == [] and header(office.register(call_id="x"), "Contact") == []
    assert office.location.lookup_contact("sip:alice@192.0.2.7:5062", office.wall) == []
    assert office.location.changed_keys() == [] and office.location.count(office.wall) == 0
    office.wall += 10
    assert office.location.confirm("alice@EXAMPLE.com;x=y", office.wall)
    (binding,) = office.lookup()
    assert (binding.uri, binding.remaining(office.wall), binding.path) == (PHONE.strip("<>"), 590, ("<sip:edge;lr>",))
    assert len(office.location.lookup_contact("sip:alice@192.0.2.7:5062", office.wall)) == 1
    assert office.all() == ["registered"]


def test_there_is_nothing_to_confirm_twice_or_of_somebody_else() -> None:
    desk = Desk()
    assert not desk.location.confirm(ALICE, desk.wall)
    put_aside(desk, PHONE)
    assert not desk.location.confirm("sip:bob@example.com", desk.wall)
    assert desk.location.confirm(ALICE, desk.wall) and not desk.location.confirm(ALICE, desk.wall)
    assert not desk.location.confirm("<<>>", desk.wall)


def test_what_is_not_confirmed_within_32_s_is_dropped() -> None:
    desk = Desk()
    put_aside(desk, PHONE)
    desk.wall += 31.9
    sweep(desk.location, desk.table, desk.wall)
    assert desk.table.stats().records == 1
    desk.wall += 0.1
    assert not desk.location.confirm(ALICE, desk.wall) and desk.lookup() == []
    put_aside(desk, PHONE, call_id="call-2")
    desk.wall += 33
    sweep(desk.location, desk.table, desk.wall)
    assert desk.table.stats().records == 0


def test_other_registers_in_between_are_kept_and_their_order_counts() -> None:
    desk = Desk()
    put_aside(desk, PHONE, call_id="one", cseq=5)
    desk.register(SOFT, call_id="two")
    assert desk.location.confirm(ALICE, desk.wall) and len(desk.lookup()) == 2
    put_aside(desk, PHONE + ";q=0.1", call_id="one", cseq=6)
    desk.register(PHONE + ";q=0.7", call_id="one", cseq=7)
    assert not desk.location.confirm(ALICE, desk.wall)
    assert sorted(b.q for b in desk.lookup()) == [0.7, 1.0]


def test_what_is_put_aside_passes_the_same_checks() -> None:
    desk = Desk()
    desk.register(PHONE, cseq=5)
    assert put_aside(desk, PHONE, cseq=5, transaction=b"another.request.").status == 500
    assert put_aside(desk, PHONE, expires="1").status == 423
    assert put_aside(desk, PHONE, to="<sip:a@elsewhere.example>").status == 404
    assert put_aside(desk).status == 200
    assert not desk.location.confirm(ALICE, desk.wall)


def test_of_one_call_id_the_latest_waits_and_a_repeat_is_harmless() -> None:
    desk = Desk()
    put_aside(desk, PHONE, cseq=5)
    facts = desk.facts(SOFT, cseq=6)
    assert desk.location.save_pending(facts, desk.wall).ok and desk.location.save_pending(facts, desk.wall).ok
    assert put_aside(desk, PHONE, cseq=6, transaction=b"another.request.").status == 500
    assert desk.location.confirm(ALICE, desk.wall)
    assert desk.uris() == ["sip:alice@192.0.2.8"]


def test_a_removal_waits_too_and_everything_goes_with_remove() -> None:
    office = Office()
    office.register(PHONE)
    assert put_aside(office, "*", expires="0").ok and len(office.lookup()) == 1
    assert office.location.confirm(ALICE, office.wall) and office.lookup() == []
    assert office.all() == ["registered", "deregistered"]
    put_aside(office, PHONE)
    office.location.remove(ALICE, office.wall)
    assert not office.location.confirm(ALICE, office.wall)


def test_a_bounded_number_waits() -> None:
    desk = Desk()
    for number in range(MOST):
        assert put_aside(desk, f"<sip:a@h{number}>", call_id=f"c{number}").ok
    result = put_aside(desk, PHONE, call_id="more")
    assert (result.status, header(result, "Retry-After")) == (503, ["32"])
    assert desk.location.confirm(ALICE, desk.wall) and len(desk.lookup()) == MOST


def test_sec_17_a_damaged_pending_request_is_refused_or_read_whole() -> None:
    desk = Desk()
    facts = desk.facts(PHONE, SOFT, path=["<sip:e;lr>"], aliases=["sip:x@example.com"], auth_user="alice", expires="90")
    desk.location.save_pending(facts, desk.wall)
    (key,), _ = desk.table.keys(10)
    found = desk.table.get(key)
    assert isinstance(found, tuple)
    assert AddressRecord.from_bytes(found[1]).pending[0].facts == facts
    draw = random.Random(3)
    for _ in range(3000):
        damaged = bytearray(found[1])
        for _ in range(draw.randint(1, 3)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            AddressRecord.from_bytes(bytes(damaged))
        except BadRecord:
            continue


@pytest.mark.parametrize("action", ["evict", "reject"])
def test_reg_25_the_limit_counts_at_both_times(action: str) -> None:
    desk = Desk(max_contacts=1, max_contacts_action=action)
    put_aside(desk, PHONE, call_id="one")
    desk.register(SOFT, call_id="two")
    assert desk.location.confirm(ALICE, desk.wall) is (action == "evict")
    assert desk.uris() == ["sip:alice@192.0.2.7:5062" if action == "evict" else "sip:alice@192.0.2.8"]
