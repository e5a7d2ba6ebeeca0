"""SHARED rows in the virtual world: any worker serves any message, and a death at any point loses no call.

Points are those of MemoryStore: "commit" (nothing has happened), "switched" (stored, nothing sent), "sent" (after each
datagram), "committed" (all sent, nothing armed, no handler run).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from sim_calls import die_at, phone, scenario, unchanged

from siphon.engine.counters import Counter
from siphon.forwarding.branch import transaction_id
from siphon.sip.build import response
from siphon.sip.message import SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.faults import Faults
from siphon.testing.world import World

Make = Callable[..., World]
T_TAKE = 2.0
POINTS = ("commit", "switched", "committed")

FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092", "sip:127.0.0.2:5093"][:%d], strategy="%s")
"""
SLOW = """
import asyncio
from siphon import proxy

@proxy.on_request
async def route(request):
    await asyncio.sleep(1.0)
    request.relay("sip:127.0.0.2:5090")
"""
SECOND_TRY = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")

@proxy.on_failure
def failed(request, reply):
    if reply.status_code == 486:
        request.relay("sip:127.0.0.2:5099")
"""
REGISTER = """
from siphon import proxy, registrar

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)
"""


def called(world: World, method: str = "INVITE", worker: int = 0) -> tuple[Agent, Agent, str]:
    """A caller, a callee, and the text of the request that has been sent."""
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text, worker)
    return caller, callee, text


def again(caller: Agent, method: str, to_tag: str = "") -> str:
    """ACK or CANCEL of that INVITE."""
    return caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", to_tag=to_tag)


def branches(agent: Agent) -> set[bytes]:
    return {m.via.branch for m in agent.inbox if m.is_request}


def first(agent: Agent) -> SipMessage:
    return agent.inbox[0]


# -- any worker -------------------------------------------------------------------------------------------------------


def test_shared_01_a_repeat_on_another_worker_gets_the_last_provisional(world: World) -> None:
    caller, callee, text = called(world)
    callee.answer(first(callee), 180, worker=0)
    caller.send(text, 1)
    assert caller.statuses == [100, 180, 180] and caller.inbox[1].raw == caller.inbox[2].raw
    assert len(callee.inbox) == 1 and world.count(Counter.SCRIPT_RUNS) == 1


def test_shared_01_a_repeat_is_answered_from_the_socket_that_received_the_request(make_world: Make) -> None:
    world = make_world(listen={"udp": ["127.0.0.1:5060", "127.0.0.1:5070"]})
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", "sip:bob@example.com")
    caller.send(text, 0, listener=1)
    callee.answer(first(callee), 180, worker=0)
    caller.send(text, 1, listener=1)
    assert caller.statuses == [100, 180, 180]
    assert [send.listener for send in world.sent if send.to == ("192.0.2.1", 5060)] == [1, 1, 1]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_shared_02_the_same_request_on_two_workers_at_once_is_one_transaction(make_world: Make, method: str) -> None:
    world = make_world(late=Random(3))
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    for number in range(200):
        data = caller.request(method, "sip:bob@example.com", call_id=f"c{number}").replace("\n", "\r\n").encode()
        for worker in world.workers:
            worker.turn(worker.ingest.datagram, data, ("192.0.2.1", 5060), 0, "", world.clock())
        world.settle()
    assert len(callee.inbox) == 200 and len({m.call_id for m in callee.inbox}) == 200
    assert world.count(Counter.SCRIPT_RUNS) == 200


class Instant(Agent):
    """A callee whose answers are there before the datagram's commit has returned, on the other worker."""

    def receive(self, data: bytes) -> None:
        super().receive(data)
        if self.last.is_request and self.last.method == "INVITE":
            for status in (180, 200):
                self.answer(self.last, status, worker=1)


def test_shared_03_an_answer_that_overtakes_the_commit_is_handled_on_the_other_worker(make_world: Make) -> None:
    world = make_world(late=None)
    world.agents["127.0.0.2", 5090] = Instant(world, "127.0.0.2", 5090)
    caller, callee, _ = called(world)
    assert caller.statuses == [100, 180, 200]
    world.advance(40)
    assert len(callee.inbox) == 1 and world.count(Counter.STRAYS) == 0


