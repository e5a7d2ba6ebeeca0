"""What a REGISTER does to the bindings (REG-06 to REG-26)."""

from __future__ import annotations

from typing import Any

import pytest
from desk import Desk, Via, header

from siphon.services.location import Event

PHONE = "<sip:alice@192.0.2.7:5062>"
SOFT = "<sip:alice@192.0.2.8>"


def test_reg_06_without_contact_the_bindings_are_listed_and_nothing_changes() -> None:
    desk = Desk()
    made = header(desk.register(PHONE, SOFT), "Contact")
    before = desk.table.keys(100)
    result = desk.register()
    assert (result.status, result.record) == (200, None)
    assert header(result, "Contact") == made and len(made) == 2
    assert made[0] == "<sip:alice@192.0.2.7:5062>;expires=3600"
    assert desk.table.keys(100) == before


def test_reg_06_a_listing_of_nothing_has_expires_0() -> None:
    result = Desk().register()
    assert (header(result, "Contact"), header(result, "Expires")) == ([], ["0"])


def test_reg_07_a_star_removes_every_binding() -> None:
    desk = Desk()
    desk.register(PHONE)
    desk.register(SOFT, call_id="call-2")
    result = desk.register("*", expires="0")
    assert result.ok
    assert (header(result, "Contact"), header(result, "Expires")) == ([], ["0"])
    assert [event for event, _ in result.events] == [Event.DEREGISTERED] * 2
    assert desk.lookup() == []


def test_reg_07_a_star_with_a_cseq_that_is_not_higher_fails_whole() -> None:
    desk = Desk()
    desk.register(SOFT, call_id="call-2", cseq=9)
    desk.register(PHONE, cseq=5)
    for cseq in (4, 5):
        result = desk.register("*", expires="0", cseq=cseq, transaction=b"new" * 5)
        assert (result.status, result.reason) == (500, "CSeq Out Of Order")
    assert len(desk.lookup()) == 2
    assert desk.register("*", expires="0", cseq=6).ok


@pytest.mark.parametrize(
    ("contact", "expires", "granted"),
    [
        (PHONE, None, 1800),
        (PHONE, "120", 120),
        (PHONE + ";expires=90", "120", 90),
        (PHONE, "86400", 7200),
        (PHONE + ";expires=4294967296", None, 7200),
        (PHONE + ";expires=" + "9" * 5000, None, 7200),
        (PHONE + ";expires=soon", None, 3600),
        (PHONE + ";expires=-1", None, 3600),
        (PHONE + ";expires", None, 3600),
        (PHONE, "Thu, 01 Dec 2040 16:00:00 GMT", 3600),
    ],
)
def test_reg_09_reg_11_the_lifetime_asked_for_is_granted_up_to_the_maximum(
    contact: str, expires: str | None, granted: int
) -> None:
    desk = Desk(default_expires=1800)
    result = desk.register(contact, expires=expires)
    assert header(result, "Contact") == [f"{PHONE};expires={granted}"]
    assert header(result, "Expires") == [str(granted)]


def test_reg_09_the_default_applies_when_nothing_is_asked() -> None:
    result = Desk(default_expires=300).register(PHONE)
    assert header(result, "Expires") == ["300"]


def test_reg_09_zero_removes_that_binding_and_only_that() -> None:
    desk = Desk()
    desk.register(PHONE, SOFT)
    result = desk.register(PHONE + ";expires=0")
    assert [(event, b.uri) for event, b in result.events] == [(Event.DEREGISTERED, "sip:alice@192.0.2.7:5062")]
    assert desk.uris() == ["sip:alice@192.0.2.8"]
    assert desk.register(PHONE, expires="0").ok


@pytest.mark.parametrize(
    "other",
    [
        "<sip:alice@host.example.com:5060>",
        "<sip:alice@host.example.com;transport=udp>",
        "<sip:Alice@host.example.com>",
        "<sips:alice@host.example.com>",
    ],
)
def test_reg_12_unequal_contacts_are_different_bindings(other: str) -> None:
    desk = Desk()
    desk.register("<sip:alice@host.example.com>")
    desk.register(other)
    assert len(desk.lookup()) == 2


@pytest.mark.parametrize("other", ["<sip:alice@HOST.example.com;b=2;a=1>", "<sip:%61lice@host.example.com;a=1;b=2>"])
def test_reg_12_equal_contacts_are_one_binding(other: str) -> None:
    desk = Desk()
    desk.register("<sip:alice@host.example.com;a=1;b=2>")
    result = desk.register(other)
    assert [event for event, _ in result.events] == [Event.REFRESHED]
    assert desk.uris() == [other.strip("<>")]


def test_reg_13_a_cseq_that_is_not_higher_fails_and_changes_nothing() -> None:
    desk = Desk()
    desk.register(PHONE, cseq=5)
    for contact in (PHONE, PHONE + ";expires=0"):
        result = desk.register(SOFT, contact, cseq=5, transaction=b"another.request.")
        assert (result.status, result.reason) == (500, "CSeq Out Of Order")
    assert desk.uris() == ["sip:alice@192.0.2.7:5062"]


