"""What becomes of a request on its way through: each clause of RFC 3261 §16.3 to §16.6 in the whole engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from siphon.forwarding.branch import branch_token, loop_value
from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
CHALLENGE = """
from siphon import auth, proxy

@proxy.on_request
def route(request):
    if auth.require_proxy_digest(request, realm="example.com"):
        request.relay("sip:127.0.0.2:5090")
"""
AS_ADDRESSED = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay()
"""
TARGETS = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.record_route()
    request.fork([%s])
"""


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def looped_via(world: World, text: str) -> str:
    """A Via of ours as the request would have it when it came back unchanged."""
    env = world.workers[0].core.env
    message = parse(text.replace("\n", "\r\n").encode())
    branch = branch_token(bytes(16), 1, 0, loop_value(message, env.loop_key)).decode()
    return f"Via: SIP/2.0/UDP 127.0.0.1:5060;branch={branch}\n"


def test_prx_01_of_all_faults_at_once_the_first_in_order_answers_until_it_is_mended(make_world: Make) -> None:
    world = make_world(CHALLENGE)
    caller, callee = parties(world)

    def status(uri: str, hops: str, looped: bool, headers: str, length: int = 0) -> int:
        text = caller.request("INVITE", uri, headers=headers, to=BOB).replace(": 70", f": {hops}")
        via = looped_via(world, text) if looped else ""
        caller.send(text.replace("Max-Forwards", f"{via}Max-Forwards").replace("Length: 0", f"Length: {length}"))
        return caller.last.status

    required = "Proxy-Require: magic\n"
    assert status("gopher://x", "0", True, required, length=9) == 400
    assert status("gopher://x", "0", True, required) == 416
    assert status(BOB, "0", True, required) == 483
    assert status(BOB, "1", True, required) == 482
    assert status(BOB, "1", False, required) == 420
    assert status(BOB, "1", False, "") == 407
    assert not callee.inbox


@pytest.mark.parametrize("uri", ["http://127.0.0.2:5090", "nobody:bob", "mailto:bob@127.0.0.2"])
def test_prx_03_to_and_from_never_stand_in_for_a_request_uri_that_cannot_be_routed(make_world: Make, uri: str) -> None:
    world = make_world(AS_ADDRESSED)
    caller, callee = parties(world)
    there = "sip:bob@127.0.0.2:5090"
    caller.send(caller.request("INVITE", uri, to=there).replace("sip:caller@example.net", there))
    assert caller.statuses == [416] and not callee.inbox and not world.lost
    caller.send(caller.request("MESSAGE", there, to="sip:other@127.0.0.9").replace("sip:caller@example.net", uri))
    assert callee.requests == ["MESSAGE"] and not world.lost


@pytest.mark.parametrize("uri", ["soap.beep://192.0.2.103:3002", "nobodyKnowsThisScheme:totallyopaquecontent"])
def test_prx_03_a_route_leads_nowhere_where_the_request_uri_cannot_be_routed(make_world: Make, uri: str) -> None:
    world = make_world(AS_ADDRESSED)
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", uri, to=BOB, headers="Route: <sip:127.0.0.2:5090;lr>"))
    assert caller.statuses == [416] and not callee.inbox and not world.lost


@pytest.mark.parametrize("hops", ["0", "000"])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "BYE", "REGISTER", "OPTIONS", "NEWFANGLED"])
@pytest.mark.parametrize("to_tag", ["", "t9"])
def test_prx_04_without_hops_nothing_is_forwarded(world: World, method: str, hops: str, to_tag: str) -> None:
    caller, callee = parties(world)
    caller.send(caller.request(method, BOB, to_tag=to_tag).replace("Max-Forwards: 70", f"Max-Forwards: {hops}"))
    assert caller.statuses == [483] and not callee.inbox


@pytest.mark.parametrize(
    ("line", "sent"),
    [("Max-Forwards: 1\n", 0), ("Max-Forwards: 0070\n", 69), ("", 70), ("Max-Forwards: 256\n", 70)],
)
def test_prx_05_prx_06_max_forwards_is_lowered_or_made(world: World, line: str, sent: int) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", BOB).replace("Max-Forwards: 70\n", line))
    assert callee.last.max_forwards == sent and len(callee.last.all_lines("Max-Forwards")) == 1


@pytest.mark.parametrize(("line", "sent"), [("Max-Forwards: 9\n", 8), ("", 70)])
def test_prx_05_max_forwards_of_the_ack_to_a_2xx_is_lowered_or_made(world: World, line: str, sent: int) -> None:
    caller, callee = parties(world)
    routes = f"Route: {in_dialog(caller, callee)}"
    ack = caller.request("ACK", "sip:bob@127.0.0.2:5090", call_id="c1", to_tag="t1", headers=routes)
    caller.send(ack.replace("Max-Forwards: 70\n", line))
    assert callee.last.method == "ACK" and callee.last.max_forwards == sent


@pytest.mark.parametrize("hops", ["-1", "many", "1.5", "0x10"])
def test_prx_06_max_forwards_that_is_no_number_gets_400(world: World, hops: str) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", BOB).replace("Max-Forwards: 70", f"Max-Forwards: {hops}"))
    assert caller.statuses == [400] and not callee.inbox


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("Max-Forwards: 70", "Max-Forwards: many"),
        ("sip:bob@127.0.0.2:5090 SIP", "gopher:bob SIP"),
        ("Contact:", "Proxy-Require: magic\nContact:"),
        ("CSeq: 1 ACK", "CSeq: 1 BYE"),
    ],
)
def test_prx_07_an_ack_that_fails_a_check_goes_nowhere_though_its_route_is_ours(
    world: World, old: str, new: str
) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", BOB, call_id="c1"))
    callee.answer(callee.last, 200)
    route = f"Route: {(caller.last.first('Record-Route') or callee.last.first('Record-Route') or b'').decode()}\n"
    text = caller.request("ACK", "sip:bob@127.0.0.2:5090", call_id="c1", to_tag="t1", headers=route)
    assert old in text
    sent = len(world.sent)
    caller.send(text.replace(old, new))
    world.advance(2)
    assert len(world.sent) == sent
    caller.send(text)
    assert callee.requests == ["INVITE", "ACK"] and caller.statuses == [100, 200]


def test_prx_08_420_names_the_unknown_options_and_require_is_forwarded(make_world: Make) -> None:
    world = make_world(proxy={"known_extensions": ["known"]})
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", BOB, headers="Proxy-Require: a, Known\nProxy-Require: b\nRequire: c"))
    assert caller.statuses == [420] and caller.last.values("Unsupported") == [b"a", b"b"] and not callee.inbox
    caller.send(caller.request("INVITE", BOB, headers="Proxy-Require: known\nRequire: c, d"))
    assert callee.last.all_lines("Require") == [b"c, d"] and callee.last.first("Proxy-Require") == b"known"


@pytest.mark.parametrize("name", ["Proxy-Require", "Require"])
def test_prx_09_what_is_required_in_a_cancel_or_in_the_ack_of_a_failure_does_not_matter(
    world: World, name: str
) -> None:
    caller, callee = parties(world)
    same = {"branch": "z9hG4bK-one", "call_id": "c1"}
    caller.send(caller.request("INVITE", BOB, **same))  # type: ignore[arg-type]
    callee.answer(callee.last, 180)
    caller.send(caller.request("CANCEL", BOB, **same, headers=f"{name}: magic"))  # type: ignore[arg-type]
    assert caller.statuses == [100, 180, 200] and callee.requests == ["INVITE", "CANCEL"]
    assert not callee.last.has(name)
    callee.answer(callee.inbox[0], 487)
    caller.send(caller.request("ACK", BOB, **same, to_tag="t1", headers=f"{name}: magic"))  # type: ignore[arg-type]
    world.advance(40)
    assert caller.statuses == [100, 180, 200, 487]


def back(seen: SipMessage, *changes: tuple[bytes, bytes], hop: str = "127.0.0.2:5090") -> bytes:
    """A request that we have forwarded, as another proxy sends it back to us."""
    raw = seen.raw.replace(b"\r\nVia:", b"\r\nVia: SIP/2.0/UDP %b;branch=z9hG4bKother\r\nVia:" % hop.encode(), 1)
    for old, new in changes:
        assert old in raw
        raw = raw.replace(old, new, 1)
    return raw


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS"])
@pytest.mark.parametrize("to_tag", ["", "t9"])
def test_prx_10_prx_12_what_comes_back_with_other_hops_and_vias_alone_is_a_loop(
    make_world: Make, method: str, to_tag: str
) -> None:
    caller, callee = parties(make_world(AS_ADDRESSED.replace("relay()", 'relay("sip:127.0.0.2:5090")')))
    caller.send(caller.request(method, BOB, to_tag=to_tag))
    callee.send(back(callee.last, (b"Max-Forwards: 69", b"Max-Forwards: 60")))
    assert callee.statuses == [482] and len(callee.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        (b"sip:bob@example.com SIP", b"sip:carol@example.com SIP"),
        (b"Contact:", b"Route: <sip:127.0.0.2:5090;lr>\r\nContact:"),
        (b"Contact:", b'Proxy-Authorization: Digest username="a"\r\nContact:'),
    ],
)
def test_prx_11_prx_12_what_comes_back_with_another_route_is_served_again_with_a_new_branch(
    world: World, change: tuple[bytes, bytes]
) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", BOB))
    callee.send(back(callee.last, change))
    assert callee.statuses == [] and callee.requests == ["MESSAGE", "MESSAGE"]
    first, second = callee.inbox
    assert first.via.branch != second.via.branch and second.max_forwards == 68 and second.via_count == 4


BY_WAY_OF = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.get_header("X-Served"):
        request.relay("sip:127.0.0.2:5091")
    else:
        request.set_header("X-Served", "yes")
        request.relay("sip:127.0.0.2:5090")
"""


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_prx_12_a_request_that_a_script_has_marked_may_come_back_by_a_server_but_not_twice(
    make_world: Make, method: str
) -> None:
    world = make_world(BY_WAY_OF)
    caller, server = parties(world)
    phone = world.agent("127.0.0.2", 5091)
    caller.send(caller.request(method, BOB))
    server.send(back(server.last))
    assert phone.requests == [method] and phone.last.first("X-Served") == b"yes"
    phone.send(back(phone.last, hop="127.0.0.2:5091"))
    assert phone.statuses == [482] and phone.requests == [method]


