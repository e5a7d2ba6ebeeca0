"""CANCEL: RFC 3261 §9 and §16.10, on any worker."""

from siphon.sip.message import SipMessage
from siphon.testing.agent import Agent
from siphon.testing.world import World


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
