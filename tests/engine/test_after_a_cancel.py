"""What comes after a CANCEL: its repeats when it is over itself, and what the branches say (RFC 3261 §9, §16.7)."""

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
ONE = {"branch": "z9hG4bK-one", "call_id": "c1"}
FORK_OF_TWO = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092"]%s)
"""
WATCHED = """
from siphon import log, proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")

@proxy.on_cancel
def gone(request):
    log.info("gone for good")
"""
TRY_A_THIRD = (
    FORK_OF_TWO
    + """
%s
def failed(request, *facts):
    request.%s
"""
)
SLOW_FAILURE = (
    FORK_OF_TWO % ""
    + """
import asyncio
from siphon import log

@proxy.on_failure
async def failed(request, reply):
    log.info("on_failure begins")
    await asyncio.sleep(1)
    request.relay("sip:127.0.0.2:5093")
"""
)
THIRD = "relay('sip:127.0.0.2:5093')"
HOOKS = pytest.mark.parametrize("hook", [("", "@proxy.on_failure"), (", on_failure=failed", "")])


def called(world: World, method: str = "INVITE") -> tuple[Agent, Agent]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request(method, BOB, **ONE))  # type: ignore[arg-type]
    return caller, callee


def cancel(caller: Agent) -> str:
    return caller.request("CANCEL", BOB, **ONE)  # type: ignore[arg-type]


def forked(world: World) -> tuple[Agent, Agent, Agent]:
    """A call that rings at two phones."""
    caller, one, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller.send(caller.request("INVITE", BOB, **ONE))
    for phone in (one, two):
        phone.answer(phone.last, 180, tag=f"t{phone.port}")
    return caller, one, two


# -- a CANCEL that comes when the one before is over (Timer J) -------------------------------------------------------


@pytest.mark.parametrize("wait", [32.5, 38])
@pytest.mark.parametrize("status", [487, 486, 200])
def test_can_09_can_06_a_repeat_behind_timer_j_gets_481_when_its_invite_is_over_too(
    world: World, status: int, wait: float
) -> None:
    caller, callee = called(world)
    seen = callee.last
    callee.answer(seen, 180)
    text = cancel(caller)
    caller.send(text)
    callee.answer(callee.last, 200)
    callee.answer(seen, status)
    caller.send(caller.request("ACK", BOB, **ONE, to_tag="t1"))
    world.advance(wait)
    answers, asked = len(caller.inbox), len(callee.inbox)
    for worker in (0, 1):
        caller.send(text, worker)
    world.advance(40)
    assert caller.statuses[answers:] == [481, 481] and len(callee.inbox) == asked
    assert caller.last.to_tag and not list(world.records())


def test_can_09_a_repeat_behind_timer_j_of_a_message_gets_481(world: World) -> None:
    caller, callee = called(world, "MESSAGE")
    callee.answer(callee.last, 200)
    world.advance(20)
    for wait in (0, 31.9, 1):
        world.advance(wait)
        caller.send(cancel(caller))
    assert caller.statuses == [200, 200, 200, 481] and callee.requests == ["MESSAGE"]
    assert caller.inbox[1].raw == caller.inbox[2].raw


@pytest.mark.parametrize("acknowledged", [False, True])
def test_can_09_a_repeat_behind_timer_j_gets_the_same_200_while_its_invite_is_not_over(
    make_world: Make, acknowledged: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The phone says nothing for 31 s, so its CANCEL leaves when the caller's is almost over."""
    monkeypatch.setattr("siphon.testing.worker.LOG_LEVEL", "info")
    world = make_world(WATCHED)
    caller, callee = called(world)
    seen = callee.last
    text = cancel(caller)
    caller.send(text)
    world.advance(31)
    callee.answer(seen, 180)
    if acknowledged:
        callee.answer(callee.last, 200)
    world.advance(1.1)
    cancels = [m.via.branch for m in callee.inbox if m.method == "CANCEL"]
    for worker in (0, 1):
        caller.send(text, worker)
    assert caller.statuses == [100, 200, 200, 200] and len({m.raw for m in caller.inbox[1:]}) == 1
    assert len(cancels) == (1 if acknowledged else 2)
    assert [m.via.branch for m in callee.inbox if m.method == "CANCEL"] == cancels
    callee.answer(seen, 487)
    assert caller.statuses[4:] == [487] and callee.requests[-1] == "ACK"
    assert capfd.readouterr().err.count("gone for good") == 1