@pytest.mark.parametrize(("received", "shares"), [("3", [2, 1]), ("2", [1, 1]), ("1", [1]), ("900", [30, 30])])
def test_prx_13_targets_beyond_the_breadth_wait_until_those_before_have_ended(
    make_world: Make, received: str, shares: list[int]
) -> None:
    world = make_world(TARGETS % '"sip:127.0.0.2:5091", "sip:127.0.0.2:5092"')
    caller = world.agent("192.0.2.1")
    phones = [world.agent("127.0.0.2", port) for port in (5091, 5092)]
    caller.send(caller.request("INVITE", BOB, headers=f"Max-Breadth: {received}"))
    asked = [phone.inbox[0] for phone in phones if phone.inbox]
    assert [int(m.first("Max-Breadth") or 0) for m in asked] == shares
    phones[0].answer(phones[0].inbox[0], 486)
    assert phones[1].requests == ["INVITE"]
    phones[1].answer(phones[1].inbox[0], 404)
    assert caller.statuses == [100, 486]


def test_prx_13_a_target_that_waits_starts_when_the_first_share_is_free_and_no_sooner(make_world: Make) -> None:
    world = make_world(TARGETS % ", ".join(f'"sip:127.0.0.2:{port}"' for port in range(5091, 5096)))
    caller = world.agent("192.0.2.1")
    phones = [world.agent("127.0.0.2", port) for port in range(5091, 5096)]
    caller.send(caller.request("INVITE", BOB, headers="Max-Breadth: 2"))
    started = [[phone.port for phone in phones if phone.requests]]
    phones[0].answer(phones[0].inbox[0], 180)
    for number in (1, 0, 2):
        phones[number].answer(phones[number].inbox[0], 486, worker=number % 2)
        started.append([phone.port for phone in phones if phone.requests])
    assert started == [list(range(5091, end)) for end in (5093, 5094, 5095, 5096)]
    assert all(phone.inbox[0].first("Max-Breadth") == b"1" for phone in phones)
    phones[3].answer(phones[3].inbox[0], 200)
    phones[4].answer(phones[4].inbox[0], 180)
    assert caller.statuses == [100, 180, 200] and phones[4].requests == ["INVITE", "CANCEL"]


