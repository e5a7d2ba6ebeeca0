"""The messages of RFC 5118 against the whole proxy, which listens on 127.0.0.1 and on ::1.

The Vias are the point of most, so they are sent as they lie in their files, from the place that their top Via names.
"""

from collections.abc import Callable

import pytest
from torture import Place, sent_from, stored

from siphon.sip.build import response
from siphon.sip.message import SipMessage, parse
from siphon.state.store import Send
from siphon.testing.world import World

POLICY = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.relay(%s)
"""
TO_PHONE = POLICY % '"sip:127.0.0.2:5090"'
RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay()
"""
BOTH = {"udp": ["127.0.0.1:5060", "[::1]:5060"]}
V4, V6 = 0, 1
CALLER = ("2001:db8::9:1", 5060)
ELSEWHERE = "2001:db8::9:77"
PHONE = ("127.0.0.2", 5090)

Make = Callable[..., World]


@pytest.fixture
def world(make_world: Make) -> World:
    """REGISTERs are saved, all else goes to a phone that has IPv4 only."""
    made = make_world(TO_PHONE, listen=BOTH)
    made.agent(*PHONE)
    return made


def send(world: World, raw: bytes, source: Place = CALLER, listener: int = V6) -> list[Send]:
    """What leaves when that comes."""
    world.sent.clear()
    world.deliver(raw, source, listener=listener)
    return list(world.sent)


def answer(world: World, raw: bytes, source: Place = CALLER) -> tuple[SipMessage, Send]:
    """The only datagram that leaves, and how it leaves."""
    (sent,) = send(world, raw, source)
    return parse(sent.data), sent


def test_v6_good_a_register_is_served_by_the_domain_of_its_to(world: World) -> None:
    message, sent = answer(world, stored("ipv6-good"))
    assert message.status == 200 and (sent.to, sent.listener) == (CALLER, V6)
    assert message.values("Contact") == [b"<sip:user@[2001:db8::1]>;expires=3600"]
    assert message.values("Via") == [b"SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111"]


def test_v6_bad_an_address_without_brackets_is_refused(world: World) -> None:
    message, sent = answer(world, stored("ipv6-bad"))
    assert message.status == 400 and (sent.to, sent.listener) == (CALLER, V6)


@pytest.mark.parametrize(
    ("name", "message", "to"),
    [
        ("V6-good", "ipv6-good", ("2001:db8::10", 5060)),
        ("V6-ambig", "port-ambiguous", ("2001:db8::10:5070", 5060)),
        ("V6-unambig", "port-unambiguous", ("2001:db8::10", 5070)),
    ],
)
def test_a_request_goes_to_the_address_and_port_of_its_uri(
    make_world: Make, name: str, message: str, to: Place
) -> None:
    (sent,) = send(make_world(RELAY, listen=BOTH), stored(message))
    copy = parse(sent.data)
    assert (sent.to, sent.listener) == (to, V6) and copy.uri == parse(stored(message)).uri
    assert copy.via.host == b"[::1]" and copy.values("Via")[1:] == parse(stored(message)).values("Via")


@pytest.mark.parametrize("source", [ELSEWHERE, "2001:db8::9:255"])
def test_v6_rcv_delim_received_is_read_in_brackets(world: World, source: str) -> None:
    parameters = received(world, "via-received-param-with-delim", source)
    assert parameters == b";received=%s;branch=z9hG4bKas3-111" % source.encode()


@pytest.mark.parametrize("source", [ELSEWHERE, "2001:db8::9:255"])
def test_v6_rcv_nodelim_received_is_read_and_written_without_brackets(world: World, source: str) -> None:
    parameters = received(world, "via-received-param-no-delim", source)
    assert parameters == b";received=%s;branch=z9hG4bKas3" % source.encode()


def received(world: World, name: str, source: str) -> bytes:
    """The parameters of the Via in the answer, which goes to the source, at the port of sent-by."""
    message, sent = answer(world, stored(name), (source, 7070))
    assert message.status == 200 and (sent.to, sent.listener) == ((source, 5060), V6)
    return message.values("Via")[0].removeprefix(b"SIP/2.0/UDP [2001:db8::9:1]")


@pytest.mark.parametrize(("name", "message"), [("V6-sdp", "ipv6-in-sdp"), ("V6-multsdp", "mult-ip-in-sdp")])
def test_a_body_with_addresses_passes_untouched(world: World, name: str, message: str) -> None:
    raw = stored(message)
    trying, sent = send(world, raw)
    assert (trying.to, trying.listener) == (CALLER, V6) and trying.data.startswith(b"SIP/2.0 100 ")
    assert (sent.to, sent.listener) == (PHONE, V4) and parse(sent.data).body == parse(raw).body


