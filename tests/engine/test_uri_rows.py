"""URI rows through the whole engine: what a request with such a URI is answered, and what leaves (RFC 3261 §19.1)."""

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
ROUTES = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "OPTIONS" and request.ruri.is_local:
        request.reply(200, "OK")
    elif request.ruri.is_local and (contacts := registrar.lookup(request.ruri)):
        request.fork(contacts)
    elif request.get_header("X-Flow"):
        request.ruri = "sips:bob@10.0.0.7"
        request.relay(flow=registrar.lookup("sip:bob@example.com")[0].flow)
    elif request.get_header("X-Fork"):
        request.fork(request.get_header("X-Fork").split(" "))
    else:
        request.relay(request.get_header("X-Hop"))
"""
NUMBERS = """
from siphon import proxy

@proxy.on_request
def route(request):
    uri = request.ruri
    if uri.scheme != "tel":
        request.reply(404, "Not Here")
    elif uri.user == "7042":
        request.ruri = "sip:seven@127.0.0.2:5090"
        request.relay()
    elif uri.user.startswith("+"):
        request.ruri = "sip:" + str(uri).partition(":")[2] + "@127.0.0.2:5090;user=phone"
        request.relay()
    else:
        request.reply(484, "Address Incomplete")
"""
IN_DIALOG = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay(None if request.in_dialog else "sip:127.0.0.2:5090")
"""
HOP = "X-Hop: sip:127.0.0.2:5090"


@pytest.fixture
def world(make_world: Make) -> World:
    return make_world(ROUTES, domain={"local": ["example.com"]})


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def answers(world: World, method: str, uri: str, headers: str = HOP, **changes: str) -> list[int]:
    """What a request gets within 4 T1, and that the next one is served; `changes` are replaced in its text."""
    caller, _ = parties(world)
    text = caller.request(method, uri, headers=headers, to="sip:bob@example.com")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    caller.take()
    caller.send(text.replace("\n", "\r\n").encode("utf-8", "surrogateescape"))
    world.advance(2)
    found = [status for status in caller.statuses if status > 100]
    caller.send(caller.request("OPTIONS", "sip:example.com"))
    assert caller.last.status == 200
    return sorted(set(found))


def contacts(world: World, *values: str) -> list[bytes]:
    """The bindings after one REGISTER for each value."""
    phone = world.agent("192.0.2.7")
    for value in values:
        text = phone.request("REGISTER", "sip:example.com", to="sip:bob@example.com")
        phone.send(text.replace("<sip:192.0.2.7:5060>", value))
        assert phone.last.status == 200
    return phone.last.values("Contact")


@pytest.mark.parametrize(
    ("other", "same", "calls"),
    [
        ("sip:%61@127.0.0.2:5090;n=1?h=1", True, 1),
        ("SIP:a@127.0.0.2:5090;N=1;z=2?H=1", True, 1),
        ("sip:A@127.0.0.2:5090;n=1?h=1", False, 2),
        ("sip:a@127.0.0.2:5090;n=2?h=1", False, 2),
        ("sip:a@127.0.0.2:5090;n=1", False, 1),
        ("sip:a@127.0.0.2;n=1?h=1", False, 2),
        ("sip:a@127.0.0.2:5090;n=1;transport=udp?h=1", False, 2),
        ("sip:a@127.0.0.2:5090;n=1;user=ip?h=1", False, 2),
        ("sip:a@127.0.0.2:5090;n=1;ttl=1?h=1", False, 2),
        ("sip:a@127.0.0.2:5090;n=1;method=INVITE?h=1", False, 1),
        ("sip:a@127.0.0.2:5090;n=1;maddr=127.0.0.2?h=1", False, 2),
    ],
)
def test_uri_01_equality_holds_for_bindings_and_target_sets(world: World, other: str, same: bool, calls: int) -> None:
    """No Request-URI keeps headers or method (§19.1.5): targets that differ in nothing else are called once."""
    one = "sip:a@127.0.0.2:5090;n=1?h=1"
    assert len(contacts(world, f"<{one}>", f"<{other}>")) == (1 if same else 2)
    caller, _ = parties(world)
    caller.send(caller.request("MESSAGE", "sip:x@example.net", headers=f"X-Fork: {one} {other}"))
    assert len({send.data for send in world.sent if send.data.startswith(b"MESSAGE")}) == calls