@pytest.mark.parametrize("what", ["CANCEL", "603", "200"])
def test_prx_13_prx_46_a_target_that_waits_never_starts_after_a_cancel_a_6xx_or_a_2xx(
    make_world: Make, what: str
) -> None:
    world = make_world(TARGETS % ", ".join(f'"sip:127.0.0.2:{port}"' for port in range(5091, 5094)))
    caller = world.agent("192.0.2.1")
    phones = [world.agent("127.0.0.2", port) for port in range(5091, 5094)]
    same = {"branch": "z9hG4bK-one", "call_id": "c1"}
    caller.send(caller.request("INVITE", BOB, **same, headers="Max-Breadth: 2"))  # type: ignore[arg-type]
    for phone in phones[:2]:
        phone.answer(phone.inbox[0], 180)
    if what == "CANCEL":
        caller.send(caller.request("CANCEL", BOB, **same))  # type: ignore[arg-type]
    else:
        phones[0].answer(phones[0].inbox[0], int(what))
    phones[1].answer(phones[1].inbox[0], 486)
    world.advance(40)
    assert not phones[2].inbox


def test_prx_13_without_any_breadth_the_answer_is_440(make_world: Make) -> None:
    world = make_world(TARGETS % '"sip:127.0.0.2:5091"')
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5091)
    caller.send(caller.request("INVITE", BOB, headers="Max-Breadth: 0"))
    assert caller.statuses[-1] == 440 and not phone.inbox


