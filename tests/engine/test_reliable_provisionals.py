"""Reliable provisional responses that the script makes (RFC 3262 §3): repeats, PRACK and end, on any worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sim_calls import die_at

from siphon.engine.core import REPEATS_PER_SECOND
from siphon.engine.counters import Counter
from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

EARLY = """
from siphon import proxy

@proxy.on_request("INVITE")
def route(request):
    request.reply(183, "Progress", reliable=True)
    request.set_reply_body("v=0", "application/sdp")

@proxy.on_request("PRACK")
def stray(request):
    request.reply(481, "No Such Response")
"""
REPEATS = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def invite(caller: Agent, headers: str = "Supported: 100rel\n", to_tag: str = "") -> str:
    return caller.request(
        "INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", headers=headers, to_tag=to_tag, cseq=7
    )


def called(world: World, headers: str = "Supported: 100rel\n") -> tuple[Agent, SipMessage]:
    """An INVITE has been sent: the caller, and the first response."""
    caller = world.agent("192.0.2.1")
    caller.send(invite(caller, headers), 0)
    return caller, caller.inbox[0]


def prack(caller: Agent, answer: SipMessage, rack: str = "", branch: str = "z9hG4bK-prack", **other: str) -> str:
    tag = (answer.to_tag or b"").decode()
    rack = rack or f"{(answer.first('RSeq') or b'').decode()} 7 INVITE"
    fields = {"call_id": "c1", "to_tag": tag, **other}
    return caller.request("PRACK", "sip:127.0.0.1:5060", branch=branch, cseq=8, headers=f"RAck: {rack}\n", **fields)


def times(caller: Agent, status: int) -> list[float]:
    """When responses of that status to the INVITE came, counted from the first message."""
    pairs = zip(caller.times, caller.inbox, strict=True)
    return [round(at - 1000.0, 3) for at, m in pairs if m.status == status and m.cseq_method == "INVITE"]


def test_a_reliable_provisional_says_so_and_begins_a_dialog(make_world: Make) -> None:
    _, answer = called(make_world(EARLY))
    assert (answer.status, answer.first("Require"), answer.body) == (183, b"100rel", b"v=0")
    assert 1 <= int(answer.first("RSeq")) < 2**31
    assert answer.to_tag and answer.first("Contact") == b"<sip:127.0.0.1:5060>"


def test_sec_12_a_prack_replayed_a_thousand_times_has_a_capped_response_rate(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    text = prack(caller, answer)
    before = len(caller.inbox)
    for _ in range(1000):
        caller.send(text, worker=0)
    assert 1 <= len(caller.inbox) - before <= REPEATS_PER_SECOND + 1
    assert {m.status for m in caller.inbox[before:]} == {200}
    assert world.count(Counter.RETRANSMISSIONS) == 999
    world.advance(1)
    before = len(caller.inbox)
    caller.send(text, worker=0)
    assert [m.status for m in caller.inbox[before:]] == [200]


def test_rseq_differs_from_call_to_call(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, first = called(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", headers="Supported: 100rel\n"))
    assert caller.last.first("RSeq") != first.first("RSeq")


def test_it_is_repeated_until_64_t1_and_then_the_invite_is_rejected(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    world.advance(31.9)
    assert times(caller, 183) == REPEATS and {m.raw for m in caller.inbox} == {answer.raw}
    world.advance(0.2)
    assert times(caller, 504) == [32.0] and caller.last.to_tag == answer.to_tag
    world.advance(3)
    assert caller.statuses == [183] * 11 + [504] * 3  # Timer G


@pytest.mark.parametrize("after", [0.0, 0.7, 20.0])
def test_its_prack_gets_200_and_ends_the_repeats_on_any_worker(make_world: Make, after: float) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    world.advance(after)
    caller.take()
    caller.send(prack(caller, answer), 1)
    assert [(m.status, m.cseq_method, m.to_tag) for m in caller.inbox] == [(200, "PRACK", answer.to_tag)]
    world.advance(150)
    assert len(caller.inbox) == 1


def test_after_the_prack_the_call_is_pending_until_timer_c(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    caller.send(prack(caller, answer), 1)
    world.advance(184.9)
    assert caller.statuses == [183, 200]
    world.advance(0.2)
    assert caller.statuses == [183, 200, 500]


def test_a_repeated_prack_gets_the_same_200_on_any_worker(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    text = prack(caller, answer)
    for worker in (1, 0, 1):
        caller.send(text, worker)
        world.advance(1)
    assert [m.status for m in caller.inbox] == [183, 200, 200, 200]
    assert len({m.raw for m in caller.inbox[1:]}) == 1


def test_a_repeated_prack_gets_its_200_after_the_invite_has_been_answered(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    caller.send(prack(caller, answer), 1)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", cseq=7))
    ack = caller.request("ACK", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", cseq=7)
    caller.send(ack.replace("To: <sip:bob@example.com>", "To: " + answer.to_value.decode()))
    world.advance(25)
    assert caller.statuses == [183, 200, 200, 487]
    caller.send(prack(caller, answer), 0)
    assert (caller.last.status, caller.last.cseq_method) == (200, "PRACK")


def test_a_second_prack_for_the_same_response_is_the_scripts(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    caller.send(prack(caller, answer), 1)
    caller.send(prack(caller, answer, branch="z9hG4bK-other"), 0)
    assert caller.statuses == [183, 200, 481]
    caller.send(prack(caller, answer), 0)
    assert caller.statuses[-1] == 200


@pytest.mark.parametrize(
    "rack", ["1 7 INVITE", "{rseq} 8 INVITE", "{rseq} 7 UPDATE", "{rseq} 7", "{rseq}", "x y z", "9" * 400 + " 7 INVITE"]
)
def test_a_prack_for_another_response_is_the_scripts(make_world: Make, rack: str) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    caller.send(prack(caller, answer, rack.format(rseq=(answer.first("RSeq") or b"").decode())), 1)
    assert caller.statuses == [183, 481]
    world.advance(0.6)
    assert caller.statuses[-1] == 183


@pytest.mark.parametrize("other", [{"call_id": "c2"}, {"from_tag": "f2"}, {"to_tag": "0" * 32}, {"to_tag": "t"}])
def test_a_prack_of_another_dialog_is_the_scripts(make_world: Make, other: dict[str, str]) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    caller.send(prack(caller, answer, **other), 1)
    assert caller.statuses == [183, 481]


def test_a_prack_without_rack_is_the_scripts(make_world: Make) -> None:
    caller, answer = called(world := make_world(EARLY))
    caller.send(prack(caller, answer).replace("RAck", "X-RAck"), 1)
    assert caller.statuses == [183, 481] and world.clock() == 1000.0


def test_zeros_and_white_space_in_rack_do_not_matter(make_world: Make) -> None:
    caller, answer = called(make_world(EARLY))
    caller.send(prack(caller, answer, f"00{(answer.first('RSeq') or b'').decode()} \t 07  INVITE "), 1)
    assert caller.statuses == [183, 200]


def test_a_cancel_gives_487_and_ends_the_repeats_and_a_late_prack_still_gets_200(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", cseq=7), 1)
    assert caller.statuses == [183, 200, 487]
    caller.send(prack(caller, answer), 0)
    assert (caller.last.status, caller.last.cseq_method) == (200, "PRACK")
    world.advance(10)
    assert times(caller, 183) == [0.0]


def test_a_late_prack_after_64_t1_still_gets_200(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    world.advance(32.1)
    caller.send(prack(caller, answer), 0)
    assert (caller.last.status, caller.last.cseq_method) == (200, "PRACK")


def test_a_repeated_invite_gets_it_once_more_and_moves_no_timer(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, _ = called(world)
    world.advance(0.2)
    caller.send(invite(caller), 1)
    world.advance(1.5)
    assert times(caller, 183) == [0.0, 0.2, 0.5, 1.5]


def test_the_repeats_go_on_in_another_worker_when_one_dies(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    world.advance(0.7)
    world.kill(0)
    world.advance(7)
    assert times(caller, 183) == REPEATS[:5]
    caller.send(prack(caller, answer))
    assert caller.statuses[-1] == 200


@pytest.mark.parametrize("point", ["commit", "switched", "sent"])
def test_a_worker_that_dies_over_a_prack_leaves_it_to_its_repeat(make_world: Make, point: str) -> None:
    world = make_world(EARLY)
    caller, answer = called(world)
    die_at(world, point, 1)
    caller.send(prack(caller, answer), 1)
    world.gate = None
    assert caller.statuses in ([183], [183, 200])
    caller.send(prack(caller, answer), 0)
    assert caller.statuses[-1] == 200
    world.advance(30)
    assert times(caller, 183) == [0.0]


def test_a_caller_that_requires_100rel_gets_no_unreliable_provisional(make_world: Make) -> None:
    world = make_world(EARLY.replace(", reliable=True", ""))
    caller, answer = called(world, "Require: 100rel\n")
    assert answer.has("RSeq")
    caller.send(prack(caller, answer), 1)
    assert caller.statuses == [183, 200]


def test_without_100rel_it_is_sent_once_and_unreliably(make_world: Make) -> None:
    world = make_world(EARLY)
    caller, answer = called(world, "Supported: timer\n")
    world.advance(20)
    assert caller.statuses == [183] and not answer.has("RSeq") and not answer.has("Require")


def test_what_the_script_sets_stays_but_rseq(make_world: Make) -> None:
    more = "    request.set_reply_header('Require', 'precondition')\n    request.set_reply_header('RSeq', '5')\n"
    more += "    request.set_reply_header('m', '<sip:me@192.0.2.9>')\n\n@proxy.on_request(\"PRACK\")"
    _, answer = called(make_world(EARLY.replace('\n@proxy.on_request("PRACK")', more)))
    assert answer.all_lines("Require") == [b"precondition", b"100rel"]
    assert answer.values("Contact") == [b"<sip:me@192.0.2.9>"]
    assert len(answer.all_lines("RSeq")) == 1 and answer.first("RSeq") != b"5"


@pytest.mark.parametrize("tag", ["t1", "0123456789abcdef" * 2])
def test_fork_09_a_prack_of_another_ones_provisional_is_forwarded_on_any_worker(world: World, tag: str) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(invite(caller))
    callee.answer(callee.inbox[0], 183, tag=tag, headers=[("Require", "100rel"), ("RSeq", "7")])
    early = caller.last
    route = "".join(f"Route: {value.decode()}\n" for value in reversed(early.values("Record-Route")))
    text = (
        prack(caller, early).replace("RAck", f"{route}RAck").replace("sip:127.0.0.1:5060 SIP", "sip:127.0.0.2:5090 SIP")
    )
    for worker in (1, 0):
        caller.send(text, worker)
    assert callee.requests == ["INVITE", "PRACK"] and callee.last.first("RAck") == b"7 7 INVITE"
    callee.answer(callee.last, 200, tag="")
    assert (caller.last.status, caller.last.cseq_method) == (200, "PRACK")


@pytest.mark.parametrize("tag", ["mine", "0123456789abcdef" * 2])
def test_a_prack_finds_a_response_whose_to_tag_the_script_has_chosen(make_world: Make, tag: str) -> None:
    more = f"    request.set_reply_to_tag('{tag}')\n\n@proxy.on_request(\"PRACK\")"
    world = make_world(EARLY.replace('\n@proxy.on_request("PRACK")', more))
    caller, answer = called(world)
    assert answer.to_tag == tag.encode()
    for worker in (1, 0):
        caller.send(prack(caller, answer), worker)
    world.advance(10)
    assert caller.statuses == [183, 200, 200]
    caller.send(prack(caller, answer, branch="z9hG4bK-other"), 0)
    assert caller.statuses[-1] == 481


def test_a_prack_finds_a_response_to_a_re_invite(make_world: Make) -> None:
    world = make_world(EARLY)
    caller = world.agent("192.0.2.1")
    caller.send(invite(caller, to_tag="theirs"), 0)
    caller.send(prack(caller, caller.last), 1)
    world.advance(10)
    assert caller.statuses == [183, 200]


def test_the_ack_finds_a_200_whose_to_tag_the_script_has_chosen(make_world: Make) -> None:
    script = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n"
    world = make_world(script + "    request.set_reply_to_tag('mine')\n    request.reply(200)\n")
    caller, answer = called(world)
    world.advance(0.6)
    assert caller.statuses == [200, 200]
    ack = caller.request("ACK", "sip:127.0.0.1:5060", branch="z9hG4bK-ack", call_id="c1", to_tag="mine", cseq=7)
    caller.send(ack, 1)
    world.advance(40)
    assert caller.statuses == [200, 200]