def test_reg_13_another_call_id_may_update_with_any_cseq() -> None:
    desk = Desk()
    desk.register(PHONE, cseq=500)
    assert desk.register(PHONE + ";q=0.3", cseq=1, call_id="rebooted").ok
    assert desk.lookup()[0].q == 0.3


def test_reg_14_shared_22_the_same_transaction_may_save_again() -> None:
    desk = Desk()
    facts = desk.facts(PHONE, SOFT)
    first = desk.location.save(facts, desk.wall)
    again = desk.worker().location.save(facts, desk.wall)
    assert first.headers == again.headers
    assert len(desk.lookup()) == 2


def test_reg_14_saves_without_a_transaction_id_are_never_taken_for_the_same() -> None:
    desk = Desk()
    assert desk.register(PHONE, cseq=1, transaction=b"").ok
    assert desk.register(PHONE, cseq=1, transaction=b"").status == 500


def test_reg_16_the_answer_lists_all_bindings_with_what_is_left_and_their_parameters() -> None:
    desk = Desk()
    desk.register(f'"Desk" {PHONE};q=0.50;+sip.instance="<urn:x:1>";x-vendor="a;b";ob', expires="600")
    desk.wall += 100
    result = desk.register(SOFT + ";q=0", call_id="call-2")
    assert header(result, "Contact") == [
        PHONE + ';expires=500;q=0.5;+sip.instance="<urn:x:1>";x-vendor="a;b";ob',
        SOFT + ";expires=3600;q=0",
    ]
    assert header(result, "Expires") == ["3600"]
    assert header(result, "Date") == ["Fri, 15 Jan 2027 08:01:40 GMT"]


def test_reg_17_a_missing_q_is_one_and_q_orders_the_lookup() -> None:
    desk = Desk()
    desk.register("<sip:low@h>;q=0.1", "<sip:none@h>", "<sip:mid@h>;q=0.555")
    assert [(b.uri, b.q) for b in desk.lookup()] == [("sip:none@h", 1.0), ("sip:mid@h", 0.555), ("sip:low@h", 0.1)]


def test_a_lookup_puts_the_most_recently_refreshed_first_among_equal_q() -> None:
    desk = Desk()
    desk.register(PHONE)
    desk.wall += 1
    desk.register(SOFT)
    assert desk.uris() == ["sip:alice@192.0.2.8", "sip:alice@192.0.2.7:5062"]


def test_reg_18_an_expired_binding_is_invisible_from_that_second_on() -> None:
    desk = Desk()
    desk.register(PHONE, expires="60")
    desk.register(SOFT, expires="120")
    desk.wall += 59.9
    assert len(desk.lookup()) == 2
    desk.wall += 0.1
    assert desk.uris() == ["sip:alice@192.0.2.8"]
    assert len(header(desk.register(), "Contact")) == 1


def test_reg_18_an_expired_binding_takes_no_part_in_the_cseq_rule_nor_in_the_count() -> None:
    desk = Desk(max_contacts=1, max_contacts_action="reject")
    desk.register(PHONE, cseq=50, expires="60")
    desk.wall += 61
    assert desk.register(PHONE, cseq=1).ok
    desk.wall += 3601
    assert desk.register(SOFT).ok


def test_reg_20_a_contact_of_another_scheme_is_stored_and_listed() -> None:
    desk = Desk()
    result = desk.register("<tel:+15551234>", "<mailto:alice@example.net>")
    assert [value.split(";")[0] for value in header(result, "Contact")] == [
        "<tel:+15551234>",
        "<mailto:alice@example.net>",
    ]


def test_reg_21_reg_22_path_is_stored_in_order_and_echoed_only_to_who_supports_it() -> None:
    desk = Desk()
    path = ["<sip:edge1.example.com;lr>", "<sip:edge2.example.com;lr>"]
    lax = desk.register(PHONE, path=path)
    assert (lax.status, header(lax, "Path")) == (200, [])
    assert list(desk.lookup()[0].path) == path
    assert header(desk.register(PHONE, path=path, supported=["outbound", "Path"]), "Path") == path
    assert desk.register(PHONE, require="path").ok


def test_reg_25_evict_replaces_the_same_instance_before_the_stalest() -> None:
    desk = Desk(max_contacts=2)
    desk.register('<sip:a@h1>;+sip.instance="<urn:x:1>";reg-id=1', call_id="1")
    desk.wall += 1
    desk.register('<sip:a@h2>;+sip.instance="<urn:x:2>";reg-id=1', call_id="2")
    desk.wall += 1
    result = desk.register('<sip:a@h3>;+sip.instance="<urn:x:2>";reg-id=2', call_id="3")
    assert desk.uris() == ["sip:a@h3", "sip:a@h1"]
    assert [(e, b.uri) for e, b in result.events] == [(Event.REGISTERED, "sip:a@h3"), (Event.DEREGISTERED, "sip:a@h2")]