def in_dialog(caller: Agent, callee: Agent) -> str:
    """Our Record-Route value of a call that was answered."""
    caller.send(caller.request("INVITE", BOB, call_id="c1"))
    callee.answer(callee.last, 200)
    return (callee.last.first("Record-Route") or b"").decode()


def test_prx_15_what_a_strict_router_sends_us_goes_to_its_last_route(world: World) -> None:
    caller, callee = parties(world)
    ours = in_dialog(caller, callee).strip("<>")
    routes = "Route: <sip:127.0.0.2:5090;lr>\nRoute: <sip:bob@203.0.113.8;x=y>"
    caller.send(caller.request("BYE", ours, call_id="c1", cseq=2, to_tag="t1", headers=routes, to=BOB))
    assert (callee.last.method, callee.last.uri) == ("BYE", b"sip:bob@203.0.113.8;x=y")
    assert callee.last.values("Route") == [b"<sip:127.0.0.2:5090;lr>"]


def test_prx_17_our_route_goes_and_those_behind_it_are_kept_untouched(world: World) -> None:
    caller, callee = parties(world)
    ours = in_dialog(caller, callee)
    rest = b'"A, B"  <sip:127.0.0.2:5090;lr;x="1,2">, <sip:203.0.113.7>;y'
    routes = f"Route: {ours}\nRoute: {rest.decode()}"
    caller.send(caller.request("BYE", "sip:bob@203.0.113.8", call_id="c1", cseq=2, to_tag="t1", headers=routes))
    assert callee.last.uri == b"sip:bob@203.0.113.8" and b", ".join(callee.last.values("Route")) == rest