@pytest.mark.parametrize(
    "uri",
    [
        "sip:%62ob%2541%00%0d;x=y:p%77@EXAMPLE.net;a=%41;b",
        "sip:a;b?c/d&e=f+g$h,i@example.net:5099;lr",
        "sip:J\u00fcrgen@my_host.example.net.",
    ],
)
def test_uri_02_uri_04_the_request_uri_is_forwarded_as_it_was_written(world: World, uri: str) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", uri, headers=HOP, to="sip:bob@example.com"))
    assert callee.last.uri == uri.encode()


BAD = {
    "uri_03": ("sip:a@b%61c", "sip:%41", "sip:a@[::1%25eth0]"),
    "uri_04": ("sip:@example.net", "sip::pw@example.net", "sip:a@b@c", "sip:a@b@"),
    "uri_05": ("sip:a@b;x=1;X=1", "sip:a@b;lr;lr"),
    "uri_09": ("sip:a@::1", "sip:2001:db8::10", "sip:a@[fe80::1%eth0]", "sip:a@[fe80::1%25eth0]", "sip:a@[1.2.3.4]"),
    "uri_10": tuple(f"sip:a@b:{port}" for port in ("0", "65536", "", "-1", "+1", "4294972356")),
    "parse_09": ("sip:\udcff@b", "sip:a@b;x=\udcc3"),
}


@pytest.mark.parametrize("row", BAD)
def test_uri_03_uri_04_uri_05_uri_09_uri_10_parse_09_such_a_request_uri_is_400(world: World, row: str) -> None:
    _, callee = parties(world)
    for uri in BAD[row]:
        assert answers(world, "INVITE", "sip:x@y.net", **{" sip:x@y.net": f" {uri}"}) == [400], uri
    assert not callee.inbox


def test_uri_05_elsewhere_the_first_of_repeated_parameters_counts_and_all_are_kept(world: World) -> None:
    caller, callee = parties(world)
    double = "sip:a@b;x=1;x=2;unknown"
    caller.send(caller.request("MESSAGE", "sip:x@example.net", headers=f"{HOP}\nReply-To: <{double}>", to=double))
    assert callee.last.to_uri == double.encode() and callee.last.first("Reply-To") == f"<{double}>".encode()
    assert len(contacts(world, f"<{double}>", "<sip:a@b;x=1>")) == 1 and len(contacts(world, "<sip:a@b;x=2>")) == 2


@pytest.mark.parametrize("uri", ["sip:a@b.net?x=y", "sip:a,c@b.net"])
@pytest.mark.parametrize("old", ["<sip:caller@example.net>", "<sip:bob@example.com>", "<sip:192.0.2.1:5060>"])
def test_uri_06_a_query_or_comma_without_brackets_is_400(world: World, old: str, uri: str) -> None:
    caller, _ = parties(world)
    text = caller.request("REGISTER", "sip:example.com", to="sip:bob@example.com").replace(old, uri)
    world.deliver(text.replace("\n", "\r\n").encode(), ("198.51.100.9", 5060))  # our harness takes no such From
    assert [send.data[8:11] for send in world.sent] == [b"400"] and not world.location_table.stats().records


def test_uri_06_parameters_without_brackets_are_those_of_the_header(world: World) -> None:
    assert contacts(world, "sip:a@b.net;transport=tcp;expires=77") == [b"<sip:a@b.net>;expires=77;transport=tcp"]


@pytest.mark.parametrize(
    ("tel", "result"),
    [
        ("tel:7042", b"sip:seven@127.0.0.2:5090"),
        (
            "tel:+1-201-555;ext=5;phone-context=a.b",
            b"sip:+1-201-555;ext=5;phone-context=a.b@127.0.0.2:5090;user=phone",
        ),
        ("tel:99", 484),
    ],
)
def test_uri_07_a_script_maps_tel_to_a_user_or_answers(make_world: Make, tel: str, result: bytes | int) -> None:
    world = make_world(NUMBERS)
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", tel))
    assert (callee.last.uri if callee.inbox else caller.last.status) == result


