"""MESSAGE and its like: Timers E, F, J and K of RFC 3261 §17, amended by RFC 4320."""

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]


def asked(world: World, method: str = "MESSAGE") -> tuple[Agent, Agent, str]:
    """A caller, a callee, and the text of the request that has reached it."""
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text)
    return caller, callee, text


def at(agent: Agent) -> list[float]:
    return [round(when - 1000.0, 3) for when in agent.times]


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "NEWFANGLED"])
def test_txn_11_a_silent_callee_gets_a_non_invite_eleven_times(world: World, method: str) -> None:
    _, callee, _ = asked(world, method)
    world.advance(60)
    assert at(callee) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len({m.raw for m in callee.inbox}) == 1


def test_txn_12_after_a_provisional_a_non_invite_is_repeated_every_t2(world: World) -> None:
    caller, callee, _ = asked(world)
    callee.answer(callee.last, 100)
    world.advance(40)
    assert at(callee) == [0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert caller.statuses == [100]


def test_txn_12_repeats_of_the_final_are_absorbed(world: World) -> None:
    caller, callee, _ = asked(world)
    for _ in range(3):
        callee.answer(callee.last, 404)
        world.advance(1)
    callee.answer(callee.last, 200)
    world.advance(40)
    assert caller.statuses == [404] and callee.requests == ["MESSAGE"]


def test_txn_13_a_repeated_non_invite_gets_what_its_state_has(world: World) -> None:
    caller, callee, text = asked(world)
    for worker in (0, 1):
        caller.send(text, worker)
    assert caller.statuses == []
    world.advance(3.6)
    caller.send(text, 0)
    assert caller.statuses == [100, 100]
    callee.answer(callee.last, 202)
    for worker, seconds in ((0, 0.5), (1, 31.0)):
        world.advance(seconds)
        caller.send(text, worker)
    assert caller.statuses == [100, 100, 202, 202, 202] and len({m.raw for m in caller.inbox[2:]}) == 1
    assert len({m.via.branch for m in callee.inbox}) == 1


def test_txn_13_after_timer_j_the_same_request_is_a_new_one(world: World) -> None:
    caller, callee, text = asked(world)
    callee.answer(callee.last, 202)
    world.advance(32.1)
    caller.send(text)
    assert callee.requests == ["MESSAGE", "MESSAGE"] and len({m.via.branch for m in callee.inbox}) == 2
    callee.answer(callee.last, 404)
    assert caller.statuses == [202, 404]


@pytest.mark.parametrize("seconds", [32.1, 36.0, 60.0])
def test_txn_22_an_answer_after_timer_f_is_dropped(world: World, seconds: float) -> None:
    caller, callee, _ = asked(world)
    world.advance(seconds)
    heard = len(caller.inbox)
    callee.answer(callee.last, 200)
    assert len(caller.inbox) == heard and 200 not in caller.statuses
    assert seconds < 40 or world.count(Counter.STRAYS) == 1
