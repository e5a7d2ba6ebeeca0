"""CANCEL: RFC 3261 §9 and §16.10, on any worker."""

from collections.abc import Callable

import pytest

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]
NAMED = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:pbx.example")
"""
FORK_OF_TWO = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5091", "sip:127.0.0.2:5092"])
"""
SLOW_FAILURE = """
import asyncio
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.2:5090")

@proxy.on_failure
async def failed(request, reply):
    await asyncio.sleep(2.0)
    request.relay("sip:127.0.0.2:5090")
"""

TAGGED = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.set_reply_to_tag("ours")
    request.{}
"""
SILENT, REFUSED = "relay('sip:127.0.0.2:5090', timeout=2)", "reply(488)"


def ringing(world: World, *statuses: int) -> tuple[Agent, Agent, SipMessage]:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    for status in statuses:
        callee.answer(callee.inbox[0], status)
    return caller, callee, callee.inbox[0]


def cancel(caller: Agent, headers: str = "") -> str:
    return caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1", headers=headers)


def test_can_01_a_cancel_gets_200_at_once_and_its_invite_487(world: World) -> None:
    caller, callee, seen = ringing(world, 180)
    caller.send(cancel(caller))
    assert caller.statuses == [100, 180, 200] and callee.requests == ["INVITE", "CANCEL"]
    callee.answer(callee.last, 200)
    callee.answer(seen, 487)
    assert caller.statuses == [100, 180, 200, 487]
    assert callee.requests == ["INVITE", "CANCEL", "ACK"]


def test_can_02_the_cancel_sent_matches_its_invite(world: World) -> None:
    caller, callee, seen = ringing(world, 180)
    caller.send(cancel(caller, "Require: something\n"))
    sent = callee.last
    assert (sent.uri, sent.via.branch, sent.cseq, sent.cseq_method) == (seen.uri, seen.via.branch, seen.cseq, "CANCEL")
    assert sent.via_count == 1 and sent.to_tag is None and not sent.has("Require")


def test_can_03_a_cancel_waits_for_a_provisional(world: World) -> None:
    caller, callee, seen = ringing(world)
    caller.send(cancel(caller))
    world.advance(1)
    assert callee.requests == ["INVITE", "INVITE"] and caller.statuses == [100, 200]
    callee.answer(seen, 180)
    assert callee.requests[-1] == "CANCEL"
    callee.answer(seen, 487)
    assert caller.statuses[-1] == 487


def test_can_03_a_200_that_comes_first_wins(world: World) -> None:
    caller, callee, seen = ringing(world)
    caller.send(cancel(caller))
    callee.answer(seen, 200)
    assert caller.statuses == [100, 200, 200] and callee.requests == ["INVITE"]


def test_can_04_without_any_final_the_answer_is_487_after_32_seconds(world: World) -> None:
    caller, callee, _ = ringing(world, 180)
    caller.send(cancel(caller))
    world.advance(32.1)
    assert caller.statuses[:4] == [100, 180, 200, 487]
    assert callee.requests.count("CANCEL") == 11 or callee.requests.count("CANCEL") == 10


def test_can_04_of_a_phone_that_never_says_anything_the_answer_is_487_too(world: World) -> None:
    """No CANCEL goes out, and what Timer B makes of the branch is no timeout of the caller's."""
    caller, callee, _ = ringing(world)
    caller.send(cancel(caller))
    world.advance(32.1)
    assert caller.statuses[:3] == [100, 200, 487] and set(callee.requests) == {"INVITE"}


def test_can_05_cancel_after_the_final_changes_nothing(world: World) -> None:
    caller, callee, _ = ringing(world, 180, 200)
    caller.send(cancel(caller))
    assert caller.statuses == [100, 180, 200, 200] and callee.requests == ["INVITE"]


def test_can_06_a_cancel_that_matches_nothing_gets_481(world: World) -> None:
    caller = world.agent("192.0.2.1")
    caller.send(cancel(caller))
    assert caller.statuses == [481]


def test_can_09_a_repeated_cancel_gets_the_same_200_and_one_cancel_goes_out(world: World) -> None:
    caller, callee, _ = ringing(world, 180)
    text = cancel(caller)
    for worker in (0, 1, 0):
        caller.send(text, worker)
    assert caller.statuses == [100, 180, 200, 200, 200]
    assert len({m.raw for m in caller.inbox[2:]}) == 1
    assert callee.requests == ["INVITE", "CANCEL"]


