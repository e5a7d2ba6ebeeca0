"""Messages near a limit: what was let in can be answered, whatever our own lines add to it."""

from collections.abc import Callable

import pytest

from siphon.sip.message import ParseLimits, SipMessage, parse
from siphon.testing.agent import Agent
from siphon.testing.world import World

Make = Callable[..., World]


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


def test_parse_14_limits_that_were_raised_hold_for_the_whole_transaction(world: World) -> None:
    for worker in world.workers:
        worker.ingest.limits = ParseLimits(headers=500, line_bytes=12000)
    caller, callee, seen = invite(world, "X: y\n" * 400 + "Y: " + "y" * 9000)
    callee.answer(seen, 486)
    assert caller.statuses == [100, 486] and callee.requests == ["INVITE", "ACK"]
