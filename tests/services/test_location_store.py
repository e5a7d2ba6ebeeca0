"""Location over a shared table: races, limits, damage, and the ways that lead to a binding (SHARED-10, SHARED-35)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from desk import ALICE, Desk, header

from siphon.services.location import AddressRecord, Event
from siphon.services.store import BadRecord, StoreError, record_key
from siphon.state.memory import MemoryTable
from siphon.state.store import Wait
from siphon.testing.sweep import sweep

PHONE = "<sip:alice@192.0.2.7:5062>"
SOFT = "<sip:alice@192.0.2.8>"
KEY = record_key(b"k" * 32, b"r", ALICE.encode())


def replace_record(desk: Desk, data: bytes) -> None:
    found = desk.table.get(KEY)
    assert isinstance(found, tuple)
    assert desk.table.commit(KEY, found[0], data, owner=0) > 0


def test_shared_10_a_binding_saved_by_one_worker_is_seen_by_every_other_at_once() -> None:
    one = Desk()
    two = one.worker()
    one.register(PHONE)
    assert two.uris() == ["sip:alice@192.0.2.7:5062"]
    assert header(two.register(call_id="call-2"), "Contact") == ["<sip:alice@192.0.2.7:5062>;expires=3600"]


def overtake(desk: Desk, act: Any) -> None:
    """Let `act` happen between the load and the commit of the next change of alice's record."""
    plain = desk.table.commit

    def commit(key: bytes, *args: Any, **kwargs: Any) -> int:
        if key == KEY:
            desk.table.commit = plain  # type: ignore[method-assign]
            act()
        return plain(key, *args, **kwargs)

    desk.table.commit = commit  # type: ignore[method-assign]


def test_shared_10_registers_of_different_contacts_at_one_time_both_survive() -> None:
    one = Desk()
    two = one.worker()
    overtake(one, lambda: two.register(SOFT, call_id="call-2"))
    result = one.register(PHONE)
    assert len(header(result, "Contact")) == 2
    assert sorted(two.uris()) == ["sip:alice@192.0.2.7:5062", "sip:alice@192.0.2.8"]


def test_shared_10_a_lower_cseq_that_comes_second_never_overwrites() -> None:
    one = Desk()
    two = one.worker()
    overtake(one, lambda: two.register(PHONE + ";q=0.2", cseq=8))
    result = one.register(PHONE + ";q=0.7", cseq=7)
    assert (result.status, result.reason) == (500, "CSeq Out Of Order")
    assert two.lookup()[0].q == 0.2


def test_shared_22_a_worker_that_dies_between_hint_and_record_has_changed_nothing() -> None:
    desk = Desk()

    def die() -> None:
        raise KeyboardInterrupt

    overtake(desk, die)
    facts = desk.facts(PHONE, flow_token="t1")
    with pytest.raises(KeyboardInterrupt):
        desk.location.save(facts, desk.wall)
    assert desk.location.lookup_by_token("t1", desk.wall) is None
    assert desk.worker().location.save(facts, desk.wall).ok
    assert desk.location.lookup_by_token("t1", desk.wall) is not None


def test_shared_35_a_full_table_refuses_new_bindings_but_not_refresh_and_removal() -> None:
    desk = Desk(MemoryTable(records=2))
    assert desk.register(PHONE).ok
    result = desk.register("<sip:bob@192.0.2.9>", to="<sip:bob@example.com>")
    assert (result.status, header(result, "Retry-After")) == (503, ["5"])
    assert desk.register(SOFT).status == 503
    assert desk.register(PHONE, expires="7200").ok
    desk.wall += 7000
    assert desk.register(PHONE).ok
    assert desk.register(PHONE + ";expires=0").ok
    assert desk.lookup() == []


def test_shared_35_new_bindings_leave_the_reserve_alone() -> None:
    desk = Desk(MemoryTable(blocks=6, reserve_blocks=2))
    assert desk.register(PHONE).ok
    assert desk.register(SOFT, "<sip:alice@192.0.2.9>").status == 503
    assert desk.register(PHONE).ok


def test_reg_15_a_record_that_would_grow_too_long_is_refused_and_the_old_one_stays() -> None:
    desk = Desk()
    desk.register(PHONE)
    assert desk.register(*(f"<sip:u{n}@h;x={'y' * 9000}>" for n in range(9))).status == 503
    assert desk.uris() == ["sip:alice@192.0.2.7:5062"]


def test_reg_15_a_store_that_stays_busy_gives_500_and_an_error_to_look_ups() -> None:
    desk = Desk()
    desk.register(PHONE)
    desk.table.busy.add(KEY)
    assert desk.register(SOFT).status == 500
    with pytest.raises(StoreError):
        desk.lookup()
    desk.table.busy.clear()
    assert desk.uris() == ["sip:alice@192.0.2.7:5062"]


