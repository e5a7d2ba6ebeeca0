"""Phones that register while others ring, and what the script adds to the 200 of a REGISTER."""

from collections.abc import Callable

import pytest

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
BOB = "sip:bob@example.com"
PHONES = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.fork(registrar.lookup(request.ruri), timeout=20.0)

@proxy.on_failure
def failed(request, reply):
    if request.vars.get("tries", 0) == 0:
        request.vars["tries"] = 1
        request.fork([c for c in registrar.lookup(request.ruri) if str(c.uri).endswith(":%d")])
"""
SERVICE_ROUTE = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.loose_route():
        request.relay()
    elif request.method == "REGISTER":
        if registrar.save(request):
            request.set_reply_header("Service-Route", "<sip:127.0.0.1:5060;lr>")
    else:
        request.relay("sip:127.0.0.2:5090")
"""


def register(world: World, port: int, cseq: int = 1, headers: str = "") -> Agent:
    phone = world.agent("127.0.0.2", port)
    text = phone.request(
        "REGISTER", "sip:example.com", call_id=f"r{port}", cseq=cseq, to=BOB, headers=headers, from_tag=f"f{port}"
    )
    phone.send(text)
    return phone


def call(world: World, branch: str = "z9hG4bK-one") -> Agent:
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", BOB, branch=branch, call_id=branch))
    return caller


def test_fork_08_a_phone_that_registers_while_others_ring_is_called_by_the_next_try_and_once(make_world: Make) -> None:
    world = make_world(PHONES % 5092)
    one = register(world, 5091)
    caller = call(world)
    one.answer(one.last, 180)
    register(world, 5091, cseq=2)
    two = register(world, 5092)
    two.take()
    world.advance(1)
    assert one.requests == ["INVITE"] and two.requests == []
    one.answer(one.inbox[1], 486)
    assert two.requests == ["INVITE"] and one.requests == ["INVITE", "ACK"]
    register(world, 5092, cseq=2)
    two.answer(two.inbox[0], 200)
    assert caller.statuses == [100, 180, 200] and two.requests == ["INVITE"]


def test_fork_08_phones_that_register_the_same_contact_anew_ring_once(make_world: Make) -> None:
    world = make_world(PHONES % 5092)
    one = register(world, 5091)
    for cseq in (2, 3):
        register(world, 5091, cseq)
    call(world)
    call(world, "z9hG4bK-two")
    assert one.requests == ["INVITE", "INVITE"]


@pytest.mark.parametrize("worker", [0, 1])
def test_reg_24_a_service_route_is_in_the_2xx_to_register_and_leads_back_here(make_world: Make, worker: int) -> None:
    world = make_world(SERVICE_ROUTE)
    phone = register(world, 5091)
    assert phone.statuses == [200] and phone.last.all_lines("Service-Route") == [b"<sip:127.0.0.1:5060;lr>"]
    register(world, 5091, cseq=2, headers="Require: nonsense")
    world.advance(33)  # until then it is a merged request (TXN-27)
    register(world, 5091, cseq=1)
    assert phone.statuses == [200, 420, 500]
    assert [m.has("Service-Route") for m in phone.inbox] == [True, False, False]
    callee = world.agent("127.0.0.2", 5090)
    headers = f"Route: {phone.inbox[0].first('Service-Route').decode()}\n"  # type: ignore[union-attr]
    phone.send(phone.request("INVITE", "sip:carol@example.com", headers=headers), worker)
    assert callee.requests == ["INVITE"] and not callee.last.has("Route")


def test_txn_27_a_copy_of_a_register_that_comes_by_another_path_changes_nothing(make_world: Make) -> None:
    world = make_world(PHONES % 5092)
    phone = world.agent("127.0.0.2", 5091)
    texts = [phone.request("REGISTER", "sip:example.com", call_id="r1", to=BOB) for _ in range(2)]
    phone.send(texts[0], 0)
    phone.send(texts[1].replace("Contact: <sip:127.0.0.2:5091>", "Contact: <sip:127.0.0.2:5091>;expires=0"), 1)
    assert phone.statuses == [200, 482]
    call(world)
    assert phone.requests == ["INVITE"]
