"""The wall clock jumps, forwards and back: timers of transactions do not notice (CLOCK_BOOTTIME)."""

from collections.abc import Callable

import pytest
from digest_kit import challenge, credentials, register

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
STEPS = pytest.mark.parametrize("step", [-3600.0, 3600.0])
BOB = "sip:bob@example.com"
PHONES = """
from siphon import auth, proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        if auth.require_digest(request, realm="example.com"):
            registrar.save(request)
    elif contacts := registrar.lookup(request.ruri):
        request.fork(contacts)
    else:
        request.reply(480, "Nobody Home")
"""


def jump(world: World, step: float) -> None:
    world.clock.WALL_OFFSET += step


def called(world: World) -> tuple[Agent, Agent]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", BOB, branch="z9hG4bK-one", call_id="c1"))
    return caller, callee


@STEPS
def test_shared_34_a_step_of_the_wall_clock_moves_no_timer(world: World, step: float) -> None:
    caller, callee = called(world)
    world.advance(1.0)
    jump(world, step)
    world.advance(40)
    assert [round(t - 1000.0, 3) for t in callee.times] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert round(caller.times[1] - 1000.0, 3) == 32.0 and caller.statuses[:2] == [100, 408]
    world.advance(40)
    assert not list(world.records())


@STEPS
def test_shared_34_a_step_while_it_rings_leaves_timer_c_and_the_route_alone(world: World, step: float) -> None:
    caller, callee = called(world)
    invite = callee.last
    callee.answer(invite, 180)
    jump(world, step)
    world.advance(180)
    callee.answer(invite, 200)
    assert callee.requests == ["INVITE"] and caller.statuses == [100, 180, 200]
    route = f"Route: {invite.first('Record-Route').decode()}"  # type: ignore[union-attr]
    jump(world, step)
    caller.send(caller.request("BYE", "sip:127.0.0.2:5090", call_id="c1", cseq=2, to_tag="t1", headers=route))
    assert callee.last.method == "BYE"


@pytest.mark.parametrize("step", [-30.0, 30.0])
def test_shared_34_a_nonce_is_accepted_and_a_binding_kept_by_clocks_30_s_apart(make_world: Make, step: float) -> None:
    world = make_world(PHONES)
    phone = world.agent("127.0.0.2", 5090)
    value = challenge(phone)
    jump(world, step)
    register(phone, credentials(value))
    assert phone.statuses == [401, 200]
    jump(world, step)
    caller, _ = called(world)
    assert caller.statuses == [100] and phone.last.method == "INVITE"
