"""Responses that come late, twice, for another request, or not from the callee (RFC 3261 §16.7, §17)."""

from collections.abc import Callable

import pytest

from siphon.sip.build import response
from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092"])
"""
VICTIM = ("203.0.113.66", 5060)


def called(world: World, method: str = "INVITE") -> tuple[Agent, Agent, SipMessage]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return caller, callee, callee.inbox[0]


def forked(make_world: Make) -> tuple[World, Agent, Agent, Agent]:
    world = make_world(FORK)
    caller, one, two = (
        world.agent(*place) for place in (("192.0.2.1", 5060), ("127.0.0.2", 5091), ("127.0.0.2", 5092))
    )
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return world, caller, one, two


def test_prx_58_a_failure_after_the_final_is_acknowledged_and_not_forwarded(make_world: Make) -> None:
    world, caller, one, two = forked(make_world)
    two.answer(two.inbox[0], 180)
    one.answer(one.inbox[0], 200)
    for _ in range(2):
        two.answer(two.inbox[0], 486)
    assert two.requests == ["INVITE", "CANCEL", "ACK", "ACK"]
    ack = two.last
    assert ack.via.branch == two.inbox[0].via.branch and ack.via_count == 1
    assert caller.statuses == [100, 180, 200]


def test_txn_10_a_2xx_after_timer_m_is_a_stray_although_the_record_is_still_there(world: World) -> None:
    caller, callee, seen = called(world)
    callee.answer(seen, 200)
    world.advance(31.9)
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200, 200]
    world.advance(0.2)
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200, 200]


def test_txn_09_a_failure_after_timer_d_is_a_stray(world: World) -> None:
    caller, callee, seen = called(world)
    callee.answer(seen, 486)
    world.advance(31.9)
    callee.answer(seen, 486)
    assert callee.requests == ["INVITE", "ACK", "ACK"]
    world.advance(0.2)
    callee.answer(seen, 486)
    assert callee.requests == ["INVITE", "ACK", "ACK"]


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_prx_44_a_200_goes_up_after_a_408_of_ours_also_when_that_is_acknowledged(
    make_world: Make, is_acknowledged: bool
) -> None:
    world = make_world(FORK.replace('5091", "sip:127.0.0.2:5092"]', '5090"], timeout=2.0'))
    caller, callee, seen = called(world)
    callee.answer(seen, 180)
    world.advance(2.1)
    assert caller.statuses == [100, 180, 408]
    if is_acknowledged:
        tag = (caller.last.to_tag or b"").decode()
        same = {"branch": "z9hG4bK-one", "call_id": "c1", "to_tag": tag}
        caller.send(caller.request("ACK", "sip:bob@example.com", **same))  # type: ignore[arg-type]
    callee.answer(seen, 200)
    assert caller.statuses == [100, 180, 408, 200]


def test_prx_58_a_final_of_a_non_invite_after_the_final_is_dropped(make_world: Make) -> None:
    world = make_world(FORK)
    caller, one, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller.send(caller.request("MESSAGE", "sip:bob@example.com"))
    one.answer(one.last, 200)
    two.answer(two.last, 486)
    world.advance(10)
    assert caller.statuses == [200] and one.requests + two.requests == ["MESSAGE", "MESSAGE"]


def test_txn_15_a_200_to_the_cancel_does_not_end_the_invite(world: World) -> None:
    caller, callee, seen = called(world)
    callee.answer(seen, 180)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    assert callee.last.method == "CANCEL" and callee.last.via.branch == seen.via.branch
    callee.answer(callee.last, 200)
    assert caller.statuses == [100, 180, 200]
    callee.answer(seen, 487)
    assert caller.statuses == [100, 180, 200, 487]


@pytest.mark.parametrize("method", ["CANCEL", "BYE", "MESSAGE"])
def test_txn_15_a_200_with_another_method_in_its_cseq_is_dropped(world: World, method: str) -> None:
    caller, callee, seen = called(world)
    callee.send(response(seen, 200, "OK", b"t1").replace(b"CSeq: 1 INVITE", b"CSeq: 1 " + method.encode()))
    assert caller.statuses == [100]
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200]


def _with_victim(seen: SipMessage, *changes: tuple[bytes, bytes]) -> SipMessage:
    """The request as if the victim had sent it to us: what a forged response mirrors."""
    raw = seen.raw.replace(b"192.0.2.1:5060", b"%s:%d" % (VICTIM[0].encode(), VICTIM[1]))
    raw = raw.replace(b"received=192.0.2.1", b"received=" + VICTIM[0].encode())
    for old, new in changes:
        raw = raw.replace(old, new)
    return parse(raw)


def test_sec_03_a_response_with_an_unknown_branch_reaches_nobody(world: World) -> None:
    caller, callee, seen = called(world)
    sent = len(world.sent)
    for branch in (b"z9hG4bK-guessed", b"z9hG4bK" + b"0" * 52, seen.via.branch[:-20] + b"0" * 20):
        callee.answer(_with_victim(seen, (seen.via.branch, branch)), 200)
    assert len(world.sent) == sent and caller.statuses == [100]


@pytest.mark.parametrize("status", [180, 200, 486])
def test_sec_03_a_response_with_altered_lower_vias_goes_to_the_recorded_hop(world: World, status: int) -> None:
    caller, callee, seen = called(world)
    victim = world.agent(*VICTIM)
    callee.answer(_with_victim(seen), status)
    world.advance(40)
    assert victim.inbox == [] and not world.lost
    assert status in caller.statuses
