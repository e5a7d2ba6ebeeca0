"""Answers that keep no state: malformed requests, overload, challenges (RFC 3261 §8.2.7, §26.3.2.4)."""

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
CHALLENGE = """
from siphon import auth, proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        if auth.require_digest(request, realm="example.com"):
            registrar.save(request)
    elif auth.require_proxy_digest(request, realm="example.com"):
        request.relay("sip:127.0.0.2:5090")
"""
RELAY = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")
"""


def ack(caller: Agent, branch: str, headers: str = "") -> str:
    tag = (caller.last.to_tag or b"").decode()
    return caller.request("ACK", "sip:bob@example.com", branch=branch, call_id="c1", to_tag=tag, headers=headers)


def refused(world: World, kind: str) -> tuple[Agent, str]:
    """A caller and its INVITE, which gets a stateless answer of this kind."""
    caller = world.agent("192.0.2.1")
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    if kind == "malformed":
        text = text.replace("Max-Forwards: 70", "Max-Forwards: many")
    elif kind == "overload":
        for worker in world.workers:
            worker.draining = True
    return caller, text


def test_sec_01_a_to_tag_that_anybody_may_write_keeps_no_state(make_world: Make) -> None:
    """Through a transaction a 407 to a forged source would leave eleven times (Timer G)."""
    world = make_world(CHALLENGE)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    for route in ("", "Route: <sip:127.0.0.1:5060;lr>\r\n", "Route: <sip:127.0.0.1:5060;lr;rrs=forged>\r\n"):
        caller.inbox.clear()
        uri = "sip:bob@example.com"
        caller.send(caller.request("INVITE", uri, branch="z9hG4bK-one", call_id="c1", to_tag="b1", headers=route))
        world.advance(40)
        assert caller.statuses == [407] and not list(world.records())
        caller.send(caller.request("ACK", uri, branch="z9hG4bK-one", call_id="c1", to_tag="b1", headers=route))
        world.advance(1)
    assert not callee.inbox


@pytest.mark.parametrize(("kind", "status"), [("malformed", 400), ("overload", 503), ("challenge", 407)])
def test_txn_26_a_stateless_answer_is_sent_once_and_its_ack_dropped(make_world: Make, kind: str, status: int) -> None:
    world = make_world(CHALLENGE if kind == "challenge" else RELAY)
    caller, text = refused(world, kind)
    callee = world.agent("127.0.0.2", 5090)
    caller.send(text, 0)
    world.advance(40)
    assert caller.statuses == [status] and not list(world.records())
    caller.send(text, 1)
    assert caller.statuses == [status, status]
    assert len({m.to_tag for m in caller.inbox}) == 1 and len(caller.last.to_tag or b"") == 32
    for worker in (0, 1):
        caller.send(ack(caller, "z9hG4bK-one"), worker)
    world.advance(40)
    assert len(caller.inbox) == 2 and not callee.inbox and not list(world.records())


@pytest.mark.parametrize(("kind", "status"), [("overload", 503), ("challenge", 407)])
def test_txn_26_the_ack_is_known_by_its_tag_where_routes_are_not_signed(
    make_world: Make, kind: str, status: int
) -> None:
    world = make_world(CHALLENGE if kind == "challenge" else RELAY, proxy={"sign_record_route": False})
    caller, text = refused(world, kind)
    callee = world.agent("127.0.0.2", 5090)
    route = "Route: <sip:127.0.0.1:5060;lr>, <sip:127.0.0.2:5090;lr>\n"
    caller.send(text.replace("Content-Length", route + "Content-Length"))
    assert caller.statuses == [status]
    caller.send(ack(caller, "z9hG4bK-one", route))
    assert not callee.inbox and world.count(Counter.ACKS_DROPPED) == 1


@pytest.mark.parametrize(("method", "status"), [("INVITE", 407), ("REGISTER", 401), ("MESSAGE", 407)])
def test_sec_01_a_stranger_gets_one_challenge_and_leaves_no_state(make_world: Make, method: str, status: int) -> None:
    world = make_world(CHALLENGE)
    caller = world.agent("192.0.2.1")
    text = caller.request(method, "sip:example.com" if method == "REGISTER" else "sip:bob@example.com")
    caller.send(text)
    assert caller.statuses == [status] and not list(world.records())
    world.advance(60)
    assert len(world.sent) == 1
    assert sum(len(m.raw) for m in caller.inbox) <= 2 * len(text)