def test_can_10_the_reason_is_copied(world: World) -> None:
    caller, callee, _ = ringing(world, 180)
    caller.send(cancel(caller, 'Reason: SIP;cause=600;text="gone"\n'))
    assert callee.last.first("Reason") == b'SIP;cause=600;text="gone"'


def test_sec_14_a_cancel_from_another_address_gets_481(world: World) -> None:
    caller, callee, _ = ringing(world, 180)
    thief = world.agent("192.0.2.66")
    thief.send(cancel(caller).replace("192.0.2.1:5060;rport", "192.0.2.1:5060;rport"))
    assert thief.statuses == [481] and callee.requests == ["INVITE"]
    assert caller.statuses == [100, 180]


def test_sec_14_a_cancel_of_a_re_invite_from_another_address_gets_481(make_world: Make) -> None:
    world = make_world(NAMED.replace("pbx.example", "127.0.0.2:5090"))
    caller, callee, thief = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090), world.agent("192.0.2.66")
    same = {"branch": "z9hG4bK-two", "call_id": "c1", "to_tag": "t1"}
    caller.send(caller.request("INVITE", "sip:bob@example.com", **same))  # type: ignore[arg-type]
    callee.answer(callee.last, 180)
    thief.send(caller.request("CANCEL", "sip:bob@example.com", **same))  # type: ignore[arg-type]
    assert thief.statuses == [481] and callee.requests == ["INVITE"] and caller.statuses == [100, 180]


def test_can_01_the_200_has_the_to_tag_of_the_487_made_here(make_world: Make) -> None:
    world = make_world(NAMED)
    world.resolver.unknown.add("pbx.example")
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    world.advance(0.3)
    caller.send(cancel(caller))
    assert sorted(caller.statuses[1:]) == [200, 487]
    assert caller.inbox[1].to_tag == caller.inbox[2].to_tag and caller.inbox[1].to_tag


def test_can_02_the_cancel_goes_where_the_invite_went_and_is_repeated_until_it_is_answered(world: World) -> None:
    caller, callee, _ = ringing(world, 180)
    caller.send(cancel(caller))
    began = world.clock()
    world.advance(4)
    cancels = [(round(t - began, 3), m.raw) for t, m in zip(callee.times, callee.inbox, strict=True)][1:]
    assert [when for when, _ in cancels] == [0, 0.5, 1.5, 3.5] and len({raw for _, raw in cancels}) == 1
    callee.answer(callee.last, 200)
    world.advance(10)
    assert callee.requests.count("CANCEL") == 4 and not world.lost


@pytest.mark.parametrize("status", [486, 200])
def test_can_04_the_final_of_the_branch_answers_the_invite(world: World, status: int) -> None:
    caller, callee, seen = ringing(world, 180)
    caller.send(cancel(caller))
    callee.answer(seen, status)
    world.advance(40)
    assert set(caller.statuses[3:]) == {status}


@pytest.mark.parametrize("status", [200, 486, 603])
def test_can_05_after_any_final_a_cancel_gets_200_and_nothing_goes_down(world: World, status: int) -> None:
    caller, callee, _ = ringing(world, 180, status)
    heard = list(callee.requests)
    for worker in (0, 1):
        caller.send(cancel(caller), worker)
    assert caller.statuses == [100, 180, status, 200, 200] and callee.requests == heard


def test_can_07_a_cancel_while_a_name_is_looked_up_ends_the_call_before_any_invite_leaves(make_world: Make) -> None:
    world = make_world(NAMED)
    world.resolver.unknown.add("pbx.example")
    world.resolver.names["pbx.example"] = ["127.0.0.2"]
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2")
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    world.advance(0.3)
    caller.send(cancel(caller))
    assert caller.statuses[0] == 100 and sorted(caller.statuses[1:]) == [200, 487]
    world.resolver.answer()
    world.settle()
    world.advance(40)
    assert not callee.inbox and not world.lost and set(caller.statuses[3:]) <= {487}


def test_can_07_a_cancel_while_on_failure_awaits_ends_the_call(make_world: Make) -> None:
    world = make_world(SLOW_FAILURE)
    caller, callee, _ = ringing(world, 180, 404)
    world.advance(1)
    caller.send(cancel(caller))
    assert caller.statuses[:2] == [100, 180] and sorted(caller.statuses[2:]) == [200, 487]
    world.advance(40)
    assert callee.requests == ["INVITE", "ACK"]