def test_sec_17_a_damaged_record_is_counted_reads_as_absent_and_is_replaced() -> None:
    desk = Desk()
    desk.register(PHONE)
    replace_record(desk, b"\x93\x01\x02\x03")
    assert desk.lookup() == []
    assert desk.location.damaged == 1
    assert desk.register(SOFT).ok
    assert desk.uris() == ["sip:alice@192.0.2.8"]


def test_sec_17_a_record_of_another_address_is_not_believed() -> None:
    desk = Desk()
    desk.register(PHONE)
    replace_record(desk, AddressRecord("sip:bob@example.com").to_bytes())
    assert desk.lookup() == []
    assert desk.location.damaged == 1


def test_sec_17_random_bytes_give_a_record_or_a_clear_refusal() -> None:
    desk = Desk()
    desk.register(PHONE + ';+sip.instance="<urn:x:1>";ob', SOFT, path=["<sip:edge;lr>"], aliases=["sip:a@example.com"])
    found = desk.table.get(KEY)
    assert isinstance(found, tuple)
    draw = random.Random(7)
    for _ in range(3000):
        damaged = bytearray(found[1])
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            AddressRecord.from_bytes(
                bytes(damaged[: draw.randint(0, len(damaged))] if draw.random() < 0.3 else damaged)
            )
        except BadRecord:
            continue


@pytest.mark.parametrize(
    "change",
    [{"expiry": float("inf")}, {"expiry": float("nan")}, {"q": 2.0}, {"source": ("h", 70000)}, {"refreshed": -1.0}],
)
def test_sec_17_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    desk = Desk()
    desk.register(PHONE)
    record = AddressRecord(ALICE, (replace(desk.lookup()[0], **change),))
    with pytest.raises(BadRecord, match="number"):
        AddressRecord.from_bytes(record.to_bytes())


