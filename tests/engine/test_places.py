"""Where answers go, and from which socket things are sent (RFC 3261 §18.2, RFC 3581, RFC 5658)."""

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.sip.message import parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
TWO = {"udp": ["127.0.0.1:5060", "127.0.0.1:5070"]}
BETWEEN = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.loose_route():
        request.relay()
        return
    request.record_route()
    request.relay("sip:127.0.0.2:5090", send_socket="udp:127.0.0.1:5060")
"""


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def cancel(caller: Agent, branch: str = "z9hG4bK-one") -> str:
    return caller.request("CANCEL", "sip:bob@example.com", branch=branch, call_id="c1")


def test_nat_03_the_200_to_a_cancel_goes_to_where_the_cancel_came_from(make_world: Make) -> None:
    world = make_world(listen=TWO)
    caller, callee = parties(world)
    moved = world.agent("192.0.2.1", 7777)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    callee.answer(callee.last, 180)
    moved.send(cancel(caller), listener=1)
    assert moved.statuses == [200] and caller.statuses == [100, 180]
    assert callee.requests == ["INVITE", "CANCEL"]
    assert next(send for send in world.sent if send.to == ("192.0.2.1", 7777)).listener == 1


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "BYE", "SUBSCRIBE"])
def test_can_05_a_cancel_for_a_non_invite_gets_200_and_changes_nothing(world: World, method: str) -> None:
    caller, callee = parties(world)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    caller.send(cancel(caller))
    assert caller.statuses == [200] and callee.requests == [method]
    callee.answer(callee.last, 202)
    assert caller.statuses == [200, 202]
    caller.send(cancel(caller, "z9hG4bK-two"))
    assert caller.statuses[-1] == 481


@pytest.mark.parametrize("transport", ["TCP", "TLS", "SCTP", "FOO"])
def test_nat_14_a_via_of_another_transport_is_answered_to_the_source(world: World, transport: str) -> None:
    caller, callee = parties(world)
    text = caller.request("MESSAGE", "sip:bob@example.com")
    caller.send(text.replace("SIP/2.0/UDP 192.0.2.1:5060;rport", f"SIP/2.0/{transport} client.invalid:9999"))
    callee.answer(callee.last, 200)
    assert caller.statuses == [200] and not world.lost


def test_txn_01_an_invite_that_has_waited_for_its_worker_gets_100_before_its_handlers(make_world: Make) -> None:
    world = make_world(
        "import asyncio\nfrom siphon import proxy\n@proxy.on_request\nasync def route(request):\n"
        "    await asyncio.sleep(1)\n    request.reply(486, 'Busy Here')\n"
    )
    caller, _ = parties(world)
    data = caller.request("INVITE", "sip:bob@example.com").replace("\n", "\r\n").encode()
    world.workers[0].ingest.datagram(data, ("192.0.2.1", 5060), 0, "", world.clock() - 0.3)
    world.settle()
    assert caller.statuses == [100]
    world.advance(1.1)
    assert caller.statuses == [100, 486]


def test_prx_27_each_side_of_a_dialog_is_served_from_the_socket_it_knows(make_world: Make) -> None:
    world = make_world(BETWEEN, listen=TWO)
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"), listener=1)
    routes = [value.decode() for value in callee.last.values("Record-Route")]
    assert [route.partition(";")[0] for route in routes] == ["<sip:127.0.0.1:5060", "<sip:127.0.0.1:5070"]
    callee.answer(callee.last, 200)
    headers = "Route: " + ", ".join(reversed(routes))
    for method, cseq in (("ACK", 1), ("INFO", 2)):
        text = caller.request(method, "sip:127.0.0.2:5090", call_id="c1", cseq=cseq, to_tag="t1", headers=headers)
        caller.send(text, listener=1)
        assert callee.last.method == method and callee.last.via.port == 5060
        assert world.sent[-1].listener == 0
    headers = "Route: " + ", ".join(routes)
    text = callee.request("BYE", "sip:192.0.2.1:5060", call_id="c1", from_tag="t1", to_tag="f1", headers=headers)
    callee.send(text, listener=0)
    assert caller.last.method == "BYE" and caller.last.via.port == 5070
    assert world.sent[-1].listener == 1


FORCED = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.force_send_via("udp", "Edge.example.net:5099")
    request.relay("sip:127.0.0.2:5090")
"""


