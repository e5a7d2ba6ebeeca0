"""Handlers that await while something else happens to their call (API 4.3, 8.3, 9.1)."""

from collections.abc import Callable

import pytest

from siphon.engine.events import FailureOutcomeEvent
from siphon.script.outcome import FailureOutcome, Outcome, Relay
from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

HEAD = "import asyncio\nfrom siphon import proxy\n\n@proxy.on_request\ndef route(request):\n"
RELAY = HEAD + "    request.relay('sip:127.0.0.2:5090')\n\n"
SLOW = "@proxy.on_reply\nasync def back(request, reply):\n    await asyncio.sleep({})\n    reply.relay()\n\n"


def called(world: World) -> tuple[Agent, Agent, SipMessage]:
    caller, phone = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return caller, phone, phone.last


def cancel(caller: Agent) -> None:
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))


@pytest.mark.parametrize(
    "script",
    [
        RELAY
        + "@proxy.on_failure\nasync def failed(request, reply):\n    await asyncio.sleep(3)\n"
        + "    request.relay('sip:127.0.0.2:5099')\n",
        HEAD
        + "    request.relay('sip:127.0.0.2:5090', on_failure=failed)\n\n"
        + "async def failed(request, code, reason):\n    await asyncio.sleep(3)\n    request.reply(480, 'Later')\n",
    ],
)
def test_a_cancel_while_on_failure_awaits_is_487_at_once_and_its_action_is_not_carried_out(
    make_world: Make, script: str
) -> None:
    world = make_world(script)
    other = world.agent("127.0.0.2", 5099)
    caller, phone, seen = called(world)
    phone.answer(seen, 486)
    world.advance(1)
    assert caller.statuses == [100]
    cancel(caller)
    assert caller.statuses == [100, 200, 487]
    world.advance(5)
    assert set(caller.statuses[3:]) == {487} and not other.inbox


def test_what_on_failure_left_of_an_attempt_is_nothing_to_the_next_one(make_world: Make) -> None:
    """Its process was stopped, or without its store, while others went on to the next attempt."""
    failed = "@proxy.on_failure\nasync def failed(request, reply):\n    await asyncio.sleep(3)\n"
    world = make_world(RELAY + failed + "    request.relay('sip:127.0.0.2:5099')\n")
    other = world.agent("127.0.0.2", 5099)
    caller, phone, seen = called(world)
    phone.answer(seen, 486)
    world.advance(3.1)
    other.answer(other.last, 486)
    world.advance(1)
    (record,) = world.records()
    left = Outcome()
    left.action = Relay("sip:127.0.0.2:5099")
    for worker in world.workers:
        worker.core.process(FailureOutcomeEvent(record.key, 1, FailureOutcome(left)))
    assert len({one.via.branch for one in other.inbox if one.method == "INVITE"}) == 1
    world.advance(3)
    assert len({one.via.branch for one in other.inbox if one.method == "INVITE"}) == 2


def test_a_2xx_whose_on_reply_awaits_beats_the_cancel(make_world: Make) -> None:
    world = make_world(RELAY + SLOW.format("2 if reply.status_code == 200 else 0"))
    caller, phone, seen = called(world)
    phone.answer(seen, 180)
    world.advance(0.1)
    phone.answer(seen, 200)
    cancel(caller)
    assert caller.statuses == [100, 180, 200] and caller.last.cseq_method == "CANCEL"
    world.advance(3)
    assert caller.statuses == [100, 180, 200, 200] and caller.last.cseq_method == "INVITE"


def test_responses_of_one_branch_are_handled_in_one_worker_in_order_of_arrival(make_world: Make) -> None:
    world = make_world(RELAY + SLOW.format("2 if reply.status_code == 180 else 0"))
    caller, phone, seen = called(world)
    for status in (180, 183, 200):
        phone.answer(seen, status, worker=1)
    assert caller.statuses == [100]
    world.advance(3)
    assert caller.statuses == [100, 180, 183, 200]


def test_a_provisional_whose_handler_ends_after_the_final_of_another_worker_is_not_sent(make_world: Make) -> None:
    world = make_world(RELAY + SLOW.format("2 if reply.status_code == 180 else 0"))
    caller, phone, seen = called(world)
    phone.answer(seen, 180, worker=0)
    phone.answer(seen, 200, worker=1)
    world.advance(3)
    assert caller.statuses == [100, 200]


def test_a_failure_waits_for_its_on_reply_and_carries_its_edits(make_world: Make) -> None:
    body = (
        "@proxy.on_reply\nasync def back(request, reply):\n    await asyncio.sleep(2)\n    reply.set_header('X', '1')\n"
    )
    world = make_world(RELAY + body)
    caller, phone, seen = called(world)
    phone.answer(seen, 486)
    assert phone.requests == ["INVITE", "ACK"] and caller.statuses == [100]
    world.advance(2.1)
    assert caller.statuses == [100, 486] and caller.last.first("X") == b"1"