def test_a_record_reads_back_equal_and_keeps_text_that_is_not_utf_8() -> None:
    desk = Desk()
    desk.register(
        PHONE + ";+sip.instance=x;ob;name=J\udce4s".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
    found = desk.table.get(KEY)
    assert isinstance(found, tuple)
    record = AddressRecord.from_bytes(found[1])
    odd = AddressRecord(record.aor, record.bindings, ("sip:\udce4@example.com",))
    assert AddressRecord.from_bytes(odd.to_bytes()) == odd
    assert AddressRecord.from_bytes(record.to_bytes()) == record


def test_an_alias_leads_to_the_address_of_record_unless_it_has_bindings_of_its_own() -> None:
    desk = Desk()
    desk.register(PHONE, aliases=["sip:support@example.com", "sales@EXAMPLE.com"])
    assert desk.uris("sip:sales@example.com;x=y") == ["sip:alice@192.0.2.7:5062"]
    assert desk.uris("<sip:support@example.com>") == ["sip:alice@192.0.2.7:5062"]
    desk.register(SOFT, to="<sip:support@example.com>")
    assert desk.uris("sip:support@example.com") == ["sip:alice@192.0.2.8"]


def test_an_alias_goes_with_the_bindings_it_was_for() -> None:
    desk = Desk()
    desk.register(PHONE, aliases=["sip:support@example.com"])
    assert desk.location.remove(ALICE, desk.wall)[0][0] is Event.DEREGISTERED
    assert desk.uris("sip:support@example.com") == []
    assert desk.location.remove(ALICE, desk.wall) == ()


def test_a_contact_is_found_over_all_addresses_of_record() -> None:
    desk = Desk()
    desk.register("<sip:phone@192.0.2.7:5060;transport=udp>")
    desk.register("<sip:phone@192.0.2.7>", to="<sip:bob@example.com>")
    found = desk.location.lookup_contact("sip:phone@192.0.2.7;ob", desk.wall)
    assert sorted(aor for aor, _ in found) == [ALICE, "sip:bob@example.com"]
    desk.register("*", expires="0")
    assert len(desk.location.lookup_contact("sip:phone@192.0.2.7", desk.wall)) == 1
    assert desk.location.lookup_contact("sip:other@192.0.2.7", desk.wall) == []


def test_a_flow_token_leads_to_its_live_binding() -> None:
    desk = Desk()
    desk.register(PHONE, flow_token="t1", expires="60")
    found = desk.location.lookup_by_token("t1", desk.wall)
    assert found is not None
    assert found.uri == "sip:alice@192.0.2.7:5062"
    assert desk.location.lookup_by_token(None, desk.wall) is None
    assert desk.location.lookup_by_token("t2", desk.wall) is None
    assert desk.location.lookup_by_token("t1", desk.wall + 60) is None


def test_a_refresh_keeps_the_ways_to_a_binding_alive() -> None:
    desk = Desk()
    for _ in range(5):
        assert desk.register(PHONE, flow_token="t1", aliases=["sip:support@example.com"]).ok
        desk.wall += 3000
    assert desk.location.lookup_by_token("t1", desk.wall) is not None
    assert len(desk.location.lookup_contact("sip:alice@192.0.2.7:5062", desk.wall)) == 1
    assert desk.uris("sip:support@example.com")


def test_a_contact_shared_by_very_many_addresses_keeps_its_hint_bounded() -> None:
    desk = Desk()
    for n in range(40):
        assert desk.register(PHONE, to=f"<sip:u{n}@example.com>").ok
    assert len(desk.location.lookup_contact("sip:alice@192.0.2.7:5062", desk.wall)) == 32
    assert desk.uris("sip:u0@example.com") == desk.uris("sip:u39@example.com")


def test_the_sweep_deletes_what_has_expired_and_tells_whose_last_binding_went() -> None:
    desk = Desk()
    desk.register(PHONE, expires="60")
    desk.register("<sip:bob@h>", to="<sip:bob@example.com>", expires="600")
    assert sweep(desk.location, desk.table, desk.wall) == []
    desk.wall += 60
    (gone,) = sweep(desk.location, desk.table, desk.wall)
    assert gone[0] == ALICE
    assert [(event, b.uri) for event, b in gone[1]] == [(Event.EXPIRED, "sip:alice@192.0.2.7:5062")]
    assert sweep(desk.location, desk.table, desk.wall) == []
    assert desk.uris("sip:bob@example.com")


def test_after_the_last_expiry_and_its_sweeps_nothing_is_left_in_the_table() -> None:
    desk = Desk()
    desk.register(PHONE, SOFT, flow_token="t", aliases=["sip:a@example.com"])
    desk.location.set_associated_uris("sip:nobody@example.com", ["sip:n@example.com"], desk.wall)
    desk.wall += 100_000
    sweep(desk.location, desk.table, desk.wall)
    assert desk.table.stats().records == 0


def test_the_count_is_of_addresses_with_a_live_binding() -> None:
    desk = Desk()
    for n in range(3):
        desk.register(f"<sip:u{n}@h>", to=f"<sip:u{n}@example.com>", expires=str(60 * (n + 1)))
    desk.location.set_associated_uris("sip:idle@example.com", ["sip:n@example.com"], desk.wall)
    assert desk.location.count(desk.wall) == 3
    assert desk.location.count(desk.wall + 60) == 2


def test_associated_uris_are_kept_and_cleared() -> None:
    desk = Desk()
    desk.location.set_associated_uris("alice@example.com", ["sip:a@example.com", "tel:+1"], desk.wall)
    assert desk.location.associated_uris(ALICE) == ["sip:a@example.com", "tel:+1"]
    desk.location.set_associated_uris(ALICE, [], desk.wall)
    assert desk.location.associated_uris(ALICE) == []
    assert desk.table.stats().records == 0
    with pytest.raises(ValueError, match="address of record"):
        desk.location.set_associated_uris("<", ["x"], desk.wall)


@pytest.mark.parametrize("uri", ["", "<", "sip:", "sip:a@b c", "\x00"])
def test_what_is_no_uri_has_no_bindings(uri: str) -> None:
    assert Desk().lookup(uri) == []


@pytest.mark.parametrize("pending", [False, True])
def test_nothing_is_stored_before_the_other_nodes_have_agreed_that_a_nonce_count_is_new(pending: bool) -> None:
    """A REGISTER that is replayed at another node shall bind nothing there (SHARED-09)."""
    desk, answers = Desk(), []
    waits = (Wait(), Wait())
    facts = replace(desk.facts(PHONE), after=waits)
    save = desk.location.save_pending if pending else desk.location.save
    result = save(facts, desk.wall)
    assert (result.status, desk.table.get(KEY)) == (200, None)
    assert isinstance(result.later, Wait)
    result.later.then(answers.append)
    waits[1].resolve(True)
    assert (answers, desk.table.get(KEY)) == ([], None)
    waits[0].resolve(True)
    assert [answer.status for answer in answers] == [200]
    assert desk.table.get(KEY) is not None


@pytest.mark.parametrize("refusal", [False, None])
def test_a_nonce_count_that_another_node_has_seen_stores_nothing(refusal: object) -> None:
    desk, answers = Desk(), []
    wait = Wait()
    result = desk.location.save(replace(desk.facts(PHONE), after=(wait,)), desk.wall)
    assert isinstance(result.later, Wait)
    result.later.then(answers.append)
    wait.resolve(refusal)
    assert ([answer.status for answer in answers], desk.table.get(KEY)) == ([500], None)
