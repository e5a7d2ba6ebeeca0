"""An INVITE that another node has refused without knowing its record: the caller's ACK ends it (DESIGN: Redis away)."""

from collections.abc import Callable

import pytest

from siphon.forwarding.branch import to_tag
from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
AWAITS = """
import asyncio
from siphon import proxy

@proxy.on_request
async def route(request):
    await asyncio.sleep(2.0)
    request.relay("sip:127.0.0.2:5090")
"""
TRIES_TWO = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.2:5091"], strategy="sequential")
"""
RELIABLE = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(183, "Progress", reliable=True)
"""


def ringing(world: World) -> tuple[Agent, Agent, SipMessage]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    callee.answer(callee.inbox[0], 180)
    assert caller.statuses == [100, 180]
    return caller, callee, callee.inbox[0]


def ack(world: World, caller: Agent, branch: str = "z9hG4bK-one", tag: str = "") -> str:
    """As it follows a 503 that some node has made of this INVITE."""
    (key,) = (record.key for record in world.records())
    ours = to_tag(key, world.workers[0].core.env.tag_key).decode()
    return caller.request("ACK", "sip:bob@example.com", branch=branch, call_id="c1", to_tag=tag or ours)


def test_shared_29_a_call_whose_caller_has_had_a_503_of_another_node_ends(world: World) -> None:
    caller, callee, seen = ringing(world)
    caller.send(ack(world, caller), 1)
    assert callee.requests == ["INVITE", "CANCEL"]
    callee.answer(callee.last, 200)
    callee.answer(seen, 487)
    assert callee.requests == ["INVITE", "CANCEL", "ACK"]
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    world.advance(200)
    assert caller.statuses == [100, 180] and not list(world.records())


def test_shared_29_a_2xx_that_crosses_the_end_of_such_a_call_reaches_the_caller(world: World) -> None:
    caller, callee, seen = ringing(world)
    caller.send(ack(world, caller))
    callee.answer(seen, 200)
    assert caller.statuses == [100, 180, 200]


def test_the_next_target_of_such_a_call_is_not_tried(make_world: Make) -> None:
    world = make_world(TRIES_TWO)
    second = world.agent("127.0.0.2", 5091)
    caller, callee, seen = ringing(world)
    caller.send(ack(world, caller))
    callee.answer(seen, 486)
    world.advance(40)
    assert set(callee.requests) == {"INVITE", "CANCEL", "ACK"}
    assert second.requests == [] and caller.statuses == [100, 180]


def test_what_the_handlers_of_such_a_call_decide_later_is_dropped(make_world: Make) -> None:
    world = make_world(AWAITS)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    world.advance(0.1)
    caller.send(ack(world, caller), 1)
    world.advance(40)
    assert callee.requests == [] and caller.statuses == [] and not list(world.records())


def test_a_reliable_provisional_of_such_a_call_is_not_repeated(make_world: Make) -> None:
    world = make_world(RELIABLE)
    caller = world.agent("192.0.2.1")
    headers = "Supported: 100rel"
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", headers=headers))
    world.advance(1.0)
    assert caller.statuses == [183, 183]
    caller.send(ack(world, caller))
    world.advance(40)
    assert caller.statuses == [183, 183] and not list(world.records())


@pytest.mark.parametrize("facts", [{"branch": "z9hG4bK-two"}, {"tag": "t1"}, {"tag": "0" * 32}])
def test_another_ack_changes_nothing(world: World, facts: dict[str, str]) -> None:
    caller, callee, seen = ringing(world)
    caller.send(ack(world, caller, **facts))
    assert callee.requests == ["INVITE"]
    callee.answer(seen, 200)
    assert caller.statuses == [100, 180, 200]