def test_reg_25_evict_lets_the_least_recently_refreshed_go() -> None:
    desk = Desk(max_contacts=2)
    for host in ("h1", "h2", "h1", "h3"):
        desk.wall += 1
        assert desk.register(f"<sip:a@{host}>").ok
    assert desk.uris() == ["sip:a@h3", "sip:a@h1"]


def test_reg_25_reject_answers_503_but_a_refresh_always_works() -> None:
    desk = Desk(max_contacts=1, max_contacts_action="reject")
    desk.register(PHONE)
    result = desk.register(SOFT)
    assert (result.status, result.reason) == (503, "Too Many Contacts")
    assert desk.register(PHONE).ok
    assert desk.register(PHONE + ";expires=0", SOFT).ok


def test_reg_25_a_refresh_works_when_the_limit_was_lowered_below_what_is_there() -> None:
    desk = Desk(max_contacts=3, max_contacts_action="reject")
    desk.register("<sip:a@h1>", "<sip:a@h2>", "<sip:a@h3>")
    lowered = Desk(desk.table, max_contacts=1, max_contacts_action="evict")
    lowered.cseq = 50
    assert lowered.register("<sip:a@h2>").ok
    assert len(lowered.lookup()) == 3


def test_reg_26_the_same_instance_and_reg_id_replace_each_other_whatever_the_uri() -> None:
    desk = Desk()
    tail = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";reg-id=1'
    desk.register("<sip:a@old;ob>" + tail)
    result = desk.register("<sip:a@new;ob>" + tail.replace("AABB", "aabb"), call_id="rebooted", cseq=1)
    assert desk.uris() == ["sip:a@new;ob"]
    assert "reg-id=1" in header(result, "Contact")[0]
    desk.register("<sip:a@second>" + tail.replace("reg-id=1", "reg-id=2"))
    assert len(desk.lookup()) == 2


def test_a_contact_equal_to_one_binding_by_instance_and_another_by_uri_replaces_both() -> None:
    desk = Desk()
    desk.register('<sip:a@h1>;+sip.instance="<urn:x:1>"', "<sip:a@h2>")
    desk.register('<sip:a@h2>;+sip.instance="<urn:x:1>"')
    assert desk.uris() == ["sip:a@h2"]


def test_the_same_contact_twice_in_one_request_is_one_binding_the_last_one_counts() -> None:
    desk = Desk()
    assert desk.register(PHONE + ";q=0.1", PHONE + ";q=0.9").ok
    assert [b.q for b in desk.lookup()] == [0.9]


def test_force_replaces_all_bindings_without_saying_that_they_went() -> None:
    desk = Desk()
    desk.register(PHONE, SOFT)
    result = desk.register(SOFT, "<sip:alice@new>", force=True)
    assert desk.uris() == ["sip:alice@192.0.2.8", "sip:alice@new"]
    assert [event for event, _ in result.events] == [Event.REFRESHED, Event.REGISTERED]


def test_the_rest_of_what_is_stored_survives_a_register() -> None:
    desk = Desk()
    desk.location.set_service_routes("sip:alice@example.com", ["<sip:edge;lr>"], desk.wall)
    desk.register(PHONE, aliases=["alice.smith@example.com"])
    desk.register(PHONE)
    assert desk.location.service_routes("sip:alice@example.com") == ["<sip:edge;lr>"]
    assert desk.uris("sip:alice.smith@example.com") == ["sip:alice@192.0.2.7:5062"]


@pytest.mark.parametrize(
    ("via", "said", "behind"),
    [
        (Via(b"192.0.2.7", 5062), False, False),
        (Via(b"192.0.2.7", 5062), True, True),
        (Via(b"192.0.2.7", 0), False, True),
        (Via(b"10.0.0.1", 5062), False, True),
        (Via(b"phone.example.net", 5062), False, True),
    ],
)
def test_nat_12_a_sent_by_that_is_not_the_source_means_behind_nat(via: Via, said: bool, behind: bool) -> None:
    desk = Desk()
    result = desk.register("<sip:alice@10.0.0.1>", via=via, behind_nat=said)
    assert header(result, "Contact") == ["<sip:alice@10.0.0.1>;expires=3600"]
    stored = desk.lookup()[0]
    assert (stored.behind_nat, stored.source, stored.local) == (behind, ("192.0.2.7", 5062), ("192.0.2.1", 5060))


def test_nat_12_an_absent_port_is_5060_and_ipv6_is_compared_as_a_number() -> None:
    desk = Desk()
    options: dict[str, Any] = {"source": ("2001:db8::1", 5060), "local": ("::1", 5060)}
    desk.register(PHONE, via=Via(b"[2001:DB8:0::1]", 0), **options)
    assert not desk.lookup()[0].behind_nat