# -- on_failure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [(487, 487), (486, 487), (487, 486), (404, 0), (0, 0)])
@pytest.mark.parametrize("action", [THIRD, "reply(480)"])
@HOOKS
def test_fork_06_after_a_cancel_on_failure_runs_for_no_final_of_any_branch(
    make_world: Make, hook: tuple[str, str], action: str, statuses: tuple[int, int]
) -> None:
    world = make_world(TRY_A_THIRD % (*hook, action))
    caller, *phones = forked(world)
    third = world.agent("127.0.0.2", 5093)
    caller.send(cancel(caller))
    for phone, status in zip(phones, statuses, strict=True):
        if status:
            phone.answer(phone.inbox[0], status)
    world.advance(32.1)
    assert set(caller.statuses[4:]) == {statuses[0] or 487} and caller.statuses[:4] == [100, 180, 180, 200]
    assert not third.inbox


@HOOKS
def test_fork_06_without_a_cancel_the_same_finals_try_the_third(make_world: Make, hook: tuple[str, str]) -> None:
    world = make_world(TRY_A_THIRD % (*hook, THIRD))
    _, *phones = forked(world)
    third = world.agent("127.0.0.2", 5093)
    for phone, status in zip(phones, (486, 487), strict=True):
        phone.answer(phone.inbox[0], status)
    assert third.requests == ["INVITE"]


@pytest.mark.parametrize("cancelled", [True, False])
def test_fork_06_after_a_cancel_an_on_failure_whose_worker_has_died_is_not_run_again(
    make_world: Make, cancelled: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("siphon.testing.worker.LOG_LEVEL", "info")
    world = make_world(SLOW_FAILURE)
    caller, *phones = forked(world)
    third = world.agent("127.0.0.2", 5093)
    for phone in phones:
        phone.answer(phone.inbox[0], 486, worker=0)
    world.advance(0.2)
    world.kill(0)
    if cancelled:
        caller.send(cancel(caller), 1)
    world.advance(10)
    assert capfd.readouterr().err.count("on_failure begins") == (1 if cancelled else 2)
    assert set(caller.statuses[3:]) == ({200, 487} if cancelled else set())
    assert set(third.requests) == (set() if cancelled else {"INVITE"})


# -- a 2xx that crosses the CANCEL -----------------------------------------------------------------------------------


@pytest.mark.parametrize("finals", [(200, 487), (487, 200), (200, 200), (486, 200), (200, 0), (0, 200)])
def test_fork_05_can_05_a_2xx_that_crosses_the_cancel_goes_up_whatever_the_other_branches_say(
    make_world: Make, finals: tuple[int, int]
) -> None:
    caller, *phones = forked(make_world(FORK_OF_TWO % ""))
    caller.send(cancel(caller))
    assert all(phone.requests == ["INVITE", "CANCEL"] for phone in phones)
    for phone, final in zip(phones, finals, strict=True):
        if final:
            phone.answer(phone.inbox[0], final, tag=f"t{phone.port}")
    went_up = [m.to_tag for m in caller.inbox if m.cseq_method == "INVITE" and m.status >= 200]
    assert went_up == [b"t%d" % phone.port for phone, final in zip(phones, finals, strict=True) if final == 200]
    assert set(caller.statuses[4:]) == {200}
    for phone, final in zip(phones, finals, strict=True):
        assert phone.requests == ["INVITE", "CANCEL", *(["ACK"] if final > 300 else [])]
        if final == 200:
            phone.answer(phone.inbox[0], 200, tag=f"t{phone.port}", worker=1)
            assert caller.last.to_tag == b"t%d" % phone.port, "a repeat goes up as well"