def test_shared_04_two_finals_of_a_forked_non_invite_on_two_workers_give_one(make_world: Make) -> None:
    world = make_world(FORK % (2, "parallel"))
    one, two = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller, _, _ = called(world, "MESSAGE")
    one.answer(first(one), 200, worker=0)
    two.answer(first(two), 200, worker=1)
    assert caller.statuses == [200]


def at_once(world: World, *answers: tuple[Agent, int]) -> None:
    """Each answer reaches another worker before any of them has got anything from the store."""
    for worker, (agent, status) in zip(world.workers, answers, strict=False):
        lines = [("Contact", f"<sip:{agent.ip}:{agent.port}>")]
        data = response(first(agent), status, "Answer", b"t%d" % agent.port, lines)
        worker.turn(worker.ingest.datagram, data, (agent.ip, agent.port), 0, "", world.clock())
    world.settle()


@pytest.mark.parametrize(
    ("method", "statuses", "finals"),
    [
        ("INVITE", (500, 404), [404]),
        ("INVITE", (404, 603), [603]),
        ("MESSAGE", (404, 500), [404]),
        ("MESSAGE", (200, 200), [200]),
        ("MESSAGE", (200, 603), [200]),
        ("INVITE", (200, 603), [200]),
        ("INVITE", (200, 200), [200, 200]),
    ],
)
def test_shared_04_shared_05_two_finals_at_two_workers_at_the_same_moment(
    make_world: Make, method: str, statuses: tuple[int, int], finals: list[int]
) -> None:
    for seed in range(8):
        world = make_world(FORK % (2, "parallel"), late=Random(seed))
        one, two = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
        caller, _, _ = called(world, method)
        at_once(world, (one, statuses[0]), (two, statuses[1]))
        assert [status for status in caller.statuses if status > 100] == finals
        assert "CANCEL" not in one.requests + two.requests


@pytest.mark.parametrize("seed", range(8))
def test_shared_05_losers_of_two_200s_at_the_same_moment_are_cancelled_once(make_world: Make, seed: int) -> None:
    world = make_world(FORK % (3, "parallel"), late=Random(seed))
    phones = [world.agent("127.0.0.2", port) for port in (5091, 5092, 5093)]
    caller, _, _ = called(world)
    phones[2].answer(first(phones[2]), 180, tag="t5093")
    at_once(world, (phones[0], 200), (phones[1], 200))
    assert caller.statuses == [100, 180, 200, 200]
    assert [agent.requests for agent in phones] == [["INVITE"], ["INVITE"], ["INVITE", "CANCEL"]]


def test_shared_05_two_200_on_two_workers_both_go_up_and_each_loser_is_cancelled_once(make_world: Make) -> None:
    world = make_world(FORK % (3, "parallel"))
    phones = [world.agent("127.0.0.2", port) for port in (5091, 5092, 5093)]
    caller, _, _ = called(world)
    for agent in phones:
        agent.answer(first(agent), 180, tag=f"t{agent.port}", worker=0)
    phones[0].answer(first(phones[0]), 200, tag="t5091", worker=0)
    phones[1].answer(first(phones[1]), 200, tag="t5092", worker=1)
    assert caller.statuses == [100, 180, 180, 180, 200, 200]
    assert phones[2].requests == ["INVITE", "CANCEL"] and phones[0].requests == ["INVITE"]


@pytest.mark.parametrize("after", [(), (100,), (180,), (180, 183)])
def test_shared_06_a_cancel_on_another_worker_uses_the_branch_of_the_first(world: World, after: tuple[int]) -> None:
    caller, callee, _ = called(world)
    for status in after:
        callee.answer(first(callee), status, worker=0)
    caller.send(again(caller, "CANCEL"), 1)
    assert caller.last.status == 200 and len(branches(callee)) == 1
    assert callee.requests == ["INVITE", "CANCEL"][: 1 + bool(after)]


def test_shared_06_can_07_a_cancel_on_another_worker_while_the_handler_awaits(make_world: Make) -> None:
    world = make_world(SLOW)
    caller, callee, _ = called(world)
    world.advance(0.5)
    caller.send(again(caller, "CANCEL"), 1)
    assert caller.statuses == [100, 200, 487]
    world.advance(3)
    assert callee.inbox == [] and set(caller.statuses[3:]) == {487}