@pytest.mark.parametrize(
    ("place", "ours"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:5060", True),
        ("SIP.Example.ORG", True),
        ("example.com", True),
        ("127.0.0.1:5099", False),
        ("example.com:5099", False),
        ("127.0.0.9", False),
        ("elsewhere.example", False),
    ],
)
def test_prx_18_host_and_port_say_whether_a_route_is_ours(make_world: Make, place: str, ours: bool) -> None:
    world = make_world(
        proxy={"sign_record_route": False}, domain={"local": ["example.com", "127.0.0.1", "sip.example.org"]}
    )
    caller, callee = parties(world)
    in_dialog(caller, callee)
    routes = f"Route: <sip:{place};lr>"
    uri = "sip:bob@127.0.0.2:5090"
    caller.send(caller.request("BYE", uri, call_id="c1", cseq=2, to_tag="t1", from_tag="f9", headers=routes))
    assert ("BYE" in callee.requests) == ours and (404 in caller.statuses) != ours


def test_prx_19_a_strict_router_gets_its_uri_and_the_old_one_as_last_route(make_world: Make) -> None:
    world = make_world(AS_ADDRESSED)
    caller, router = parties(world)
    routes = "Route: <sip:strict@127.0.0.2:5090>\nRoute: <sip:203.0.113.7;lr>"
    caller.send(caller.request("MESSAGE", "sip:bob@203.0.113.8;x=y", headers=routes))
    assert router.last.uri == b"sip:strict@127.0.0.2:5090"
    assert router.last.values("Route") == [b"<sip:203.0.113.7;lr>", b"<sip:bob@203.0.113.8;x=y>"]


def test_prx_20_the_first_route_left_is_the_next_hop_else_the_request_uri(make_world: Make) -> None:
    world = make_world(AS_ADDRESSED)
    caller, callee = parties(world)
    routes = "Route: <sip:127.0.0.2:5090;lr>, <sip:203.0.113.7;lr>"
    caller.send(caller.request("MESSAGE", "sip:bob@203.0.113.8;x=y", headers=routes))
    assert callee.last.uri == b"sip:bob@203.0.113.8;x=y" and len(callee.last.values("Route")) == 2
    caller.send(caller.request("MESSAGE", "sip:Bob%40x@127.0.0.2:5090;x=y;method=MESSAGE"))
    assert callee.last.uri.startswith(b"sip:Bob%40x@127.0.0.2:5090;x=y") and not callee.last.has("Route")


@pytest.mark.parametrize("first", ["<sip:203.0.113.7;lr>", "<sip:strict@203.0.113.7>"])
def test_prx_20_targets_of_a_fork_are_reached_by_their_own_uris_whatever_the_routes(
    make_world: Make, first: str
) -> None:
    world = make_world(TARGETS % '"sip:127.0.0.2:5090", "sip:a@127.0.0.2:5090"')
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", BOB, headers=f"Route: {first}, <sip:203.0.113.8;lr>"))
    assert [seen.uri for seen in callee.inbox] == [b"sip:127.0.0.2:5090", b"sip:a@127.0.0.2:5090"]
    for seen in callee.inbox:
        assert seen.values("Route") == [first.encode(), b"<sip:203.0.113.8;lr>"]
    assert not world.lost


def test_prx_23_headers_and_method_of_a_target_become_nothing(make_world: Make) -> None:
    target = "sip:bob@127.0.0.2:5090;user=phone;method=BYE;x=1?Subject=s&Route=%3Csip:203.0.113.7%3E"
    world = make_world(TARGETS % f'"{target}"')
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", BOB))
    assert (callee.last.method, callee.last.uri) == ("INVITE", b"sip:bob@127.0.0.2:5090;user=phone;x=1")
    assert not callee.last.has("Subject") and not callee.last.has("Route") and not world.lost


