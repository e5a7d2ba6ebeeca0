"""What a REGISTER must satisfy before it touches a binding (REG-01 to REG-11, REG-17, SEC-15)."""

from __future__ import annotations

from typing import Any

import pytest
from desk import ALICE, Desk, header

PHONE = "<sip:alice@192.0.2.7:5062>"


@pytest.fixture
def desk() -> Desk:
    """A desk at which alice's phone is registered."""
    desk = Desk()
    assert desk.register(PHONE).ok
    return desk


def refused(desk: Desk, *contacts: str, **options: Any) -> tuple[int, str]:
    """Status and reason of a refusal that, as every refusal, has left the bindings as they were."""
    before = (desk.table.keys(100), desk.lookup())
    result = desk.register(*contacts, **options)
    assert not result.ok
    assert result.record is None
    assert (desk.table.keys(100), desk.lookup()) == before
    return result.status, result.reason


def test_reg_01_a_register_for_another_domain_stores_nothing(desk: Desk) -> None:
    assert refused(desk, PHONE, to="<sip:alice@example.org>") == (404, "Not Found")
    assert desk.register(PHONE, to="<sip:alice@192.0.2.1>").ok


@pytest.mark.parametrize("option", ["outbound", "gruu", "x-unheard-of"])
def test_reg_02_a_required_option_that_is_unknown_is_refused_and_named(desk: Desk, option: str) -> None:
    assert refused(desk, PHONE, require=["path", option]) == (420, "Bad Extension")
    result = desk.register(PHONE, require=[option])
    assert header(result, "Unsupported") == [option]
    result = desk.register(PHONE, require=["x-first", "path", option])
    assert header(result, "Unsupported") == [f"x-first, {option}"]


def test_reg_03_credentials_of_somebody_else_are_forbidden(desk: Desk) -> None:
    assert refused(desk, PHONE, auth_user="bob") == (403, "Forbidden")
    assert refused(desk, PHONE, auth_user="Alice") == (403, "Forbidden")
    assert refused(desk, PHONE, auth_user="alice@evil.example") == (403, "Forbidden")
    assert refused(desk, PHONE, auth_user="") == (403, "Forbidden")


@pytest.mark.parametrize("user", ["alice", "alice@example.com", "alice@EXAMPLE.com", "alice@Asterisk"])
def test_reg_03_ones_own_credentials_with_or_without_realm_are_accepted(desk: Desk, user: str) -> None:
    assert desk.register(PHONE, auth_user=user, auth_realm="asterisk").ok


def test_reg_03_a_user_with_an_escaped_character_is_compared_decoded() -> None:
    desk = Desk()
    assert desk.register(PHONE, to="<sip:a%20b@example.com>", auth_user="a b").ok


def test_reg_03_the_check_can_be_turned_off() -> None:
    assert Desk(enforce_auth_aor_match=False).register(PHONE, auth_user="bob").ok


@pytest.mark.parametrize("contacts", [(PHONE,), ("*",), ()])
def test_sec_15_nobody_adds_removes_or_lists_the_bindings_of_another(desk: Desk, contacts: tuple[str, ...]) -> None:
    assert refused(desk, *contacts, auth_user="mallory", expires="0")[0] == 403


def test_sec_15_an_equal_contact_under_another_address_of_record_hijacks_nothing(desk: Desk) -> None:
    assert desk.register(PHONE, to="<sip:mallory@example.com>").ok
    assert desk.register("*", to="<sip:mallory@example.com>", expires="0").ok
    assert desk.uris(ALICE) == ["sip:alice@192.0.2.7:5062"]


@pytest.mark.parametrize("to", ["<tel:+15551234>", "<mailto:alice@example.com>"])
def test_reg_04_a_to_that_is_no_sip_address_is_a_bad_request(desk: Desk, to: str) -> None:
    assert refused(desk, PHONE, to=to)[0] == 400