def test_prx_41_an_answer_by_the_host_that_the_script_forced_into_our_via_is_ours(make_world: Make) -> None:
    world = make_world(FORCED)
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"))
    asked = callee.last
    assert asked.via.sent_by == b"Edge.example.net:5099"
    callee.answer(parse(asked.raw.replace(b"Edge.example.net:5099", b"other.example.net:5099", 1)), 180)
    callee.answer(parse(asked.raw.replace(b"Edge.example.net:5099", b"Edge.example.net:5098", 1)), 181)
    assert caller.statuses == [100]
    callee.answer(parse(asked.raw.replace(b"Edge.example.net:5099", b"edge.EXAMPLE.net:5099", 1)), 183)
    callee.answer(asked, 486)
    assert caller.statuses == [100, 183, 486] and callee.requests == ["INVITE", "ACK"]


def test_prx_16_a_maddr_of_ours_is_taken_off_before_the_handlers(world: World) -> None:
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", "sip:bob@example.com:5060;maddr=127.0.0.1;x=y", to="sip:bob@example.com"))
    assert callee.last.uri == b"sip:bob@example.com;x=y"
    caller.send(caller.request("MESSAGE", "sip:bob@example.com;maddr=192.0.2.9", to="sip:bob@example.com"))
    assert callee.last.uri == b"sip:bob@example.com;maddr=192.0.2.9"


def test_prx_16_cancel_and_ack_match_a_request_whose_maddr_was_ours(world: World) -> None:
    caller, callee = parties(world)
    uri = "sip:bob@example.com;maddr=127.0.0.1"
    facts = {"branch": "old", "call_id": "c1", "to": "sip:bob@example.com"}
    caller.send(caller.request("INVITE", uri, **facts))  # type: ignore[arg-type]
    callee.answer(callee.last, 180)
    caller.send(caller.request("CANCEL", uri, **facts))  # type: ignore[arg-type]
    assert caller.statuses == [100, 180, 200] and callee.requests == ["INVITE", "CANCEL"]


@pytest.mark.parametrize(
    ("sent_by", "port"), [("192.0.2.1", 5060), ("192.0.2.1:6060", 6060), ("phone.invalid:7070", 7070)]
)
def test_nat_04_without_rport_the_answer_goes_to_the_sent_by_port(world: World, sent_by: str, port: int) -> None:
    phone, waiting = world.agent("192.0.2.1", 40000), world.agent("192.0.2.1", port)
    callee = world.agent("127.0.0.2", 5090)
    text = phone.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    text = text.replace("192.0.2.1:40000;rport", sent_by)
    phone.send(text, 0)
    callee.answer(callee.last, 180)
    phone.send(text, 1)
    callee.answer(callee.inbox[0], 486)
    assert phone.inbox == [] and waiting.statuses == [100, 180, 180, 486]
    assert (b"received=192.0.2.1" in callee.inbox[0].values("Via")[1]) == ("invalid" in sent_by)


@pytest.mark.parametrize(("sent_by", "port"), [("192.0.2.1", 5060), ("192.0.2.1:6060", 6060)])
@pytest.mark.parametrize(("maddr", "ip"), [("198.51.100.7", "198.51.100.7"), ("[::1]", "::1")])
def test_nat_05_a_via_with_maddr_is_answered_there_at_the_sent_by_port(
    world: World, maddr: str, ip: str, sent_by: str, port: int
) -> None:
    caller, callee = parties(world)
    there = world.agent(ip, port)
    for method, rport in (("MESSAGE", ";rport"), ("CANCEL", "")):
        text = caller.request(method, "sip:bob@example.com")
        assert "192.0.2.1:5060;rport" in text
        caller.send(text.replace("192.0.2.1:5060;rport", f"{sent_by}{rport};maddr={maddr}"))
        if method == "MESSAGE":
            callee.answer(callee.last, 200)
    assert caller.inbox == [] and there.statuses == [200, 481]


@pytest.mark.parametrize("maddr", ["224.0.1.75", "255.255.255.255", "0.0.0.0", "[ff02::1]", "[::]", "[ff15::75]"])
@pytest.mark.parametrize("method", ["INVITE", "CANCEL"])
def test_nat_05_a_maddr_that_nothing_is_sent_to_drops_the_request(world: World, method: str, maddr: str) -> None:
    caller, callee = parties(world)
    text = caller.request(method, "sip:bob@example.com").replace(";rport", f";rport;maddr={maddr}")
    caller.send(text)
    caller.send(text.replace("Max-Forwards: 70", "Max-Forwards: many"))
    world.advance(40)
    assert world.sent == [] and not list(world.records())
    assert world.count(Counter.IGNORED) == world.count(Counter.MALFORMED) == 1


def test_a_wildcard_listener_without_a_route_to_the_target_is_a_500_at_once(make_world: Make) -> None:
    script = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.relay('sip:192.0.2.55')\n"
    world = make_world(script, listen={"udp": ["0.0.0.0:5060"]})
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    assert caller.statuses == [100, 500]
