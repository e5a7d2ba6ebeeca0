"""What random runs have found, each once more in a world that shows nothing else."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from siphon.engine.retention import LEAN_BYTES, shrink
from siphon.sip.build import response
from siphon.sip.message import parse
from siphon.state.memory import MemoryTable
from siphon.state.record import Record
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

HALF = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(183, "Half")
"""
TWO = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092"])

@proxy.on_reply
def back(request, reply):
    if reply.status_code == 183:
        reply.reject(480)
    else:
        reply.relay()
"""
AWAITING = """
import asyncio
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")

@proxy.on_reply
async def back(request, reply):
    await asyncio.sleep(3)
    reply.relay()
"""


def called(world: World, method: str = "INVITE") -> tuple[Agent, Agent, str]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text, 0)
    return caller, callee, text


def again(caller: Agent, method: str, to_tag: str = "") -> str:
    return caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", to_tag=to_tag)


def test_a_lock_that_is_held_when_a_late_commit_arrives_costs_nothing(make_world: Make) -> None:
    world = make_world(late=Random(1))
    caller, callee, _ = called(world)
    key = next(iter(world.records())).key
    callee.answer(callee.inbox[0], 180)
    world.transactions.busy.add(key)
    callee.answer(callee.inbox[0], 200)
    world.transactions.busy.clear()
    for worker in world.workers:
        worker.core.retry_parked()
    world.settle()
    assert caller.statuses == [100, 180, 200]


def test_can_09_a_repeated_cancel_gets_200_when_its_invite_is_long_over(world: World) -> None:
    caller, callee, _ = called(world)
    callee.answer(callee.inbox[0], 180)
    cancel = again(caller, "CANCEL")
    caller.send(cancel)
    callee.answer(callee.inbox[0], 487)
    caller.send(again(caller, "ACK", "t1"))
    world.advance(7)  # Timer I is over
    caller.send(cancel)
    assert caller.statuses == [100, 180, 200, 487, 200] and caller.inbox[2].raw == caller.inbox[4].raw


def test_txn_25_a_provisional_without_an_action_ends_in_500(make_world: Make) -> None:
    world = make_world(HALF, transaction={"timer_c": 20})
    caller, _, _ = called(world)
    world.advance(19)
    assert caller.statuses == [183]
    world.advance(2)
    assert caller.statuses[:2] == [183, 500]


def test_a_late_repeat_of_a_request_that_nobody_answered_is_absorbed(world: World) -> None:
    caller, callee, text = called(world, "MESSAGE")
    world.advance(33)
    before = len(callee.inbox)
    caller.send(text)
    assert len(callee.inbox) == before and 408 not in caller.statuses


@pytest.mark.parametrize("status", [180, 200])
def test_txn_08_an_invite_is_not_repeated_while_on_reply_awaits(make_world: Make, status: int) -> None:
    world = make_world(AWAITING)
    caller, callee, _ = called(world)
    callee.answer(callee.inbox[0], status)
    world.advance(2.9)
    assert callee.requests == ["INVITE"] and caller.statuses == [100]
    world.advance(0.2)
    assert caller.statuses == [100, status]


def test_a_first_provisional_after_timer_b_is_answered_with_cancel(world: World) -> None:
    caller, callee, _ = called(world)
    world.advance(32.1)
    assert 408 in caller.statuses
    callee.answer(callee.inbox[0], 180)
    assert callee.requests[-1] == "CANCEL"
    callee.answer(callee.inbox[0], 487)
    assert callee.requests[-1] == "ACK" and 180 not in caller.statuses


def test_a_record_is_not_replaced_while_a_branch_has_to_be_ended(make_world: Make) -> None:
    world = make_world(TWO)
    caller, one, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text)
    for agent in (one, two):
        agent.answer(agent.inbox[0], 180)
    one.answer(one.inbox[0], 183)  # rejected: 480, both are cancelled
    caller.send(again(caller, "ACK", caller.last.to_tag.decode() if caller.last.to_tag else ""))
    world.advance(7)  # Timer I is over, the CANCELs are not
    caller.send(text)
    world.advance(3)
    assert len({m.via.branch for m in two.inbox}) == 1 and two.requests.count("CANCEL") > 4


def test_txn_16_a_2543_request_of_another_dialog_takes_no_live_call_away(world: World) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", "sip:bob@example.com", branch="old", call_id="c1")
    caller.send(text)
    caller.send(text.replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=x"))
    callee.answer(callee.inbox[0], 200)
    assert caller.statuses == [100, 200] and callee.requests == ["INVITE"]


def test_no_failure_is_repeated_after_a_2xx(world: World) -> None:
    caller, callee, _ = called(world)
    callee.answer(callee.inbox[0], 180)
    caller.send(again(caller, "CANCEL"))
    world.advance(32.1)
    assert caller.statuses[-1] == 487
    callee.answer(callee.inbox[0], 200)
    world.advance(10)
    assert caller.statuses[-1] == 200


def test_shared_35_a_repeat_is_answered_from_a_full_table(make_world: Make) -> None:
    world = make_world(late=None)
    world.transactions = table = MemoryTable(10, 64, reserve_blocks=32, clock=world.clock)
    for slot in range(2):
        world.workers[slot].aio.abandon()
        world.workers[slot] = world.new_worker(slot, 2)
    caller, callee, text = called(world, "MESSAGE")
    callee.answer(callee.inbox[0], 200)
    table._blocks_free = 32  # nothing but the reserve
    caller.send(text)
    assert caller.statuses == [200, 200]
    caller.send(caller.request("MESSAGE", "sip:bob@example.com", call_id="c2"))
    assert caller.last.status == 503


def test_shared_35_a_deadline_that_found_no_room_comes_again(make_world: Make) -> None:
    world = make_world(late=None)
    _, callee, _ = called(world)
    free = world.transactions._blocks_free
    world.transactions._blocks_free = 0
    world.advance(0.6)
    assert callee.requests == ["INVITE"]
    world.transactions._blocks_free = free
    for worker in world.workers:
        assert all("no_room" in error for error in worker.errors)
        worker.errors.clear()
    world.advance(1.5)
    assert callee.requests[:2] == ["INVITE", "INVITE"]


@pytest.mark.parametrize("header", ["X-Long", "Warning"])
def test_shared_37_a_lean_record_keeps_an_answer_that_can_be_sent(header: str) -> None:
    asked = parse(Agent(None, "192.0.2.1", 5060).request("INVITE", "sip:b@c").replace("\n", "\r\n").encode())  # type: ignore[arg-type]
    record = Record(bytes(16), 1)
    record.final_status = 486
    record.last_response = response(asked, 486, "Busy", b"t1", [(header, "x" * 3000)], b"y" * 3000)
    shrink(record)
    lean = parse(record.last_response)
    assert (lean.status, lean.to_tag, lean.body) == (486, b"t1", b"") and len(lean.raw) <= LEAN_BYTES