REGISTERED = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    elif request.method == "OPTIONS":
        request.reply(200)
    elif contacts := registrar.lookup(request.ruri):
        request.fork([*contacts, "sip:%62ob@127.0.0.2:5090", str(contacts[0].uri)])
    else:
        request.reply(480)
"""


def register(phone: Agent) -> None:
    text = phone.request("REGISTER", "sip:example.com", call_id="r1", to=BOB)
    phone.send(text.replace("Contact: <sip:", "Contact: <sip:bob@"))
    assert phone.take()[-1].status == 200


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("sip:bob@example.com", True),
        ("sip:%62ob@EXAMPLE.com;user=phone;x=y", True),
        ("sip:bob@example.com:5060", True),
        ("sip:Bob@example.com", False),
        ("sip:bob@elsewhere.example", False),
    ],
)
def test_prx_21_prx_30_the_canonical_address_of_record_is_looked_up_and_equal_targets_ring_once(
    make_world: Make, uri: str, found: bool
) -> None:
    world = make_world(REGISTERED)
    caller, phone = parties(world)
    register(phone)
    caller.send(caller.request("INVITE", uri))
    assert phone.requests == ["INVITE"] * found and caller.statuses[-1] == (100 if found else 480)
    world.advance(4000)
    caller.send(caller.request("INVITE", BOB))
    assert caller.statuses[-1] == 480


EXAMPLE = Path(__file__).parents[1] / "script" / "example.py"


@pytest.mark.parametrize(
    ("uri", "headers", "to_tag", "status"),
    [
        ("sip:x@203.0.113.7", "", "", 407),
        (BOB, "Route: <sip:203.0.113.7;lr>", "", 407),
        (BOB, "Route: <sip:127.0.0.1:5060;lr>, <sip:203.0.113.7;lr>", "", 407),
        ("sip:x@203.0.113.7", "Route: <sip:127.0.0.1:5060;lr>", "t1", 481),
        (BOB, "Route: <sip:203.0.113.7;lr>", "t1", 481),
    ],
)
def test_prx_22_a_stranger_reaches_no_foreign_place(
    make_world: Make, uri: str, headers: str, to_tag: str, status: int
) -> None:
    world = make_world(EXAMPLE)
    caller, there = world.agent("192.0.2.1"), world.agent("203.0.113.7")
    for method in ("INVITE", "MESSAGE", "BYE"):
        caller.send(caller.request(method, uri, headers=headers, to_tag=to_tag, to=BOB))
        assert caller.last.status == status
    assert not there.inbox and not world.lost


def test_prx_31_options_to_us_gets_200_without_body(make_world: Make) -> None:
    caller, _ = parties(make_world(REGISTERED))
    caller.send(caller.request("OPTIONS", "sip:example.com"))
    assert caller.statuses == [200] and caller.last.body == b"" and caller.last.content_length == 0
    assert {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER"} <= {
        value.decode() for value in caller.last.values("Allow")
    }
    assert all(caller.last.first(name) for name in ("Contact", "Accept", "Supported"))


EDITS = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.set_header("X-Set", "new")
    request.remove_header("X-Gone")
    request.relay("sip:127.0.0.2:5090")
"""


