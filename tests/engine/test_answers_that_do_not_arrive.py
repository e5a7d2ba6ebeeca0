"""Answers that cannot be delivered, and answers that come second: both are logged and change nothing."""

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
SLOW = """
import asyncio
from siphon import proxy

@proxy.on_request
async def route(request):
    await asyncio.sleep(1.0)
    request.reply(403, "Too Late")
"""
SLOW_FAILURE = """
import asyncio
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.2:5091"], timeout=5.0)

@proxy.on_failure
async def failed(request, reply):
    await asyncio.sleep(1.0)
    request.reply(480, "Nobody Home")
"""


def called(world: World) -> tuple[Agent, Agent, str]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text)
    return caller, callee, text


def notes(world: World) -> list[str]:
    return [note for worker in world.workers for note in worker.notes]


def test_prx_52_a_response_that_cannot_be_sent_up_is_logged_and_the_branch_goes_on(world: World) -> None:
    caller, callee, _ = called(world)
    world.unreachable.add(("192.0.2.1", 5060))
    callee.answer(callee.last, 180)
    assert notes(world) == ["response.undeliverable {'response': b'180 Status', 'of': b'c1'}"]
    world.advance(30)
    assert callee.requests == ["INVITE"]
    world.unreachable.clear()
    callee.answer(callee.last, 200)
    assert caller.statuses == [100, 200]


@pytest.mark.parametrize("status", [180, 486])
def test_txn_06_after_a_send_error_a_repeated_invite_is_still_answered(world: World, status: int) -> None:
    caller, callee, text = called(world)
    world.unreachable.add(("192.0.2.1", 5060))
    callee.answer(callee.inbox[0], status)
    world.unreachable.clear()
    for worker in (0, 1):
        caller.send(text, worker)
    assert caller.statuses == [100, status, status]
    if status == 486:
        world.advance(40)
        assert caller.statuses.count(486) == 2 + 10


def test_txn_23_an_answer_after_the_487_is_discarded_and_logged(make_world: Make) -> None:
    world = make_world(SLOW)
    caller, _, _ = called(world)
    world.advance(0.5)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    caller.send(caller.request("ACK", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    world.advance(40)
    assert caller.statuses == [100, 200, 487]
    assert notes(world) == ["answer.discarded {'status': 403}"]


def test_txn_23_a_200_that_comes_before_the_answer_of_on_failure_stands(make_world: Make) -> None:
    world = make_world(SLOW_FAILURE)
    two = world.agent("127.0.0.2", 5091)
    caller, one, _ = called(world)
    one.answer(one.last, 486)
    two.answer(two.last, 180)
    world.advance(5.5)
    two.answer(two.inbox[0], 200)
    world.advance(5)
    assert caller.statuses == [100, 180, 200]
    assert notes(world) == ["answer.discarded {'status': 480}"]
