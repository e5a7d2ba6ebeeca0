"""The clauses of RFC 3261 §17, RFC 4320 and RFC 6026 that show only in the whole engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
ANSWERS = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(%s)
"""
ROUTED = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")
"""
SLOW = """
import asyncio
from siphon import proxy

@proxy.on_request
async def route(request):
    await asyncio.sleep(%s)
    request.relay("sip:127.0.0.2:5090")
"""
SAME = {"branch": "z9hG4bK-one", "call_id": "c1"}


def called(world: World, method: str = "INVITE", **other: str) -> tuple[Agent, Agent, str, SipMessage]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request(method, BOB, **{**SAME, **other})  # type: ignore[arg-type]
    caller.send(text)
    return caller, callee, text, callee.inbox[0]


def after(agent: Agent, count: int = -1) -> list[float]:
    return [round(when - 1000.0, 3) for when in agent.times][:count]


@pytest.mark.parametrize("status", [180, 200, 486])
def test_txn_01_no_100_where_another_response_leaves_at_once(make_world: Make, status: int) -> None:
    world = make_world(ANSWERS % status)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB))
    assert caller.statuses == [status]
    world.advance(1)
    assert 100 not in caller.statuses


@pytest.mark.parametrize("secs", ["0.1", "0.5"])
def test_txn_01_a_handler_that_awaits_gets_its_caller_100_within_200_ms_and_runs_once(
    make_world: Make, secs: str
) -> None:
    world = make_world(SLOW % secs)
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", BOB)
    caller.send(text, 0)
    world.advance(0.2)
    assert caller.statuses == [100]
    for worker in (0, 1):
        caller.send(text, worker)
    world.advance(2)
    assert set(caller.statuses) == {100} and len({m.via.branch for m in callee.inbox}) == 1


def test_txn_03_repeats_get_the_final_until_the_ack_and_then_nothing_for_timer_i(world: World) -> None:
    caller, callee, text, seen = called(world)
    callee.answer(seen, 486)
    for worker in (0, 1):
        caller.send(text, worker)
    assert caller.statuses == [100, 486, 486, 486] and len({m.raw for m in caller.inbox[1:]}) == 1
    ack = caller.request("ACK", BOB, **SAME, to_tag="t1")  # type: ignore[arg-type]
    caller.send(ack, 1)
    for _ in range(4):
        world.advance(1.2)
        caller.send(text)
        caller.send(ack)
    assert caller.statuses == [100, 486, 486, 486] and callee.requests == ["INVITE", "ACK"]
    world.advance(0.3)
    caller.send(text)
    assert callee.requests == ["INVITE", "ACK", "INVITE"], "Timer I = T4 is over: a new transaction"


def test_txn_04_further_2xx_pass_while_repeats_are_absorbed_and_nothing_is_repeated_here(world: World) -> None:
    caller, callee, text, seen = called(world)
    callee.answer(seen, 200)
    for seconds in (1, 15, 15.9):
        world.advance(seconds)
        for worker in (0, 1):
            caller.send(text, worker)
    assert caller.statuses == [100, 200] and callee.requests == ["INVITE"]
    callee.answer(seen, 200, tag="t2")
    assert caller.statuses == [100, 200, 200] and caller.last.to_tag == b"t2"


def test_txn_05_an_ack_of_an_old_client_is_forwarded_after_a_2xx(world: World) -> None:
    caller, callee, _, seen = called(world, branch="old")
    callee.answer(seen, 200)
    route = f"Route: {(seen.first('Record-Route') or b'').decode()}"
    uri = "sip:127.0.0.2:5090"
    for worker, branch in ((0, "old"), (1, "old")):
        caller.send(caller.request("ACK", uri, branch=branch, call_id="c1", to_tag="t1", headers=route), worker)
    caller.send(caller.request("ACK", BOB, branch="old", call_id="c1", to_tag="t1", headers=route, to=BOB))
    assert callee.requests == ["INVITE", "ACK", "ACK", "ACK"] and caller.statuses == [100, 200]


def test_txn_08_after_a_provisional_timer_b_is_off_and_timer_c_counts(world: World) -> None:
    caller, callee, _, seen = called(world)
    world.advance(0.6)
    callee.answer(seen, 100)
    world.advance(170)
    assert callee.requests == ["INVITE", "INVITE"] and caller.statuses == [100]
    world.advance(50)
    assert callee.requests[2] == "CANCEL" and 408 in caller.statuses


@pytest.mark.parametrize("status", [200, 486])
def test_txn_08_a_final_in_calling_ends_the_repeats(world: World, status: int) -> None:
    _, callee, _, seen = called(world)
    world.advance(0.6)
    callee.answer(seen, status)
    world.advance(40)
    assert callee.requests == ["INVITE", "INVITE"] + ["ACK"] * (status == 486)


def test_txn_09_can_02_ack_and_cancel_have_the_routes_and_the_to_tag_of_their_invite(make_world: Make) -> None:
    world = make_world(ROUTED)
    routes = "<sip:203.0.113.7;lr>, <sip:203.0.113.8;lr>"
    extra = "Require: a\nProxy-Require:\nSubject: s\nContent-Type: x/y\n"
    caller, callee, _, seen = called(world, to_tag="t0", headers=f"Route: {routes}\n{extra}", cseq=77, body="v=0")  # type: ignore[arg-type]
    callee.answer(seen, 180, tag="t0")
    cancel = caller.request("CANCEL", BOB, **SAME, to_tag="t0", cseq=77)  # type: ignore[arg-type]
    caller.send(cancel)
    callee.answer(seen, 487, tag="t0")
    sent = [m for m in callee.inbox if m.method in ("CANCEL", "ACK")]
    assert [m.method for m in sent] == ["CANCEL", "ACK"]
    for m in sent:
        assert (m.uri, m.via.branch, m.via.sent_by, m.via_count) == (seen.uri, seen.via.branch, seen.via.sent_by, 1)
        assert (m.from_tag, m.to_tag, m.call_id, m.cseq, m.cseq_method) == (b"f1", b"t0", b"c1", 77, m.method)
        assert m.values("Route") == seen.values("Route") and len(m.values("Route")) == 2
        assert m.max_forwards is not None and m.body == b"" and m.content_length == 0
        assert not any(m.has(name) for name in ("Require", "Proxy-Require", "Subject", "Content-Type"))


def test_txn_09_the_ack_takes_its_to_from_the_response_and_goes_where_the_invite_went(world: World) -> None:
    caller, callee, _, seen = called(world)
    other = world.agent("127.0.0.2", 7777)
    for tag in ("a", "a", "b"):
        other.answer(seen, 486, tag=tag)
    assert not other.inbox and [m.to_tag for m in callee.inbox[1:]] == [b"a", b"a", b"b"]
    assert callee.requests == ["INVITE", "ACK", "ACK", "ACK"] and caller.statuses == [100, 486]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_txn_21_the_only_provisional_to_a_non_invite_is_one_100_after_3_5_seconds(world: World, count: int) -> None:
    caller, callee, _, seen = called(world, "MESSAGE")
    for status in (100, 183)[:count]:
        callee.answer(seen, status)
    world.advance(3.4)
    assert caller.statuses == []
    world.advance(0.2)
    assert caller.statuses == [100] and after(caller, 1) == [3.5]
    callee.answer(seen, 180)
    world.advance(5)
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200]


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "BYE", "NEWFANGLED"])
def test_txn_20_a_silent_callee_of_a_non_invite_means_no_final_and_no_record(make_world: Make, method: str) -> None:
    world = make_world(ROUTED)
    caller, callee, text, _ = called(world, method)
    world.advance(32.1)
    caller.send(text)
    world.advance(40)
    assert set(caller.statuses) == {100} and not list(world.records())
    assert set(callee.requests) == {method} and len({m.via.branch for m in callee.inbox}) == 1


def test_txn_20_all_callees_of_a_forked_non_invite_silent_means_no_final_either(make_world: Make) -> None:
    world = make_world(ROUTED.replace("relay(", 'fork(["sip:127.0.0.2:5091", ').replace('0")', '0"])'))
    other = world.agent("127.0.0.2", 5091)
    caller, callee, _, _ = called(world, "MESSAGE")
    world.advance(80)
    assert caller.statuses == [100] and not list(world.records())
    assert callee.requests == other.requests == ["MESSAGE"] * 11


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_txn_14_branch_sent_by_and_method_together_are_the_transaction(world: World, method: str) -> None:
    caller, callee, text, _ = called(world, method)
    named = text.replace("192.0.2.1:5060", "PC.example.net")
    for number, copy in enumerate(
        (text, named, named.replace("PC", "pc"), named.replace("PC.example.net", "pc.EXAMPLE.net:5060"))
    ):
        caller.send(copy, number % 2)
    assert callee.requests == [method] * 2, "one for each sent-by"
    caller.send(text.replace("192.0.2.1:5060", "192.0.2.1:5061"))
    caller.send(text.replace(method, "OPTIONS"))
    assert callee.requests == [method] * 3 + ["OPTIONS"]
    assert len({m.via.branch for m in callee.inbox}) == 4


def test_txn_16_ack_cancel_and_repeats_of_an_old_client_find_their_invite(world: World) -> None:
    caller, callee, text, seen = called(world, branch="old")
    callee.answer(seen, 180)
    caller.send(text, 1)
    assert caller.statuses == [100, 180, 180] and callee.requests == ["INVITE"]
    caller.send(caller.request("CANCEL", BOB, branch="old", call_id="c1"), 0)
    assert caller.statuses[3:] == [200] and callee.requests == ["INVITE", "CANCEL"]
    callee.answer(callee.last, 200)
    callee.answer(seen, 487)
    caller.send(caller.request("ACK", BOB, branch="old", call_id="c1", to_tag="another"), 0)
    world.advance(0.6)
    assert caller.statuses[4:] == [487, 487], "an ACK to another To tag is for nobody here"
    caller.send(caller.request("ACK", BOB, branch="old", call_id="c1", to_tag="t1"), 1)
    world.advance(20)
    assert caller.statuses[4:] == [487, 487] and callee.requests[-1] == "ACK"


@pytest.mark.parametrize("length", [3, 1024])
def test_txn_17_a_branch_is_echoed_as_it_came_and_compared_without_case(world: World, length: int) -> None:
    branch = "Z9hg4BKaBc" + "xY" * (length // 2)
    caller, callee, text, seen = called(world, branch=branch)
    callee.answer(seen, 180)
    caller.send(text.replace(branch, branch.swapcase()), 1)
    assert callee.requests == ["INVITE"] and caller.statuses == [100, 180, 180]
    assert {m.via.branch for m in caller.inbox} == {branch.encode()}
    caller.send(caller.request("CANCEL", BOB, branch=branch.lower(), call_id="c1"))
    assert callee.requests == ["INVITE", "CANCEL"] and caller.last.via.branch == branch.lower().encode()
    caller.send(text.replace(branch, branch[:-1] + "q"))
    assert callee.requests == ["INVITE", "CANCEL", "INVITE"]


@pytest.mark.parametrize("status", [200, 486, 487])
def test_txn_25_after_a_cancel_the_record_stays_for_timer_j_and_no_longer(world: World, status: int) -> None:
    caller, callee, _, seen = called(world)
    callee.answer(seen, 180)
    world.advance(20)
    cancel = caller.request("CANCEL", BOB, **SAME)  # type: ignore[arg-type]
    caller.send(cancel)
    callee.answer(callee.last, 200)
    callee.answer(seen, status)
    caller.send(caller.request("ACK", BOB, **SAME, to_tag="t1"))  # type: ignore[arg-type]
    world.advance(31.9)
    caller.send(cancel)
    assert caller.last.status == 200 and caller.last.cseq_method == "CANCEL"
    world.advance(0.1 + 5.1)
    assert not list(world.records())


def test_txn_25_a_cancel_that_comes_late_keeps_the_record_for_its_own_timer_j(world: World) -> None:
    caller, callee, _, seen = called(world)
    callee.answer(seen, 200)
    world.advance(30)
    cancel = caller.request("CANCEL", BOB, **SAME)  # type: ignore[arg-type]
    caller.send(cancel)
    world.advance(31.9)
    caller.send(cancel)
    assert caller.statuses == [100, 200, 200, 200] and caller.inbox[2].raw == caller.inbox[3].raw
    world.advance(0.1 + 5.1)
    assert not list(world.records()) and callee.requests == ["INVITE"]


@pytest.mark.parametrize("rings", [False, True])
def test_txn_25_a_call_that_nobody_ends_is_ended_here(world: World, rings: bool) -> None:
    caller, callee, _, seen = called(world)
    if rings:
        callee.answer(seen, 180)
    world.advance(190 + 32 + 32 + 37)
    assert 408 in caller.statuses and not list(world.records())


def test_txn_25_a_handler_that_awaits_for_ever_ends_in_500(make_world: Make) -> None:
    world = make_world(SLOW % "100000")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB))
    world.advance(600)
    assert caller.statuses[0] == 100 and caller.statuses[1] == 500
    world.advance(100)
    assert not list(world.records())


def test_txn_25_handlers_that_end_each_worker_that_runs_them_end_in_500(make_world: Make) -> None:
    world = make_world(SLOW % "1")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB))
    deaths = 0
    while running := [w.slot for w in world.workers if w.alive and w.runtime.pending]:
        deaths += 1
        assert deaths < 20
        world.kill(running[0])
        world.replace(running[0])
        world.advance(0.6)
    assert deaths == 3 and caller.last.status == 500
    world.advance(100)
    assert not list(world.records())