def test_prx_24_what_a_script_edits_changes_no_other_line_and_no_byte_of_the_body(make_world: Make) -> None:
    caller, callee = parties(make_world(EDITS))
    odd = ["X-Odd:  two  spaces\t", "X-Set: old", "s: folded\n  here", "X-Gone: 1", "X-Odd: again, and again", "x-odd:"]
    text = caller.request("MESSAGE", BOB, headers="\n".join(odd), body="\0a\0\x01")
    caller.send(text)
    head, _, body = callee.last.raw.partition(b"\r\n\r\n")
    kept = ["X-Odd:  two  spaces\t", "X-Set: new", "s: folded\r\n  here", "X-Odd: again, and again", "x-odd:"]
    assert "\r\n".join(["", *kept, ""]).encode() in head and b"X-Gone" not in head and body == b"\0a\0\x01"


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REFER", "NEWFANGLED", "REGISTER"])
@pytest.mark.parametrize("to_tag", ["", "t9"])
def test_prx_25_record_route_is_on_top_for_every_method_but_register(
    make_world: Make, method: str, to_tag: str
) -> None:
    world = make_world(TARGETS % '"sip:127.0.0.2:5090"')
    caller, callee = parties(world)
    older = b"<sip:127.0.0.1:5060;lr;rrs=00000000000000000000>"
    headers = f"Record-Route: {older.decode()}"
    caller.send(caller.request(method, BOB, to_tag=to_tag, headers=headers))
    values = callee.last.values("Record-Route")
    assert values[-1] == older and len(values) == (1 if method == "REGISTER" else 2)
    if method != "REGISTER":
        assert values[0].startswith(b"<sip:127.0.0.1:5060;lr;rrs=") and b"transport" not in values[0]


def test_prx_28_each_target_and_each_attempt_has_a_branch_of_its_own(make_world: Make) -> None:
    again = "@proxy.on_failure\ndef failed(request, reply):\n    request.relay('sip:127.0.0.2:5090')\n"
    world = make_world(TARGETS % '"sip:127.0.0.2:5090", "sip:127.0.0.2:5090;x=1;maddr=127.0.0.2"' + again)
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", BOB))
    for _ in range(2):
        for seen in [m for m in callee.inbox if m.method == "INVITE"]:
            callee.answer(seen, 486)
    asked = [m for m in callee.inbox if m.method == "INVITE"]
    branches = [m.via.branch for m in asked]
    assert len(set(branches)) == len(asked) >= 4
    assert all(branch.startswith(b"z9hG4bK") and len(branch) == 59 for branch in branches)
    assert all(m.via.transport == "UDP" and m.via.sent_by == b"127.0.0.1:5060" for m in asked)


def test_prx_28_a_request_that_comes_again_when_its_transaction_has_ended_has_another_branch(world: World) -> None:
    caller, callee = parties(world)
    text = caller.request("MESSAGE", BOB)
    for _ in range(2):
        caller.send(text)
        callee.answer(callee.last, 200)
        world.advance(60)
        assert not list(world.records())
    first, second = callee.inbox
    assert first.via.branch != second.via.branch


def test_prx_28_our_via_names_the_socket_that_sends(make_world: Make) -> None:
    script = AS_ADDRESSED.replace("relay()", "relay(send_socket='udp:127.0.0.1:5070')")
    world = make_world(script, listen={"udp": ["127.0.0.1:5060", "127.0.0.1:5070"]})
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@127.0.0.2:5090"), listener=0)
    assert callee.last.via.sent_by == b"127.0.0.1:5070"
    assert [send.listener for send in world.sent if send.to == ("127.0.0.2", 5090)] == [1]


def test_prx_29_every_message_that_leaves_has_the_length_of_its_body(make_world: Make) -> None:
    world = make_world()
    caller, callee = parties(world)
    same = {"branch": "z9hG4bK-one", "call_id": "c1"}
    text = caller.request("INVITE", BOB, **same, body="v=0")  # type: ignore[arg-type]
    caller.send(text.replace("Content-Length: 3\n", ""))
    answer = callee.inbox[0]
    callee.answer(answer, 180)
    caller.send(caller.request("CANCEL", BOB, **same).replace("Content-Length: 0\n", ""))  # type: ignore[arg-type]
    callee.answer(answer, 487)
    caller.send(caller.request("MESSAGE", BOB).replace("Content-Length: 0\n", "Max-Forwards: x\n"))
    kinds = set()
    for message in caller.inbox + callee.inbox:
        kinds.add(message.method if message.is_request else str(message.status))
        (length,) = message.all_lines("Content-Length")
        assert int(length) == len(message.raw.partition(b"\r\n\r\n")[2])
    assert kinds == {"INVITE", "CANCEL", "ACK", "100", "180", "200", "487", "400"} and answer.content_length == 3