def test_v6_multhdr_each_answer_leaves_in_the_family_of_its_hop(world: World) -> None:
    raw = stored("mult-ip-in-header")
    (sent,) = send(world, raw, ("2001:db8::9:1", 6050))
    phone = world.agent(*PHONE)
    assert (sent.to, sent.listener) == (PHONE, V4) and phone.last.via.host == b"127.0.0.1"
    assert phone.last.values("Via")[1:] == parse(raw).values("Via")
    phone.answer(phone.last, 200)
    back = world.sent[-1]
    assert (back.to, back.listener) == (("2001:db8::9:1", 6050), V6)
    assert parse(back.data).values("Via") == parse(raw).values("Via")


def test_v6_multhdr_an_ipv4_caller_reaches_an_ipv6_phone(make_world: Make) -> None:
    world = make_world(POLICY % '"sip:[2001:db8::20]:5090"', listen=BOTH)
    phone, caller = world.agent("2001:db8::20", 5090), ("192.0.2.9", 5099)
    (sent,) = send(world, sent_from(caller, stored("mult-ip-in-header")), caller, V4)
    assert sent.listener == V6 and phone.last.via.host == b"[::1]"
    phone.send(response(phone.last, 200, "OK", b"t1"), listener=V6)
    assert (world.sent[-1].to, world.sent[-1].listener) == (caller, V4)


@pytest.mark.parametrize("source", [("192.0.2.10", 19823), ("::ffff:192.0.2.10", 19823)])
def test_v6_mapped_an_ipv4_mapped_address_is_the_ipv4_peer(world: World, source: Place) -> None:
    raw = stored("ipv4-mapped-ipv6")
    trying, sent = send(world, raw, source, V4 if "." in source[0][:4] else V6)
    assert trying.to == source and b"received" not in trying.data
    copy = parse(sent.data)
    assert sent.to == PHONE and copy.body == parse(raw).body
    assert copy.values("Via")[1:] == parse(raw).values("Via") and copy.values("Contact") == parse(raw).values("Contact")


def below(raw: bytes) -> bytes:
    """The message with one more Via on top, that of a proxy at CALLER which forwards it to us."""
    return raw.replace(b"Via:", b"Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKproxy\r\nVia:", 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [("V6-colons3", "ipv6-bug-abnf-3-colons"), ("V6-colons2", "ipv6-correct-abnf-2-colons")],
)
def test_three_colons_are_two_in_received_and_nowhere_else(make_world: Make, name: str, message: str) -> None:
    world = make_world(RELAY, listen=BOTH)
    world.resolver.names["example.org"] = ["192.0.2.83"]
    raw = stored(message).replace(b"sip:example.com SIP", b"sip:example.org SIP")
    assert parse(raw).via.received == b"2001:db8::9:255"
    (sent,) = send(world, below(raw))
    copy = parse(sent.data)
    assert sent.to == ("192.0.2.83", 5060) and copy.via_count == 3
    assert copy.values("Via")[2] == raw.split(b"\r\n")[1].removeprefix(b"Via: ")


@pytest.mark.parametrize("message", ["ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"])
def test_v6_colons3_and_v6_colons2_in_the_top_via_are_served(world: World, message: str) -> None:
    raw = stored(message)
    served, sent = answer(world, raw, ("2001:db8::9:255", 5060))
    assert served.status == 200 and sent.to == ("2001:db8::9:255", 5060)
    assert served.via.received == b"2001:db8::9:255" and b":::" not in sent.data


def test_v6_colons3_anywhere_else_are_refused(world: World) -> None:
    good = stored("ipv6-good")
    for wrong in (
        good.replace(b"sip:[2001:db8::10]", b"sip:[2001:db8:::10]"),
        good.replace(b"<sip:user@[2001:db8::1]>", b"<sip:user@[2001:db8:::1]>"),
        good.replace(b"From: sip:user@example.com", b"From: sip:user@[2001:db8:::1]"),
    ):
        (sent,) = send(world, wrong)
        assert sent.data.startswith(b"SIP/2.0 400 ") and sent.to == CALLER
    assert send(world, good.replace(b"Via: SIP/2.0/UDP [2001:db8::9:1]", b"Via: SIP/2.0/UDP [2001:db8:::9:1]")) == []