@pytest.mark.parametrize(
    "to",
    ['"Alice" <sip:%61lice@EXAMPLE.com;x=y>;tag=1', "sip:alice@example.com;tag=1", "<sip:alice@example.com:5060?a=b>"],
)
def test_reg_05_the_address_of_record_is_compared_in_its_canonical_form(desk: Desk, to: str) -> None:
    result = desk.register("<sip:alice@192.0.2.8>", to=to)
    assert result.ok
    assert len(desk.lookup(ALICE)) == 2


def test_reg_05_the_case_of_the_user_counts(desk: Desk) -> None:
    assert desk.lookup("sip:ALICE@example.com") == []
    result = desk.register("<sip:other@192.0.2.9>", to="<sip:ALICE@example.com>")
    assert header(result, "Contact") == ["<sip:other@192.0.2.9>;expires=3600"]
    assert desk.uris("sip:ALICE@example.com") == ["sip:other@192.0.2.9"]
    assert desk.uris(ALICE) == ["sip:alice@192.0.2.7:5062"]


def test_an_address_of_record_with_control_characters_is_a_programming_error(desk: Desk) -> None:
    with pytest.raises(ValueError, match="control"):
        desk.facts(PHONE, to="<sip:al\x00ice@example.com>")


@pytest.mark.parametrize(
    "contact", ["<sip:", "<>", "sip:a@b?x=y", "<sip:a@b>;q=1.5", "<sip:a@b>;q=-1", "<sip:a@b>;q=0.1234", "<sip:a@b>;q"]
)
def test_reg_15_reg_17_one_contact_that_does_not_parse_refuses_them_all(desk: Desk, contact: str) -> None:
    assert refused(desk, "<sip:alice@192.0.2.8>", contact)[0] == 400


def test_reg_15_one_contact_that_is_too_brief_or_unreadable_refuses_its_neighbours_and_removals(desk: Desk) -> None:
    for unfit, status in (("<sip:alice@192.0.2.9>;expires=59", 423), ("<sip:alice@192.0.2.9>;q=2", 400)):
        assert refused(desk, "<sip:alice@192.0.2.8>", unfit)[0] == status
        assert refused(desk, unfit, "<sip:alice@192.0.2.8>")[0] == status
        assert refused(desk, PHONE + ";expires=0", unfit)[0] == status


def test_reg_08_a_star_beside_a_contact_or_without_expires_0_is_a_bad_request(desk: Desk) -> None:
    assert refused(desk, "*", PHONE, expires="0")[0] == 400
    assert refused(desk, "*")[0] == 400
    assert refused(desk, "*", expires="60")[0] == 400
    assert refused(desk, "*", expires="none")[0] == 400


def test_reg_10_a_lifetime_below_the_minimum_is_too_brief(desk: Desk) -> None:
    assert refused(desk, "<sip:alice@192.0.2.8>", PHONE + ";expires=59") == (423, "Interval Too Brief")
    assert refused(desk, PHONE, expires="1")[0] == 423
    assert header(desk.register(PHONE, expires="1"), "Min-Expires") == ["60"]
    assert desk.register(PHONE, expires="60").ok


def test_reg_25_more_contacts_than_allowed_in_one_request_are_refused() -> None:
    desk = Desk(max_contacts=2)
    many = [f"<sip:alice@192.0.2.{n}>" for n in (1, 2, 3)]
    assert refused(desk, *many) == (503, "Too Many Contacts")
    assert desk.register(*many[:2], many[2] + ";expires=0").ok


def test_of_several_faults_the_first_in_the_documented_order_is_answered(desk: Desk) -> None:
    faults: dict[str, Any] = {"require": "x", "auth_user": "bob", "to": "<tel:1>"}
    statuses = []
    for fault in list(faults):
        statuses.append(refused(desk, "<sip:", **faults)[0])
        del faults[fault]
    statuses.append(refused(desk, "<sip:", "*", to="<sip:a@example.org>")[0])
    statuses.append(refused(desk, "<sip:a@b>;expires=1", "*")[0])
    assert statuses == [420, 403, 400, 404, 400]