def test_shared_07_after_an_ack_on_another_worker_timer_g_is_silent(world: World) -> None:
    caller, callee, _ = called(world)
    callee.answer(first(callee), 486, worker=0)
    caller.send(again(caller, "ACK", "t1"), 1)
    world.advance(40)
    assert caller.statuses.count(486) <= 2 and callee.requests == ["INVITE", "ACK"]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_shared_08_what_is_due_more_than_once_after_a_gap_is_sent_once(make_world: Make, method: str) -> None:
    world = make_world(workers=1)
    _, callee, _ = called(world, method)
    world.advance(1)
    assert callee.requests == [method] * 2
    world.bury(0)
    world.advance(10)
    world.replace(0)
    world.advance(0.4)
    assert callee.requests == [method] * 3


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(("method", "sends"), [("INVITE", 7), ("MESSAGE", 11)])
def test_shared_08_a_silent_callee_is_asked_as_often_as_by_one_worker(
    make_world: Make, workers: int, method: str, sends: int
) -> None:
    world = make_world(workers=workers)
    _, callee, _ = called(world, method)
    everybody_arms_everything(world, 40)
    assert callee.requests == [method] * sends and len(branches(callee)) == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_shared_08_a_failure_without_ack_is_sent_eleven_times(make_world: Make, workers: int) -> None:
    world = make_world(workers=workers)
    caller, callee, _ = called(world)
    callee.answer(first(callee), 486)
    everybody_arms_everything(world, 40)
    assert caller.statuses == [100] + [486] * 11


def everybody_arms_everything(world: World, seconds: int) -> None:
    """Every second each worker believes that it serves the records of all others, as in a storm of adoptions."""
    for _ in range(seconds):
        for worker in world.workers:
            worker.adopted = {other.slot for other in world.workers}
            for other in world.workers:
                worker.arm_owned(other.slot)
        world.advance(1)


# -- deaths -----------------------------------------------------------------------------------------------------------


def test_shared_12_a_worker_that_dies_with_an_invite_in_hand(world: World) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    die_at(world, "commit", 0)
    text = caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1")
    caller.send(text, 0)
    assert caller.inbox == [] and list(world.records()) == []
    caller.send(text, 1)
    callee.answer(first(callee), 200, worker=1)
    assert caller.statuses == [100, 200]


def test_shared_13_handlers_of_a_dead_worker_are_run_again(make_world: Make) -> None:
    world = make_world(SLOW)
    caller, callee, _ = called(world)
    world.advance(0.9)
    world.kill(0)
    world.advance(T_TAKE)
    assert set(callee.requests) == {"INVITE"} and len(branches(callee)) == 1
    callee.answer(first(callee), 200, worker=1)
    assert caller.statuses == [100, 200]


def test_shared_13_handlers_that_kill_every_worker_end_in_500(make_world: Make) -> None:
    world = make_world(SLOW, workers=4)
    caller, callee, _ = called(world)
    for slot in range(3):
        world.advance(0.6)
        world.kill(slot)
    world.advance(T_TAKE)
    assert caller.last.status == 500 and callee.inbox == []


@pytest.mark.parametrize("point", POINTS)
def test_shared_13_a_target_that_was_started_gets_no_second_branch(world: World, point: str) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    die_at(world, point, 0, 2)  # the outcome of the handlers
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"), 0)
    world.advance(T_TAKE)
    assert len(branches(callee)) == 1
    callee.answer(first(callee), 200, worker=1)
    assert caller.last.status == 200