def test_prx_32_answers_made_here_copy_what_identifies_the_transaction_and_have_one_tag(make_world: Make) -> None:
    world = make_world(
        "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.relay('sip:[bad')\n"
    )
    caller, _ = parties(world)
    vias = "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKa, SIP/2.0/UDP 203.0.113.2\nv: SIP/2.0/UDP 203.0.113.3\n"
    text = caller.request("INVITE", BOB, call_id="c1", branch="z9hG4bK-one", cseq=7, headers="Timestamp: 54.1")
    caller.send(text.replace("Max-Forwards", f"{vias}Max-Forwards"))
    caller.send(caller.request("CANCEL", BOB, call_id="c1", branch="z9hG4bK-one", cseq=7))
    trying, final, cancelled = caller.inbox
    assert (trying.status, final.status) == (100, 500) and trying.to_tag is None and final.to_tag
    assert trying.first("Timestamp") == b"54.1" and cancelled.to_tag == final.to_tag
    for m in (trying, final):
        hosts = [value.split()[1].partition(b";")[0] for value in m.values("Via")]
        assert hosts == [b"192.0.2.1:5060", b"203.0.113.1", b"203.0.113.2", b"203.0.113.3"]
        assert (m.call_id, m.cseq, m.cseq_method, m.from_tag) == (b"c1", 7, "INVITE", b"f1")
        assert m.to_value.startswith(b"<sip:bob@example.com>")


PROVISIONAL = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.ruri.user == "chosen":
        request.set_reply_to_tag("mine")
    request.reply(%d)
"""


@pytest.mark.parametrize("user", ["bob", "chosen"])
@pytest.mark.parametrize("first", [100, 183])
def test_prx_32_what_a_script_says_first_has_the_tag_of_the_final_and_a_100_has_none(
    make_world: Make, user: str, first: int
) -> None:
    caller, _ = parties(make_world(PROVISIONAL % first))
    same = {"branch": "z9hG4bK-one", "call_id": "c1"}
    caller.send(caller.request("INVITE", f"sip:{user}@example.com", **same))  # type: ignore[arg-type]
    caller.send(caller.request("CANCEL", f"sip:{user}@example.com", **same))  # type: ignore[arg-type]
    assert caller.statuses == [first, 200, 487]
    begun, *ended = [m.to_tag for m in caller.inbox]
    assert len(set(ended)) == 1 and ended[0] and (ended[0] == b"mine") == (user == "chosen")
    assert begun == (None if first == 100 else ended[0])


def test_prx_32_the_100_to_what_is_forwarded_has_all_vias_and_the_timestamp(world: World) -> None:
    caller, callee = parties(world)
    vias = "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKa, SIP/2.0/UDP 203.0.113.2\nv: SIP/2.0/UDP 203.0.113.3\n"
    text = caller.request("INVITE", BOB, call_id="c1", cseq=7, headers="Timestamp: 54.1")
    caller.send(text.replace("Max-Forwards", f"{vias}Max-Forwards"))
    trying = caller.last
    assert (trying.status, trying.to_tag, trying.first("Timestamp")) == (100, None, b"54.1")
    hosts = [value.split()[1].partition(b";")[0] for value in trying.values("Via")]
    assert hosts == [b"192.0.2.1:5060", b"203.0.113.1", b"203.0.113.2", b"203.0.113.3"]
    assert (trying.call_id, trying.cseq, trying.from_tag) == (b"c1", 7, b"f1") and callee.requests == ["INVITE"]
