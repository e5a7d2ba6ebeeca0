"""Peers behind address translation, several listeners, and what a datagram may look like (RFC 3261 §18, RFC 3581)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.sip.build import response
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.record_route()
    request.relay("sip:%s")

@proxy.on_reply
def seen(request, reply):
    request.vars["contact"] = reply.get_header("Contact")
    reply.relay()
"""
PHONES = """
from siphon import proxy, registrar

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)

@proxy.on_request("INVITE")
def route(request):
    request.fork(registrar.lookup(request.ruri))
"""
FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.3:5090"])
"""
BOB = "sip:bob@example.com"
TWO_LISTENERS = {"udp": ["127.0.0.1:5060", "127.0.0.1:5080"]}


def relaying(make_world: Make, target: str = "127.0.0.2:5090", **settings: object) -> tuple[World, Agent, Agent]:
    world = make_world(RELAY % target, **settings)
    ip, _, port = target.strip("[").replace("]", "").rpartition(":")
    return world, world.agent("192.0.2.1", 40000), world.agent(ip, int(port))


def test_nat_01_received_stands_in_the_copy_and_in_the_answer(make_world: Make) -> None:
    _, caller, callee = relaying(make_world)
    caller.send(caller.request("MESSAGE", BOB).replace("192.0.2.1:40000;rport", "phone.invalid:40000"))
    assert b";received=192.0.2.1" in callee.last.values("Via")[1]
    callee.answer(callee.last, 200)
    assert caller.last.via.host == b"phone.invalid" and caller.last.via.received == b"192.0.2.1"


def test_nat_01_an_equal_address_needs_no_received(make_world: Make) -> None:
    _, caller, callee = relaying(make_world)
    caller.send(caller.request("MESSAGE", BOB).replace(";rport", ""))
    assert b"received" not in callee.last.values("Via")[1]


def test_nat_02_rport_and_received_are_in_the_copy_and_in_the_answer(make_world: Make) -> None:
    _, caller, callee = relaying(make_world)
    caller.send(caller.request("INVITE", BOB))
    via = callee.last.values("Via")[1]
    assert b";rport=40000" in via and b";received=192.0.2.1" in via
    callee.answer(callee.last, 180)
    assert caller.statuses == [100, 180]
    for message in caller.inbox:
        assert (message.via.rport, message.via.received) == (40000, b"192.0.2.1")


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_nat_03_the_answer_goes_to_the_source_from_the_listener_that_was_asked(make_world: Make, method: str) -> None:
    world, caller, callee = relaying(make_world, listen=TWO_LISTENERS)
    text = caller.request(method, BOB).replace("192.0.2.1:40000", "10.0.0.7:5060")
    caller.send(text, 0, listener=1)
    caller.send(text, 1, listener=1)
    callee.answer(callee.inbox[0], 486)
    assert caller.statuses[-1] == 486
    assert {send.listener for send in world.sent if send.to == ("192.0.2.1", 40000)} == {1}


def test_nat_03_force_rport_answers_every_client_at_its_source(make_world: Make) -> None:
    _, caller, callee = relaying(make_world, nat={"force_rport": True})
    caller.send(caller.request("MESSAGE", BOB).replace("192.0.2.1:40000;rport", "10.0.0.7:5060"))
    callee.answer(callee.last, 200)
    assert caller.statuses == [200]
    caller.send(caller.request("MESSAGE", BOB).replace(";rport", "").replace("Max-Forwards: 70", "Max-Forwards: x"))
    assert caller.statuses == [200, 400]


def test_nat_06_the_copy_leaves_by_the_socket_that_its_via_names_and_asks_for_rport(make_world: Make) -> None:
    world, caller, callee = relaying(make_world, listen=TWO_LISTENERS)
    caller.send(caller.request("INVITE", BOB), listener=1)
    via = callee.last.via
    (copy,) = [send for send in world.sent if send.to == ("127.0.0.2", 5090)]
    assert (via.host, via.port, copy.listener) == (b"127.0.0.1", 5080, 1)
    assert b";rport" in callee.last.values("Via")[0]


def test_nat_07_what_stands_behind_content_length_is_not_forwarded(make_world: Make) -> None:
    _, caller, callee = relaying(make_world)
    caller.send(caller.request("MESSAGE", BOB, body="hello") + "MESSAGE sip:second@example.com SIP/2.0\n\n")
    assert callee.requests == ["MESSAGE"] and callee.last.body == b"hello"
    assert callee.last.raw.endswith(b"\r\n\r\nhello") and callee.last.content_length == 5


def test_nat_07_without_content_length_the_body_ends_with_the_datagram(make_world: Make) -> None:
    _, caller, callee = relaying(make_world)
    text = caller.request("MESSAGE", BOB, body="hello")
    caller.send(text.replace("Content-Length: 5\n", ""))
    assert callee.last.body == b"hello" and callee.last.content_length == 5


def test_nat_08_a_content_length_beyond_the_datagram(make_world: Make) -> None:
    world, caller, callee = relaying(make_world)
    caller.send(caller.request("MESSAGE", BOB, body="hello").replace("Content-Length: 5", "Content-Length: 6"))
    assert caller.statuses == [400] and callee.inbox == []
    caller.send(caller.request("INVITE", BOB))
    answer = b"SIP/2.0 200 OK\r\nVia: " + b", ".join(callee.last.values("Via")) + b"\r\nContent-Length: 9\r\n\r\nhello"
    world.deliver(answer, ("127.0.0.2", 5090))
    assert caller.statuses == [400, 100] and world.count(Counter.MALFORMED) == 2


@pytest.mark.parametrize(("mtu", "size", "warned"), [(1500, 900, False), (1500, 1400, True), (None, 9000, False)])
def test_nat_09_a_large_request_goes_by_udp_all_the_same_with_a_warning(
    make_world: Make, mtu: int | None, size: int, warned: bool
) -> None:
    world, caller, callee = relaying(make_world, listen={"udp": ["127.0.0.1:5060"], "mtu": mtu})
    caller.send(caller.request("MESSAGE", BOB, body="x" * size))
    assert callee.last.body == b"x" * size and callee.last.values("Via")[0].startswith(b"SIP/2.0/UDP")
    notes = [note for worker in world.workers for note in worker.notes]
    assert any(note.startswith("request.above_mtu") for note in notes) == warned


def test_nat_11_ipv6_hosts_stand_in_brackets_and_received_does_not(make_world: Make) -> None:
    world = make_world(RELAY % "[2001:db8::2]:5090", listen={"udp": ["[2001:db8::f]:5060"]})
    caller, callee = world.agent("2001:db8::1", 40000), world.agent("2001:db8::2", 5090)
    for text in (";rport", ";rport;received=[2001:db8::9]", ";rport;received=2001:db8::9"):
        caller.send(caller.request("INVITE", BOB).replace("[2001:db8::1]:40000;rport", "[2001:db8::7]" + text))
        ours, theirs = callee.last.values("Via")
        assert ours.startswith(b"SIP/2.0/UDP [2001:db8::f]:5060;")
        assert b"received=2001:db8::1" in theirs and b"2001:db8::9" not in theirs
        assert b"<sip:[2001:db8::f]:5060;" in callee.last.values("Record-Route")[0]
        callee.answer(callee.last, 486)
    assert caller.statuses == [100, 486] * 3


def answered(callee: Agent, status: int, contact: str) -> None:
    """Answer the last request with this Contact."""
    text = response(callee.last, status, "Whatever", b"t1" if status > 100 else None, [("Contact", contact)], b"")
    callee.send(text)


def phone_of(world: World, source: tuple[str, int], via: str, listener: int) -> tuple[Agent, bytes]:
    """A phone at `source` that registers its private address; the Contact of the 200."""
    phone = world.agent(*source)
    place = f"{source[0]}:{source[1]}"
    text = phone.request("REGISTER", "sip:example.com", to=BOB, call_id="r1")
    text = text.replace(f"<sip:{place}>", "<sip:bob@10.0.0.7:5062>;expires=60")
    phone.send(text.replace(place, via), listener=listener)
    assert phone.last.status == 200
    return phone, phone.last.first("Contact") or b""


def test_nat_12_a_phone_behind_nat_is_called_at_its_source_from_the_listener_of_its_register(make_world: Make) -> None:
    world = make_world(PHONES, listen=TWO_LISTENERS)
    phone, contact = phone_of(world, ("192.0.2.7", 61000), "10.0.0.7:5062", 1)
    assert contact.startswith(b"<sip:bob@10.0.0.7:5062>")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB), listener=0)
    assert phone.last.method == "INVITE" and phone.last.uri == b"sip:bob@10.0.0.7:5062"
    (copy,) = [send for send in world.sent if send.data.startswith(b"INVITE")]
    assert copy.listener == 1 and phone.last.via.port == 5080


def test_nat_12_a_phone_that_says_where_it_is_is_called_at_its_contact(make_world: Make) -> None:
    world = make_world(PHONES, listen=TWO_LISTENERS)
    desk = world.agent("10.0.0.7", 5062)
    phone, _ = phone_of(world, ("192.0.2.7", 61000), "192.0.2.7:61000", 1)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB), listener=0)
    assert desk.requests == ["INVITE"] and phone.requests == []
    (copy,) = [send for send in world.sent if send.data.startswith(b"INVITE")]
    assert copy.listener == 1


def test_nat_13_an_icmp_error_ends_the_branch_it_is_for_and_no_other(make_world: Make) -> None:
    world = make_world(FORK)
    caller, other = world.agent("192.0.2.1"), world.agent("127.0.0.3", 5090)
    caller.send(caller.request("INVITE", BOB, branch="z9hG4bK-one", call_id="c1"))
    world.unreachable.add(("127.0.0.2", 5090))
    caller.send(caller.request("INVITE", BOB, branch="z9hG4bK-two", call_id="c2"))
    first, second = [m for m in other.inbox if m.method == "INVITE"]
    other.answer(first, 200)
    other.answer(second, 200)
    assert caller.statuses == [100, 100, 200, 200]


@pytest.mark.parametrize("transport", ["TCP", "TLS", "WS", "SCTP", "X-NEW"])
def test_nat_14_a_datagram_of_another_transport_is_forwarded_and_answered_by_udp(
    make_world: Make, transport: str
) -> None:
    _, caller, callee = relaying(make_world)
    caller.send(caller.request("INVITE", BOB).replace("SIP/2.0/UDP", f"SIP/2.0/{transport}").replace(";rport", ""))
    assert callee.requests == ["INVITE"] and f"SIP/2.0/{transport}".encode() in callee.last.values("Via")[1]
    callee.answer(callee.last, 486)
    assert caller.statuses == [100, 486]


@pytest.mark.parametrize("status", [180, 200])
@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE"])
def test_fix_contact_points_the_contact_of_a_response_at_its_source(make_world: Make, status: int, method: str) -> None:
    world, caller, callee = relaying(make_world, nat={"fix_contact": True})
    caller.send(caller.request(method, BOB))
    answered(callee, status, '"B" <sip:bob@10.0.0.7:5062;ob>;expires=9')
    if (method, status) != ("SUBSCRIBE", 180):
        assert caller.last.first("Contact") == b'"B" <sip:bob@127.0.0.2:5090;ob>;expires=9'
        assert method != "INVITE" or any(b"127.0.0.2:5090;ob" in record.vars for record in world.records())


@pytest.mark.parametrize(
    ("method", "status", "contact"),
    [
        ("INVITE", 302, "<sip:carol@10.0.0.9>"),
        ("INVITE", 485, "<sip:carol@10.0.0.9>"),
        ("REGISTER", 200, "<sip:bob@10.0.0.7>;expires=60"),
        ("INVITE", 200, "<tel:+4930123>"),
        ("INVITE", 200, "<mailto:bob@example.com>"),
        ("INVITE", 200, "<sip:>"),
        ("INVITE", 180, "*"),
    ],
)
def test_fix_contact_leaves_alone_what_is_not_the_address_of_the_sender(
    make_world: Make, method: str, status: int, contact: str
) -> None:
    _, caller, callee = relaying(make_world, nat={"fix_contact": True})
    caller.send(caller.request(method, BOB))
    answered(callee, status, contact)
    assert caller.last.status == status and caller.last.first("Contact") == contact.encode()


def test_fix_contact_is_off_unless_it_is_asked_for(make_world: Make) -> None:
    _, caller, callee = relaying(make_world)
    caller.send(caller.request("INVITE", BOB))
    answered(callee, 200, "<sip:bob@10.0.0.7>")
    assert caller.last.first("Contact") == b"<sip:bob@10.0.0.7>"
