"""One request that reaches us by two paths (RFC 3261 §8.2.2.2): two transactions, one answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sim_calls import die_at

from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
SCRIPT = """
from siphon import proxy, registrar

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)

@proxy.on_request("OPTIONS | MESSAGE | INVITE")
def route(request):
    if request.ruri.user == "bob":
        request.relay("sip:127.0.0.2:5090")
    else:
        request.set_reply_header("X-Here", "yes")
        request.reply(int(request.ruri.user or "200"), "Answered Here")
"""
HERE = "sip:example.com"


def paths(make_world: Make) -> tuple[World, Agent, Agent]:
    world = make_world(SCRIPT)
    return world, world.agent("192.0.2.1"), world.agent("192.0.2.2")


def register(phone: Agent, cseq: int = 1, **other: str) -> str:
    contact = "Contact: <sip:alice@192.0.2.9>"
    return phone.request(
        "REGISTER", HERE, call_id="r1", cseq=cseq, headers=contact, to="sip:alice@example.com", **other
    )


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "INVITE"])
@pytest.mark.parametrize("worker", [0, 1])
def test_txn_27_what_is_answered_here_is_answered_on_one_path(make_world: Make, method: str, worker: int) -> None:
    world, one, other = paths(make_world)
    one.send(one.request(method, HERE, call_id="c1"), 0)
    other.send(other.request(method, HERE, call_id="c1"), worker)
    assert one.statuses == [200] and one.last.first("X-Here")
    assert other.statuses == [482] and other.last.reason == b"Loop Detected" and not other.last.first("X-Here")


def test_txn_27_the_second_path_of_a_register_gets_482_and_changes_nothing(make_world: Make) -> None:
    world, one, other = paths(make_world)
    one.send(register(one), 0)
    before = world.location_table.stats().version
    other.send(register(other), 1)
    assert one.statuses == [200] and other.statuses == [482]
    assert world.location_table.stats().version == before


def test_txn_27_retransmissions_on_either_path_get_what_that_path_got(make_world: Make) -> None:
    world, one, other = paths(make_world)
    first, second = register(one), register(other)
    for worker in (0, 1, 0):
        one.send(first, worker)
        other.send(second, 1 - worker)
    assert one.statuses == [200, 200, 200] and other.statuses == [482, 482, 482]
    assert len({message.raw for message in one.inbox}) == len({message.raw for message in other.inbox}) == 1


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "INVITE"])
def test_txn_27_prx_14_what_is_forwarded_is_forwarded_on_both_paths(make_world: Make, method: str) -> None:
    world, one, other = paths(make_world)
    callee = world.agent("127.0.0.2", 5090)
    one.send(one.request(method, "sip:bob@example.com", call_id="c1"))
    other.send(other.request(method, "sip:bob@example.com", call_id="c1"))
    assert callee.requests == [method, method]
    assert world.hints.stats().records == 0


@pytest.mark.parametrize(("method", "status"), [("INVITE", 302), ("INVITE", 480), ("MESSAGE", 404)])
def test_txn_27_what_is_refused_or_redirected_here_is_so_on_both_paths(
    make_world: Make, method: str, status: int
) -> None:
    world, one, other = paths(make_world)
    for agent in (one, other):
        agent.send(agent.request(method, f"sip:{status}@example.com", call_id="c1"))
    assert one.statuses[-1] == other.statuses[-1] == status


@pytest.mark.parametrize(
    "difference", [{"call_id": "c2"}, {"from_tag": "f2"}, {"cseq": 2}, {"to_tag": "t1"}, {"method": "MESSAGE"}]
)
def test_txn_27_another_request_is_not_a_merged_one(make_world: Make, difference: dict[str, object]) -> None:
    _, one, other = paths(make_world)
    one.send(one.request("OPTIONS", HERE, call_id="c1"))
    other.send(other.request(uri=HERE, **{"method": "OPTIONS", "call_id": "c1", **difference}))  # type: ignore[arg-type]
    assert one.statuses == other.statuses == [200]


def test_txn_27_the_retry_with_credentials_is_another_request(make_world: Make) -> None:
    world = make_world(
        SCRIPT.replace("    registrar.save", "    if auth.require_digest(request): registrar.save").replace(
            "import proxy", "import auth, proxy"
        )
    )
    phone = world.agent("192.0.2.1")
    for cseq in (1, 1, 2):
        phone.send(register(phone, cseq))
    assert phone.statuses == [401, 401, 401]
    assert world.hints.stats().records == 0


def test_txn_27_after_the_transaction_the_same_cseq_is_out_of_order_and_not_merged(make_world: Make) -> None:
    world, one, other = paths(make_world)
    one.send(register(one, 5))
    world.advance(31.9)
    other.send(register(other, 5))
    assert other.statuses == [482]
    world.advance(0.2)
    for cseq in (5, 4):
        other.send(register(other, cseq))
    other.send(register(other, 6))
    assert other.statuses == [482, 500, 500, 200]


def test_txn_27_a_worker_that_dies_before_its_answer_leaves_the_mark_to_who_runs_again(make_world: Make) -> None:
    world, one, other = paths(make_world)
    die_at(world, "commit", 0, number=2)
    one.send(register(one), 0)
    assert one.statuses == []
    other.send(register(other), 1)
    world.advance(2)
    assert one.statuses == [200] and other.statuses == [482]


@pytest.mark.parametrize("state", ["full", "busy", "damaged"])
def test_txn_27_a_table_that_cannot_say_so_means_not_merged(make_world: Make, state: str) -> None:
    world, one, other = paths(make_world)
    if state == "full":
        world.hints._records = 0
    one.send(one.request("OPTIONS", HERE, call_id="c1"))
    for key in world.hints.keys()[0]:
        if state == "busy":
            world.hints.busy.add(key)
        else:
            world.hints.commit(key, world.hints.head(key).version, b"?", owner=0)  # type: ignore[union-attr]
    other.send(other.request("OPTIONS", HERE, call_id="c1"))
    assert one.statuses == other.statuses == [200]


def test_txn_27_a_request_of_rfc_2543_without_a_from_tag_is_never_merged(make_world: Make) -> None:
    _, one, other = paths(make_world)
    for agent in (one, other):
        agent.send(agent.request("OPTIONS", HERE, call_id="c1").replace(";tag=f1", ""))
    assert one.statuses == other.statuses == [200]


def test_parse_02_the_from_tag_of_a_merged_request_is_compared_without_case(make_world: Make) -> None:
    _, one, other = paths(make_world)
    one.send(one.request("OPTIONS", HERE, call_id="c1", from_tag="TaG"))
    other.send(other.request("OPTIONS", HERE, call_id="c1", from_tag="tAg"))
    other.send(other.request("OPTIONS", HERE, call_id="C1", from_tag="TaG"))
    assert one.statuses == [200] and other.statuses == [482, 200]
