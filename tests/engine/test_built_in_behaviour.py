"""API section 16, clause by clause, where no checklist row has a test of it: before scripts, 100, Timer C, dialogs."""

from collections.abc import Callable

import pytest

from siphon.engine.counters import Counter
from siphon.sip.build import response
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
SLOW = """
import asyncio
from siphon import proxy

@proxy.on_request
async def route(request):
    await asyncio.sleep(5)
    request.relay("sip:127.0.0.2:5090")
"""
SILENT = """
from siphon import proxy

@proxy.on_request
def route(request):
    pass
"""
SLOW_SILENCE = """
import asyncio
from siphon import proxy

@proxy.on_request
async def route(request):
    await asyncio.sleep(1)
"""
DIALOG = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay(None if request.in_dialog else "sip:127.0.0.2:5090")
"""


def parties(world: World) -> tuple[Agent, Agent]:
    return world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)


def invited(world: World) -> tuple[Agent, Agent]:
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    return caller, callee


# -- 16.1 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "NEWFANGLED", "BYE"])
def test_16_1_the_first_failing_check_answers_and_no_handler_runs(world: World, method: str) -> None:
    caller, callee = parties(world)
    faults = [
        (505, " SIP/2.0\nVia", " SIP/3.0\nVia"),
        (400, "Content-Length: 0", "Content-Length: 1"),
        (416, " sip:bob@example.com SIP", " http://example.com SIP"),
        (483, "Max-Forwards: 70", "Max-Forwards: 0"),
        (420, "Contact:", "Proxy-Require: foo, bar\nContact:"),
    ]
    to_tag = "x" if method == "BYE" else ""
    while faults:
        caller.take()
        text = caller.request(method, "sip:bob@example.com", to_tag=to_tag)
        for _, old, new in faults:
            assert old in text
            text = text.replace(old, new, 1)
        caller.send(text)
        assert caller.statuses == [faults.pop(0)[0]]
        caller.send(text.replace(method, "ACK"))
        assert len(caller.inbox) == 1
    assert caller.last.first("Unsupported") == b"foo, bar"
    assert not callee.inbox and world.count(Counter.SCRIPT_RUNS) == 0


# -- 16.2 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [180, 200, 486])
def test_16_2_answers_go_to_the_stored_hop_whatever_their_vias_say(world: World, status: int) -> None:
    caller, callee = invited(world)
    other = world.agent("203.0.113.9", 7777)
    answer = response(callee.last, status, "Answer", b"t1", [("Contact", "<sip:127.0.0.2:5090>")])
    for old, new in ((b"192.0.2.1:5060;rport=5060", b"203.0.113.9:7777;rport=7777"), (b"=192.0.2.1", b"=203.0.113.9")):
        assert old in answer
        answer = answer.replace(old, new)
    callee.send(answer)
    assert caller.statuses == [100, status] and not other.inbox


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_16_2_a_silent_drop_leaves_no_record(make_world: Make, method: str) -> None:
    world = make_world(SILENT)
    caller, _ = parties(world)
    text = caller.request(method, "sip:bob@example.com")
    for runs in (1, 2):
        caller.send(text)
        assert not list(world.records()) and world.count(Counter.SCRIPT_RUNS) == runs
    world.advance(40)
    assert not world.sent


def told_of_nothing(world: World) -> list[str]:
    notes = [note for worker in world.workers for note in worker.notes]
    return [line for line in notes if line.startswith("script.did_nothing")]


@pytest.mark.parametrize(("slow", "answer"), [(False, "none"), (True, "500 No Action")])
def test_4_3_handlers_that_do_nothing_are_told_in_the_log(make_world: Make, slow: bool, answer: str) -> None:
    world = make_world(SLOW_SILENCE if slow else SILENT)
    caller, _ = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", call_id="c1"))
    world.advance(2)
    assert caller.statuses[:2] == ([100, 500] if slow else [])
    facts = {"method": "INVITE", "answer": answer, "of": b"c1", "source": "192.0.2.1"}
    assert told_of_nothing(world) == [f"script.did_nothing {facts}"]


@pytest.mark.parametrize(
    "action",
    ['reply(200, "OK")', 'reply(183, "Progress")', 'relay("sip:127.0.0.2:5090")', 'reject(403, "No")', "no_such"],
)
def test_4_3_handlers_that_do_something_are_not(make_world: Make, action: str) -> None:
    world = make_world(SILENT.replace("pass", f"request.{action}"))
    caller, _ = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com"))
    world.advance(2)
    assert told_of_nothing(world) == []


# -- 16.3 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slow", "method", "switch", "times"),
    [
        (False, "INVITE", True, [0.0]),
        (True, "INVITE", True, [0.2]),
        (False, "MESSAGE", True, [3.5]),
        (True, "MESSAGE", True, [3.5]),
        (False, "INVITE", False, [0.0]),
        (True, "INVITE", False, []),
        (False, "MESSAGE", False, []),
    ],
)
def test_16_3_when_a_100_is_sent_by_itself(
    make_world: Make, slow: bool, method: str, switch: bool, times: list[float]
) -> None:
    options = {"transaction": {"auto_emit_100_trying": switch}}
    world = make_world(SLOW, **options) if slow else make_world(**options)
    caller, _ = parties(world)
    began = world.clock()
    caller.send(caller.request(method, "sip:bob@example.com"))
    world.advance(4.9)
    assert set(caller.statuses) <= {100} and [round(when - began, 3) for when in caller.times] == times


def test_16_3_timer_c_is_restarted_by_101_to_199_and_not_by_100(make_world: Make) -> None:
    world = make_world(transaction={"timer_c": 20})
    caller, callee = invited(world)
    began, seen = world.clock(), callee.last
    for status in (180, 183, 199):
        callee.answer(seen, status)
        world.advance(15)
    callee.answer(seen, 100)
    world.advance(40)
    assert round(next(t for t, m in zip(callee.times, callee.inbox, strict=True) if m.method == "CANCEL") - began) == 50
    world.advance(40)  # the callee never answers the CANCEL with a final of the INVITE
    ended = caller.times[caller.statuses.index(408)] - began
    assert round(ended) == 82 and callee.requests.count("INVITE") == 1


def test_16_3_timer_c_without_a_provisional_ends_the_branch_at_once(make_world: Make) -> None:
    world = make_world(transaction={"timer_c": 20})
    caller, callee = invited(world)
    began = world.clock()
    world.advance(20.1)
    assert caller.statuses[:2] == [100, 408] and round(caller.times[1] - began, 1) == 20.0
    assert "CANCEL" not in callee.requests


# -- 16.5 -------------------------------------------------------------------------------------------------------------


def in_dialog(caller: Agent, method: str, cseq: int) -> str:
    return caller.request(method, "sip:127.0.0.2:5090", call_id="c1", cseq=cseq, to_tag="t1")


def test_16_5_a_dialog_is_known_before_its_2xx_leaves_and_until_the_final_of_its_bye(make_world: Make) -> None:
    world = make_world(DIALOG)
    caller, callee = invited(world)
    seen: dict[str, int] = {}
    world.gate = lambda worker, point: seen.setdefault(point, world.dialogs.stats().records)
    callee.answer(callee.last, 180)
    assert seen["switched"] == 0
    seen.clear()
    callee.answer(callee.inbox[0], 200)
    assert seen["switched"] == 1  # committed, nothing sent yet
    caller.send(in_dialog(caller, "BYE", 2))
    assert world.dialogs.stats().records == 1 and callee.last.method == "BYE"
    caller.send(in_dialog(caller, "INFO", 3))
    assert callee.last.method == "INFO"
    callee.answer(next(m for m in callee.inbox if m.method == "BYE"), 200)
    assert world.dialogs.stats().records == 0
    caller.send(in_dialog(caller, "INFO", 4))
    assert caller.last.status == 481


def test_16_5_a_dialog_is_forgotten_when_it_is_too_old(make_world: Make) -> None:
    world = make_world(DIALOG, dialog={"max_age_secs": 100})
    caller, callee = invited(world)
    callee.answer(callee.last, 200)
    world.advance(99)
    caller.send(in_dialog(caller, "INFO", 2))
    assert callee.last.method == "INFO"
    callee.answer(callee.last, 200)
    world.advance(2)
    caller.send(in_dialog(caller, "INFO", 3))
    assert caller.last.status == 481
