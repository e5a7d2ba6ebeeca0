"""Messages near a limit: what was let in can be answered, whatever our own lines add to it."""

from collections.abc import Callable

import pytest

from siphon.sip.message import ParseLimits, SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]

FORK = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.fork(["sip:127.0.0.2:5090", "sip:127.0.0.2:5091"])
"""

REWRITE = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.set_body("y" * 1500, "application/sdp")
    request.fork([f"sip:127.0.0.2:{5090 + number}" for number in range(10)])
"""


class Large(Agent):
    """A user agent without limits of its own."""

    def receive(self, data: bytes) -> None:
        self.inbox.append(parse(data, ParseLimits(65535, 65535, 1024, 1024)))


def parties(world: World) -> tuple[Agent, Agent]:
    callee = world.agents[("127.0.0.2", 5090)] = Large(world, "127.0.0.2", 5090)
    caller = world.agents[("192.0.2.1", 5060)] = Large(world, "192.0.2.1", 5060)
    return caller, callee


def invite(world: World, headers: str = "", body: str = "") -> tuple[Agent, Agent, SipMessage]:
    caller, callee = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", branch="z9hG4bK-one", headers=headers, body=body))
    return caller, callee, callee.inbox[0]


@pytest.mark.parametrize("headers", ["Via: SIP/2.0/UDP a.b;branch=z9hG4bKx\n" * 69, "X: y\n" * 248])
def test_parse_14_a_request_at_the_limits_can_be_answered(world: World, headers: str) -> None:
    caller, callee, seen = invite(world, headers)
    callee.answer(seen, 180)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 180, 486]
    assert callee.requests == ["INVITE", "ACK"]


@pytest.mark.parametrize("headers", ["Via: SIP/2.0/UDP a.b;branch=z9hG4bKx\n" * 69, "X: y\n" * 248])
def test_parse_14_a_request_at_the_limits_can_be_cancelled(world: World, headers: str) -> None:
    caller, callee, seen = invite(world, headers)
    callee.answer(seen, 180)
    caller.send(caller.request("CANCEL", "sip:bob@example.com", branch="z9hG4bK-one"))
    assert callee.requests == ["INVITE", "CANCEL"]


def test_nat_09_a_copy_that_no_datagram_holds_gets_513(make_world: Make) -> None:
    world = make_world(shared={"record_bytes": 200_000})
    caller, callee = parties(world)
    text = caller.request("INVITE", "sip:bob@example.com", body="x" * 65_000)
    caller.send(text)
    assert callee.requests == ["INVITE"] and callee.last.body == b"x" * 65_000
    caller.send(caller.request("INVITE", "sip:bob@example.com", body="x" * 65_050))
    assert caller.statuses == [100, 100, 513] and callee.requests == ["INVITE"]


def test_nat_09_a_copy_of_65507_bytes_leaves_and_one_byte_more_gets_513(make_world: Make) -> None:
    world = make_world(shared={"record_bytes": 200_000})
    caller, callee = parties(world)
    caller.send(caller.request("MESSAGE", "sip:bob@example.com", call_id="c1", body="x" * 65_000))
    around = len(callee.last.raw) - 65_000
    callee.take()
    for number, size in enumerate((65_507, 65_508), 2):
        body = "x" * (size - around)
        caller.send(caller.request("MESSAGE", "sip:bob@example.com", call_id=f"c{number}", body=body))
    assert [len(message.raw) for message in callee.inbox] == [65_507]
    assert caller.statuses == [513]


def test_shared_37_large_provisionals_and_answers_pass_whole(world: World) -> None:
    caller, callee, seen = invite(world)
    callee.answer(seen, 183, body=b"x" * 60_000)
    callee.answer(seen, 200, body=b"y" * 60_000)
    assert caller.statuses == [100, 183, 200]
    assert [len(m.body) for m in caller.inbox] == [0, 60_000, 60_000]


def test_shared_37_a_large_failure_passes_and_its_repeats_have_no_body(world: World) -> None:
    caller, callee, seen = invite(world)
    callee.answer(seen, 486, headers=[("Content-Type", "text/plain")], body=b"x" * 60_000)
    world.advance(1)
    assert caller.statuses == [100, 486, 486]
    assert [len(m.body) for m in caller.inbox] == [0, 60_000, 0]
    assert caller.last.content_length == 0 and not caller.last.has("Content-Type")


def test_shared_37_a_large_failure_keeps_its_challenge_while_others_ring(make_world: Make) -> None:
    world = make_world(FORK)
    other = world.agent("127.0.0.2", 5091)
    caller, callee, seen = invite(world)
    callee.answer(seen, 401, headers=[("WWW-Authenticate", 'Digest realm="a", nonce="b"')], body=b"x" * 60_000)
    other.answer(other.last, 486)
    assert caller.statuses == [100, 401]
    assert caller.last.first("WWW-Authenticate") == b'Digest realm="a", nonce="b"'


def test_shared_37_a_fork_of_ten_with_a_rewritten_body_fits_into_a_record(make_world: Make) -> None:
    world = make_world(REWRITE)
    caller, _ = parties(world)
    caller.send(caller.request("INVITE", "sip:bob@example.com", body="x" * 1500))
    for worker in world.workers:
        worker.errors.clear()
    assert caller.statuses == [100]


GROW = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.set_header("X-Added", "z" * int(request.get_header("X-Grow")))
    request.relay("sip:127.0.0.2:5090")
"""


def test_shared_37_a_request_that_fits_but_for_what_the_handlers_add_gets_513(make_world: Make) -> None:
    world = make_world(GROW)
    caller, callee = parties(world)
    filler = "X: " + "y" * 7000 + "\nX: " + "y" * 6000
    for branch, grow in (("one", 3000), ("two", 500)):
        text = caller.request("INVITE", "sip:bob@example.com", branch=f"z9hG4bK-{branch}", headers=filler)
        caller.send(text.replace("X: y", f"X-Grow: {grow}\nX: y", 1))
    assert caller.statuses == [513, 100] and callee.requests == ["INVITE"]
    assert not [error for worker in world.workers for error in worker.errors]


def test_parse_14_limits_that_were_raised_hold_for_the_whole_transaction(world: World) -> None:
    for worker in world.workers:
        worker.ingest.limits = ParseLimits(headers=500, line_bytes=12000)
    caller, callee, seen = invite(world, "X: y\n" * 400 + "Y: " + "y" * 9000)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 486] and callee.requests == ["INVITE", "ACK"]
