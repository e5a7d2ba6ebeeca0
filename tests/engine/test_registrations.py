"""Registrations from the wire to the wire: what is answered, and where the next call goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
OFFICE = """
import asyncio
from siphon import proxy, registrar

told = []

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.fork(registrar.lookup(request.ruri))

@registrar.on_change
def changed(aor, event, contacts):
    told.append((aor, event, [str(c) for c in contacts], [c.is_local for c in contacts]))

@registrar.on_change
async def slowly(aor, event, contacts):
    await asyncio.sleep(1)
    told.append(("slowly", event))
    if event == "refreshed":
        raise RuntimeError("of the handler")
"""


def register(
    phone: Agent, contact: str | None = None, uri: str = "sip:example.com", sent_by: str = "", **more: str
) -> None:
    number = len(phone.statuses) + 1
    text = phone.request("REGISTER", uri, call_id=f"r{phone.port}", cseq=number, to=more.pop("to", BOB), **more)
    if contact is not None:
        text = text.replace(f"Contact: <sip:{phone.ip}:{phone.port}>\n", f"Contact: {contact}\n" if contact else "")
    phone.send(text.replace(f"UDP {phone.ip}:{phone.port}", f"UDP {sent_by}") if sent_by else text)
    assert len(phone.statuses) == number


def call(world: World, uri: str = BOB) -> Agent:
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", uri))
    return caller


def contacts(phone: Agent) -> list[bytes]:
    return [bytes(value) for value in phone.last.values("Contact")]


def told(world: World) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = (
        world.workers[0].runtime.script().handlers("registrar.on_change")[0].function.__globals__["told"]
    )
    return found


def test_reg_01_a_user_in_the_request_uri_is_ignored(make_world: Make) -> None:
    world = make_world(OFFICE)
    phone = world.agent("127.0.0.2", 5091)
    register(phone, uri="sip:somebody@example.com")
    call(world, "sip:somebody@example.com")
    assert phone.requests == []
    call(world)
    assert phone.statuses == [200] and phone.requests == ["INVITE"]


def test_reg_05_a_call_finds_the_phone_however_the_address_is_written(make_world: Make) -> None:
    world = make_world(OFFICE)
    phone = world.agent("127.0.0.2", 5091)
    register(phone, to="sip:%62ob@EXAMPLE.com:5060;x=y")
    call(world, "sip:bob@example.com;user=ip")
    assert phone.requests == ["INVITE"]
    call(world, "sip:Bob@example.com")
    assert phone.requests == ["INVITE"]


def test_reg_18_an_expired_phone_is_neither_listed_nor_called(make_world: Make) -> None:
    world = make_world(OFFICE)
    one, two = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    register(one, headers="Expires: 60")
    register(two, headers="Expires: 120")
    assert contacts(two) == [b"<sip:127.0.0.2:5091>;expires=60", b"<sip:127.0.0.2:5092>;expires=120"]
    world.advance(60)
    register(two, contact="")
    assert contacts(two) == [b"<sip:127.0.0.2:5092>;expires=60"]
    call(world)
    assert one.requests == [] and two.requests == ["INVITE"]


@pytest.mark.parametrize("sent_by", ["127.0.0.2:5091", "10.0.0.7:5060"])
@pytest.mark.parametrize("contact", ["<sips:bob@127.0.0.2:5091>", "<tel:+15551234>", "<mailto:bob@example.net>"])
def test_reg_20_a_contact_of_another_scheme_is_listed_and_never_reached_by_udp(
    make_world: Make, contact: str, sent_by: str
) -> None:
    """Also where the phone is behind NAT, so that the place it registered from is known."""
    world = make_world(OFFICE)
    phone = world.agent("127.0.0.2", 5091)
    register(phone, contact, sent_by=sent_by)
    assert contacts(phone) == [contact.encode() + b";expires=3600"]
    caller = call(world)
    assert phone.requests == [] and caller.statuses[-1] >= 400


def test_reg_21_a_call_goes_along_the_path_its_first_value_first(make_world: Make) -> None:
    world = make_world(OFFICE)
    phone, edge = world.agent("127.0.0.2", 5091), world.agent("127.0.0.3", 5060)
    register(phone, headers="Path: <sip:127.0.0.3;lr>, <sip:127.0.0.4;lr>\nSupported: path")
    assert [bytes(v) for v in phone.last.values("Path")] == [b"<sip:127.0.0.3;lr>", b"<sip:127.0.0.4;lr>"]
    call(world)
    assert phone.requests == [] and edge.requests == ["INVITE"]
    assert [bytes(v) for v in edge.last.values("Route")] == [b"<sip:127.0.0.3;lr>", b"<sip:127.0.0.4;lr>"]
    assert edge.last.uri == b"sip:127.0.0.2:5091"


def test_reg_26_outbound_is_refused_where_required_ignored_where_supported_and_its_words_are_kept(
    make_world: Make,
) -> None:
    world = make_world(OFFICE)
    phone = world.agent("127.0.0.2", 5091)
    contact = '<sip:bob@127.0.0.2:5091;ob>;+sip.instance="<urn:uuid:0C67446E-F1A1-11D9-94D3-000A95A0E128>";reg-id=1'
    for option in ("outbound", "gruu"):
        register(phone, contact, headers=f"Require: {option}")
        assert (phone.last.status, phone.last.first("Unsupported")) == (420, option.encode())
    register(phone, contact, headers="Supported: outbound, gruu, path")
    assert contacts(phone) == [contact.replace(">;+", ">;expires=3600;+").encode()]
    assert not phone.last.has("Require") and b"gruu" not in phone.last.raw
    register(phone, contact.replace("5091;ob", "5099;ob"))
    assert len(contacts(phone)) == 1 and b":5099;ob>" in contacts(phone)[0]


def test_on_change_is_told_of_each_change_in_order_and_delays_no_register(make_world: Make) -> None:
    world = make_world(OFFICE)
    told(world).clear()
    phone = world.agent("127.0.0.2", 5091)
    register(phone)
    register(phone)
    register(phone, headers="Expires: 0")
    assert phone.statuses == [200, 200, 200]
    assert told(world) == [(BOB, "registered", ["sip:127.0.0.2:5091"], [False])]
    world.advance(1)
    assert told(world)[1:] == [("slowly", "registered"), (BOB, "refreshed", [], [])]
    world.advance(2)
    assert told(world)[3:] == [("slowly", "refreshed"), (BOB, "deregistered", [], []), ("slowly", "deregistered")]