def test_uri_07_tel_with_nothing_to_follow_is_refused(world: World) -> None:
    assert answers(world, "MESSAGE", "tel:+1201", "X: y") == [416]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_uri_08_nothing_with_sips_leaves_over_udp(world: World, method: str) -> None:
    _, callee = parties(world)
    for uri, headers in (
        ("sips:bob@127.0.0.2:5090", "X: y"),
        ("sips:bob@127.0.0.2:5090", HOP),
        ("sips:bob@127.0.0.2:5090", "Route: <sip:127.0.0.2:5090;lr>"),
        ("SIPS:bob@127.0.0.2:5090", "X: y"),
        ("sip:bob@127.0.0.2:5090", "Route: <sips:127.0.0.2:5090;lr>"),
        ("sip:bob@127.0.0.2:5090", "Route: <sips:127.0.0.2:5090>"),
        ("sip:bob@127.0.0.2:5090", "X-Hop: sips:127.0.0.2:5090"),
        ("sip:bob@127.0.0.2:5090", "X-Fork: sips:a@127.0.0.2:5090 sips:b@127.0.0.2:5090"),
    ):
        assert answers(world, method, uri, headers) == [416], (uri, headers)
    assert not callee.inbox
    assert len(contacts(world, "<sip:a@127.0.0.2:5090>", "<sips:a@127.0.0.2:5090>")) == 2


@pytest.mark.parametrize("scheme", ["sips", "sip"])
@pytest.mark.parametrize("flow", [False, True])
def test_uri_08_sips_stays_here_also_where_the_address_of_the_phone_is_known(
    world: World, scheme: str, flow: bool
) -> None:
    caller, phone = parties(world)
    text = phone.request("REGISTER", "sip:example.com", to="sip:bob@example.com")
    behind_nat = text.replace("UDP 127.0.0.2", "UDP 10.0.0.7").replace("<sip:127.0.0.2", f"<{scheme}:b@10.0.0.7")
    phone.send(behind_nat)
    uri, headers = ("sip:x@y.net", "X-Flow: y") if flow else ("sip:bob@example.com", "X: y")
    caller.send(caller.request("MESSAGE", uri, headers=headers))
    allowed = scheme == "sip" and not flow
    assert phone.requests == ["MESSAGE"] * allowed and caller.statuses == [416] * (not allowed)


@pytest.mark.parametrize("target", ["sips:127.0.0.2:5090", "tel:+1201"])
def test_uri_08_sips_goes_to_no_recorded_peer_either(make_world: Make, target: str) -> None:
    world = make_world(IN_DIALOG)
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"))
    callee.answer(callee.last, 200)
    for cseq, method in enumerate(("ACK", "BYE"), 1):
        caller.send(caller.request(method, target, call_id="c1", cseq=cseq, to_tag="t1", to="sip:bob@example.com"))
    assert callee.requests == ["INVITE"] and caller.statuses == [100, 200, 416]


def test_uri_09_an_ipv6_binding_is_one_however_it_is_written(world: World) -> None:
    assert len(contacts(world, "<sip:a@[2001:db8::1]>", "<sip:a@[2001:DB8:0:0::0001]>")) == 1
    assert len(contacts(world, "<sip:a@[2001:db8::2]>")) == 2


def test_uri_10_an_underscore_and_a_final_dot_are_accepted_and_the_dot_is_ignored(world: World) -> None:
    assert answers(world, "OPTIONS", "sip:EXAMPLE.com.") == [200]
    assert contacts(world, "<sip:a@my_host.net.>", "<sip:a@my_host.net>") == [b"<sip:a@my_host.net>;expires=3600"]


def test_parse_04_a_comma_in_quotes_or_brackets_makes_no_second_value(world: World) -> None:
    found = contacts(world, '"a, \\"b" <sip:c,d@e.net>;x="q,r", <sip:f@e.net>', "<sip:g@e.net>\nm: <sip:h@e.net>")
    assert sorted(value.partition(b">")[0][5:] for value in found) == [b"c,d@e.net", b"f@e.net", b"g@e.net", b"h@e.net"]
    caller, callee = parties(world)
    route = '"x, <y>" <sip:a,b@127.0.0.2:5090;lr>, <sip:c@198.51.100.1;lr>'
    caller.send(caller.request("MESSAGE", "sip:x@y.net", headers=f"Route: {route}"))
    assert callee.last.values("Route") == [b'"x, <y>" <sip:a,b@127.0.0.2:5090;lr>', b"<sip:c@198.51.100.1;lr>"]