def test_can_09_repeats_of_a_cancel_make_no_second_one_at_any_phone(make_world: Make) -> None:
    world = make_world(FORK_OF_TWO)
    caller, one, two = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    one.answer(one.last, 180)
    for worker in (0, 1):
        caller.send(cancel(caller), worker)
    two.answer(two.last, 180)
    caller.send(cancel(caller))
    assert one.requests == two.requests == ["INVITE", "CANCEL"]
    assert [m.via.branch for m in (one.last, two.last)] == [m.inbox[0].via.branch for m in (one, two)]


def test_can_10_a_reason_is_copied_also_when_the_cancel_had_to_wait_and_a_lost_branch_hears_cause_200(
    make_world: Make,
) -> None:
    world = make_world(FORK_OF_TWO)
    one, two = world.agent("127.0.0.2", 5091), world.agent("127.0.0.2", 5092)
    for number, answered in enumerate((False, True)):
        caller = world.agent("192.0.2.1", 6000 + number)
        caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
        at_one, at_two = one.last, two.last
        if answered:
            one.answer(at_one, 200)
        else:
            caller.send(cancel(caller, "Reason: Q.850;cause=16\nReason: SIP;cause=600"))
        assert two.last.method == "INVITE"
        two.answer(at_two, 180)
        reasons = [b"SIP;cause=200"] if answered else [b"Q.850;cause=16", b"SIP;cause=600"]
        assert two.last.method == "CANCEL" and two.last.all_lines("Reason") == reasons


# -- the To tag of the 200 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [SILENT, REFUSED])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "BYE"])
@pytest.mark.parametrize("script", [TAGGED, TAGGED.replace('set_reply_to_tag("ours")', 'vars["x"] = 1')])
def test_can_01_can_05_the_200_has_the_to_tag_of_the_final_made_here_also_where_the_script_chose_it(
    make_world: Make, script: str, method: str, action: str
) -> None:
    world = make_world(script.format(action))
    caller = world.agent("192.0.2.1")
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    for worker in (0, 1):
        caller.send(cancel(caller), worker)
    world.advance(33)
    accepted = {m.raw for m in caller.inbox if m.cseq_method == "CANCEL"}
    finals = {m.raw: m for m in caller.inbox if m.cseq_method == method and m.status >= 300}
    assert len(accepted) == len(finals) == 1
    [accepted_by], [final] = {m.to_tag for m in caller.inbox if m.cseq_method == "CANCEL"}, finals.values()
    assert accepted_by and accepted_by == final.to_tag
    assert (accepted_by == b"ours") == (script is TAGGED)


@pytest.mark.parametrize(("method", "status"), [("INVITE", 486), ("INVITE", 603), ("MESSAGE", 200), ("BYE", 481)])
def test_can_05_the_200_behind_a_forwarded_final_has_the_to_tag_of_that_final(
    world: World, method: str, status: int
) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    callee.answer(callee.last, status, tag="theirs")
    caller.send(cancel(caller))
    world.advance(0.3)
    caller.send(cancel(caller), 1)
    first, second = (m for m in caller.inbox if m.cseq_method == "CANCEL")
    assert (first.status, first.to_tag, second.raw) == (200, b"theirs", first.raw)


@pytest.mark.parametrize(("method", "status"), [("INVITE", 486), ("INVITE", 487), ("MESSAGE", 200)])
def test_can_05_can_09_a_repeat_behind_the_final_that_a_cancel_did_not_see_gets_the_same_200(
    world: World, method: str, status: int
) -> None:
    caller, callee = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090)
    caller.send(caller.request(method, "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    seen = callee.last
    caller.send(cancel(caller))
    world.advance(0.1)
    callee.answer(seen, status, tag="theirs")
    caller.send(cancel(caller), 1)
    first, second = (m for m in caller.inbox if m.cseq_method == "CANCEL")
    assert first.status == 200 and first.to_tag not in (b"", b"theirs") and second.raw == first.raw


@pytest.mark.parametrize("same_source", [True, False])
def test_sec_14_a_cancel_of_a_message_from_another_address_gets_481(make_world: Make, same_source: bool) -> None:
    world = make_world(security={"cancel_same_source": same_source})
    caller, callee, thief = world.agent("192.0.2.1"), world.agent("127.0.0.2", 5090), world.agent("192.0.2.66")
    caller.send(caller.request("MESSAGE", "sip:bob@example.com", branch="z9hG4bK-one", call_id="c1"))
    thief.send(cancel(caller))
    assert thief.statuses == [481 if same_source else 200]
    assert not caller.inbox and callee.requests == ["MESSAGE"]