def test_shared_14_a_calling_branch_goes_on_and_ends_in_408(world: World) -> None:
    caller, callee, _ = called(world)
    world.advance(1)
    world.kill(0)
    world.advance(31.0 + T_TAKE)
    assert callee.requests == ["INVITE"] * 7 and len(branches(callee)) == 1
    due = [callee.times[0] + secs for secs in (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]
    assert all(when <= seen <= when + T_TAKE for when, seen in zip(due, callee.times, strict=True))
    assert 408 in caller.statuses


@pytest.mark.parametrize("after", [0.0, 0.7, 10.0])
def test_shared_14_a_callee_that_answers_late_is_heard_by_another_worker(world: World, after: float) -> None:
    caller, callee, _ = called(world)
    world.kill(0)
    world.advance(after)
    for status in (180, 200):
        callee.answer(first(callee), status, worker=1)
    sent = len(callee.inbox)
    world.advance(40)
    assert caller.statuses == [100, 180, 200] and len(callee.inbox) == sent and len(branches(callee)) == 1


def test_shared_15_a_caller_cancels_a_ringing_call_through_another_worker(world: World) -> None:
    caller, callee, _ = called(world)
    callee.answer(first(callee), 180, worker=0)
    world.kill(0)
    caller.send(again(caller, "CANCEL"), 1)
    assert callee.requests == ["INVITE", "CANCEL"] and len(branches(callee)) == 1
    callee.answer(first(callee), 487, worker=1)
    assert caller.statuses == [100, 180, 200, 487]


@pytest.mark.parametrize("status", [200, 486])
def test_shared_15_a_ringing_call_is_answered_through_another_worker(world: World, status: int) -> None:
    caller, callee, _ = called(world)
    callee.answer(first(callee), 180, worker=0)
    world.kill(0)
    callee.answer(first(callee), status, worker=1)
    assert caller.statuses == [100, 180, status]


def test_shared_15_a_ringing_call_is_cancelled_and_timer_c_fires(make_world: Make) -> None:
    world = make_world(transaction={"timer_c": 20})
    caller, callee, _ = called(world)
    callee.answer(first(callee), 180, worker=0)
    world.kill(0)
    world.advance(20 + T_TAKE)
    assert "CANCEL" in callee.requests
    callee.answer(first(callee), 487, worker=1)
    assert caller.last.status == 408


@pytest.mark.parametrize("unnoticed", [0, 8])
def test_shared_15_a_ring_timeout_fires_on_another_worker_also_when_it_came_while_nobody_knew(
    make_world: Make, unnoticed: int
) -> None:
    world = make_world(
        "from siphon import proxy\n@proxy.on_request\ndef route(request):\n"
        "    request.relay('sip:127.0.0.2:5090', timeout=5)\n"
    )
    caller, callee, _ = called(world)
    callee.answer(first(callee), 180, worker=0)
    world.bury(0)
    world.advance(unnoticed)
    assert callee.requests == ["INVITE"]
    world.kill(0)
    world.advance(max(5 - unnoticed, 0) + T_TAKE)
    assert "CANCEL" in callee.requests and 408 in caller.statuses


@pytest.mark.parametrize("point", POINTS)
def test_shared_16_a_death_between_two_serial_groups(make_world: Make, point: str) -> None:
    world = make_world(FORK % (2, "sequential"))
    one, two = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller, _, _ = called(world)
    die_at(world, point, 1)
    one.answer(first(one), 486, worker=1)
    if point == "commit":
        one.answer(first(one), 486, worker=0)  # the callee saw no ACK
    world.advance(T_TAKE)
    assert "ACK" in one.requests or point == "switched"
    two.answer(first(two), 200, worker=0)
    assert caller.last.status == 200 and len(branches(two)) == 1


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_shared_16_a_death_inside_on_failure(make_world: Make, point: str, number: int) -> None:
    world = make_world(SECOND_TRY)
    caller, callee, _ = called(world)
    other = world.agent("127.0.0.2", 5099)
    die_at(world, point, 1, number)  # the failure, then the outcome of on_failure
    callee.answer(first(callee), 486, worker=1)
    if point == "commit" and number == 1:
        callee.answer(first(callee), 486, worker=0)
    world.advance(T_TAKE)
    other.answer(first(other), 200, worker=0)
    assert caller.last.status == 200 and len(branches(other)) == 1


def test_shared_17_a_failure_that_was_acknowledged_still_goes_up(make_world: Make) -> None:
    world = make_world(late=None)
    caller, callee, _ = called(world)
    die_at(world, "sent", 1)
    callee.answer(first(callee), 486, worker=1)
    assert callee.requests == ["INVITE", "ACK"] and caller.statuses == [100]
    world.advance(T_TAKE)
    assert 486 in caller.statuses


@pytest.mark.parametrize("point", ["commit", "switched"])
def test_shared_18_the_repeat_of_a_200_goes_up_through_another_worker(world: World, point: str) -> None:
    caller, callee, _ = called(world)
    die_at(world, point, 1)
    callee.answer(first(callee), 200, worker=1)
    assert caller.statuses == [100]
    callee.answer(first(callee), 200, worker=0)
    assert caller.statuses == [100, 200]


def test_shared_19_timer_g_goes_on_until_the_ack(world: World) -> None:
    caller, callee, text = called(world)
    callee.answer(first(callee), 486, worker=0)
    world.kill(0)
    world.advance(T_TAKE)
    assert caller.statuses.count(486) >= 2
    caller.send(again(caller, "ACK", "t1"), 1)
    before = len(caller.inbox)
    caller.send(text, 1)  # Confirmed absorbs the INVITE
    world.advance(40)
    assert len(caller.inbox) == before


def test_shared_19_without_an_ack_timer_h_ends_it_on_another_worker(world: World) -> None:
    caller, callee, _ = called(world)
    callee.answer(first(callee), 486, worker=0)
    world.advance(1)
    world.kill(0)
    world.advance(80)
    assert caller.statuses == [100] + [486] * 11 and not list(world.records())
    assert caller.times[-1] - caller.times[1] <= 32 + T_TAKE


def test_shared_19_accepted_absorbs_invites_and_passes_2xx_and_ack(world: World) -> None:
    caller, callee, text = called(world)
    callee.answer(first(callee), 200, worker=0)
    world.kill(0)
    caller.send(text, 1)
    callee.answer(first(callee), 200, worker=1)
    assert caller.statuses == [100, 200, 200] and callee.requests == ["INVITE"]
    route = (caller.last.first("Record-Route") or first(callee).first("Record-Route") or b"").decode()
    ack = caller.request("ACK", "sip:127.0.0.2:5090", call_id="c1", to_tag="t1", headers=f"Route: {route}\n")
    caller.send(ack, 1)
    assert callee.requests == ["INVITE", "ACK"]


def test_shared_20_a_repeated_failure_is_acknowledged_by_another_worker(world: World) -> None:
    caller, callee, _ = called(world)
    callee.answer(first(callee), 486, worker=0)
    world.kill(0)
    callee.answer(first(callee), 486, worker=1)
    assert callee.requests == ["INVITE", "ACK", "ACK"] and caller.statuses.count(486) == 1


def test_shared_20_a_non_invite_is_repeated_and_its_final_kept(world: World) -> None:
    caller, callee, text = called(world, "MESSAGE")
    world.kill(0)
    world.advance(T_TAKE)
    assert len(callee.inbox) >= 3 and len(branches(callee)) == 1
    callee.answer(first(callee), 200, worker=1)
    world.replace(0)
    world.kill(1)
    caller.send(text, 0)
    assert caller.statuses == [200, 200] and caller.inbox[0].raw == caller.inbox[1].raw


@pytest.mark.parametrize("provisional", [(), (100,)])
def test_shared_20_timer_e_goes_on_at_its_own_pace_and_timer_f_ends_it(world: World, provisional: tuple[int]) -> None:
    _, callee, _ = called(world, "MESSAGE")
    for status in provisional:
        callee.answer(first(callee), status, worker=0)
    world.kill(0)
    world.advance(40)
    due = (
        [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
        if provisional
        else [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    )
    assert [round(seen - callee.times[0], 2) for seen in callee.times[1:]] == due and len(branches(callee)) == 1


@pytest.mark.parametrize("point", ["switched", "sent"])
def test_shared_21_the_cancels_of_a_dead_worker_leave(make_world: Make, point: str) -> None:
    world = make_world(late=None)
    caller, callee, _ = called(world)
    callee.answer(first(callee), 180, worker=0)
    die_at(world, point, 1)
    caller.send(again(caller, "CANCEL"), 1)
    assert callee.requests == ["INVITE"]
    world.advance(T_TAKE)
    assert "CANCEL" in callee.requests


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_shared_22_a_registration_is_stored_once(make_world: Make, point: str, number: int) -> None:
    world = make_world(REGISTER)
    phone_at_home = world.agent("192.0.2.7")
    text = phone_at_home.request("REGISTER", "sip:example.com", to="sip:bob@example.com", call_id="r1")
    die_at(world, point, 0, number)  # the record before the handlers, then the outcome: save() has happened
    phone_at_home.send(text, 0)
    world.advance(T_TAKE)
    phone_at_home.send(text, 1)
    assert phone_at_home.last.status == 200
    assert len(phone_at_home.last.values("Contact")) == 1


def test_shared_23_a_held_record_holds_up_nobody_else(make_world: Make) -> None:
    world = make_world(late=None)
    caller, callee, _ = called(world)
    held = next(iter(world.records())).key
    world.transactions.busy.add(held)
    callee.answer(first(callee), 180, worker=1)
    caller.send(caller.request("INVITE", "sip:carol@example.com", call_id="c2"), 1)
    assert caller.statuses == [100, 100] and len(callee.inbox) == 2
    world.transactions.busy.clear()
    world.workers[1].core.retry_parked()
    assert caller.statuses == [100, 100, 180]


def test_shared_23_a_bye_waits_for_the_ack_of_its_call_that_waits_for_a_lock(make_world: Make) -> None:
    world = make_world(late=None)
    caller, callee, _ = called(world)
    route = first(callee).first("Record-Route")
    callee.answer(first(callee), 200)
    assert route is not None
    ack, bye = (
        caller.request(
            method, "sip:127.0.0.2:5090", call_id="c1", cseq=cseq, to_tag="t1", headers=f"Route: {route.decode()}"
        )
        for method, cseq in (("ACK", 1), ("BYE", 2))
    )
    ack = ack.replace("Content-Length: 0\n", "")  # no plain one: those wait for no lock
    core = world.workers[0].core
    held = transaction_id(parse(ack.replace("\n", "\r\n").encode()), core.env.id_key)
    world.transactions.busy.add(held)
    caller.send(ack, 0)
    caller.send(bye, 0)
    core.retry_parked()  # still held
    assert callee.requests == ["INVITE"]
    world.transactions.busy.clear()
    core.retry_parked()
    assert callee.requests == ["INVITE", "ACK", "BYE"]


def test_shared_26_a_drain_refuses_what_is_new_and_serves_what_runs(world: World) -> None:
    caller, callee, text = called(world)
    for worker in world.workers:
        worker.draining = True
    for method in ("INVITE", "MESSAGE", "OPTIONS", "REGISTER", "SUBSCRIBE"):
        caller.send(caller.request(method, "sip:bob@example.com"))
        assert caller.last.status == 503 and caller.last.has("Retry-After")
    assert len(list(world.records())) == 1 and callee.requests == ["INVITE"]
    caller.take()
    caller.send(text)
    callee.answer(first(callee), 200)
    route = f"Route: {(first(callee).first('Record-Route') or b'').decode()}"
    for cseq, method in enumerate(("ACK", "INFO", "INVITE", "BYE"), 1):
        uri = "sip:127.0.0.2:5090"
        caller.send(caller.request(method, uri, call_id="c1", cseq=cseq, to_tag="t1", headers=route))
    assert callee.requests == ["INVITE", "ACK", "INFO", "INVITE", "BYE"]
    caller.send(caller.request("CANCEL", uri, branch=caller.inbox[-1].via.branch.decode(), call_id="c1"))
    assert caller.statuses == [100, 200, 100, 200]


# -- a death at every point of a call ---------------------------------------------------------------------------------

CALLS = {
    "answered": ("own=1", [phone(1, (0.1, 180), (1.0, 200))], 200),
    "busy": ("edit=1", [phone(1, (0.1, 180), (0.5, 486))], 486),
    "serial": ("strategy=sequential", [phone(1, (0.1, 404)), phone(2, (0.1, 180), (0.5, 200))], 200),
    "forked": ("strategy=parallel", [phone(1, (0.1, 180)), phone(2, (0.2, 180), (0.5, 200))], 200),
    "second": ("retarget=sip:bob@198.51.100.2:5060", [phone(1, (0.2, 486)), phone(2, (0.5, 200))], 200),
    "silent": ("timeout=3", [phone(1)], 408),
}


@pytest.mark.parametrize("name", CALLS)
def test_shared_12_to_20_a_death_at_any_point_changes_no_answer(name: str) -> None:
    plan, phones, final = CALLS[name]
    if name == "second":
        plan = f"targets=sip:bob@{phones[0].ip}:5060 {plan}"
    for point in range(1, 60):
        result = scenario(unchanged, plan, phones, Faults(deaths_at_points=(point,)))
        assert not result.problems, str(result)
        assert f" {final} (INVITE)" in str(result.ladder), str(result)


def test_shared_21_a_death_at_any_point_of_a_cancelled_call() -> None:
    def cancel(s: object) -> None:
        s.calls[0].cancel_after = 1.0  # type: ignore[attr-defined]

    for point in range(1, 60):
        result = scenario(
            cancel, "strategy=parallel", [phone(1, (0.1, 180)), phone(2)], Faults(deaths_at_points=(point,))
        )
        assert not result.problems, str(result)
        assert " 487 (INVITE)" in str(result.ladder), str(result)
