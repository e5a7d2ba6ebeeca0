"""Two nodes on one Redis, with one address that peers know: they behave as one (SHARED-31 to SHARED-34)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from proxy_process import Siphond, free_port, until
from redis_servers import Server, redis_server
from redis_wire import Wire
from udp_agent import Address, Agent, Message

from siphon.state.redis.client import NODES
from siphon.state.redis.names import Names

__all__ = ["redis_server"]

SCRIPT = Path(__file__).with_name("wire_script.py")
SLOW = """
import asyncio

from siphon import proxy


@proxy.on_request
async def route(request):
    if request.method == "OPTIONS":
        request.reply(200)
        return
    await asyncio.sleep(60)
    request.fork([request.get_header("X-Targets")])
"""
FIRST = 'advertised_address = "127.0.0.1"\n'


@dataclass
class Pair:
    """Nodes a and b. What peers send goes to either of their addresses, as a shared address would be routed."""

    a: Siphond
    b: Siphond
    agent: Callable[..., Agent]

    def phones(self) -> tuple[Agent, Agent]:
        """Caller and callee; the caller sends to a until the test says otherwise."""
        return self.agent(self.a, "alice"), self.agent(self.a, "bob")

    def ringing(self) -> tuple[Agent, Agent, bytes, Message]:
        """A call that entered at a, and whose 180 went back through b."""
        alice, bob = self.phones()
        invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
        called = bob.expect("INVITE")
        assert called.source == self.a.address
        respond_to(bob, called, self.b.address, 180)
        ringing = alice.expect("180 INVITE")
        assert ringing.source == self.b.address
        return alice, bob, invite, called


def ask(agent: Agent, node: Siphond, status: int) -> Message | None:
    """The answer to an OPTIONS if it has that status."""
    agent.send(agent.request("OPTIONS", "sip:example.com"), to=node.address)
    answer = agent.receive(0.2)
    return answer if answer is not None and answer.is_a(f"{status} OPTIONS") else None


def down_lines(node: Siphond) -> list[str]:
    return [line for line in node.log().splitlines() if " w1 " in line and "redis.down" in line]


def respond_to(agent: Agent, request: Message, node: Address, status: int) -> None:
    """A response by way of a node that need not be the one that sent the request."""
    agent.respond(Message(request.start, request.headers, request.body, request.raw, node), status, tag="callee")


@pytest.fixture
def pair(redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]) -> Iterator[Pair]:
    yield make_pair(siphond, agent, redis_server)


def make_pair(
    siphond: Any, agent: Any, server: Server, more: str = "", a_store: str = "", a_script: Path | str = SCRIPT
) -> Pair:
    port = free_port()
    store = f"redis://127.0.0.1:{server.port}"

    def node(ip: str, **options: Any) -> Siphond:
        made: Siphond = siphond(workers=2, first=FIRST, more=more, port=port, ip=ip, listen=f'"{ip}:{port}"', **options)
        return made.start()

    a = node("127.0.0.2", store=a_store or store, script=a_script)
    return Pair(a, node("127.0.0.3", store=store, script=SCRIPT), agent)


def test_shared_31_a_call_that_enters_at_one_node_is_answered_through_the_other(pair: Pair) -> None:
    alice, bob, invite, called = pair.ringing()
    alice.send(invite, to=pair.b.address)
    assert alice.expect("180 INVITE").source == pair.b.address
    respond_to(bob, called, pair.b.address, 200)
    answer = alice.expect("200 INVITE")
    assert answer.source == pair.b.address
    alice.proxy = pair.b.address
    dialog = alice.dialog(answer)
    alice.within(dialog, "ACK")
    assert bob.expect("ACK").source == pair.b.address
    alice.proxy = pair.a.address
    alice.within(dialog, "BYE")
    bye = bob.expect("BYE")
    assert bye.source == pair.a.address
    respond_to(bob, bye, pair.b.address, 200)
    assert alice.expect("200 BYE").source == pair.b.address
    alice.silence(1)
    bob.silence(1)


def test_shared_31_a_call_is_cancelled_at_the_other_node(pair: Pair) -> None:
    alice, bob, invite, called = pair.ringing()
    alice.proxy = pair.b.address
    alice.cancel(invite)
    alice.expect("200 CANCEL")
    cancel = bob.expect("CANCEL")
    assert cancel.source == pair.b.address and cancel["via"] == called["via"]
    respond_to(bob, cancel, pair.a.address, 200)
    respond_to(bob, called, pair.a.address, 487)
    assert bob.expect("ACK", but=("CANCEL",)).source == pair.a.address
    final = alice.expect("487 INVITE")
    alice.proxy = pair.b.address
    alice.acknowledge(invite, final)
    alice.silence(2)
    bob.silence(1)


def test_shared_31_a_failure_goes_up_from_the_node_that_got_it_and_its_ack_ends_it(pair: Pair) -> None:
    alice, bob, invite, called = pair.ringing()
    respond_to(bob, called, pair.b.address, 486)
    assert bob.expect("ACK").source == pair.b.address
    final = alice.expect("486 INVITE")
    alice.proxy = pair.a.address
    alice.acknowledge(invite, final)
    alice.silence(2)
    bob.silence(1)


LEASES = Names().key(NODES, b"nodes", b"l")
FAST = "\n[transaction]\nt1 = 0.1\nt2 = 0.8\nt4 = 1.0\n"


def test_shared_32_a_node_dies_while_the_callee_rings_and_the_other_finishes_the_call(pair: Pair) -> None:
    alice, bob = pair.phones()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
    called = bob.expect("INVITE")
    respond_to(bob, called, pair.a.address, 180)
    alice.expect("180 INVITE")
    pair.a.kill_all()
    alice.proxy = pair.b.address
    alice.send(invite)
    assert alice.expect("180 INVITE").source == pair.b.address
    respond_to(bob, called, pair.b.address, 200)
    answer = alice.expect("200 INVITE")
    dialog = alice.dialog(answer)
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    alice.within(dialog, "BYE")
    respond_to(bob, bob.expect("BYE"), pair.b.address, 200)
    alice.expect("200 BYE")


def test_shared_32_a_node_dies_and_the_other_goes_on_with_its_timers(
    redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]
) -> None:
    """Timer A goes on with the same branch, Timer B ends it, and the caller gets one 408."""
    pair = make_pair(siphond, agent, redis_server, more=FAST)
    alice, bob = pair.phones()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
    called = bob.expect("INVITE")
    pair.a.kill_all()
    until(lambda: (m := bob.receive(0.1)) is not None and m.source == pair.b.address, 15, "an INVITE from the other")
    assert bob.seen[-1]["via"] == called["via"] and bob.seen[-1].raw == called.raw
    alice.proxy = pair.b.address
    final = alice.expect("408 INVITE", within=15)
    assert final.source == pair.b.address
    alice.acknowledge(invite, final)


def test_shared_32_a_node_that_dies_in_a_handler_leaves_the_request_to_the_other(
    redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]
) -> None:
    pair = make_pair(siphond, agent, redis_server, a_script=SLOW)
    alice, bob = pair.phones()
    alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
    alice.expect("100 INVITE", but=())
    pair.a.kill_all()
    assert bob.expect("INVITE", within=15).source == pair.b.address


def test_a_node_that_is_stopped_hands_its_calls_over_at_once(
    redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]
) -> None:
    pair = make_pair(siphond, agent, redis_server, more=FAST)
    alice, bob = pair.phones()
    alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
    bob.expect("INVITE")
    pair.a.stop()
    assert redis_server.client().zcard(LEASES) == 1, "its lease is gone, though it had not run out"
    until(lambda: (m := bob.receive(0.1)) is not None and m.source == pair.b.address, 15, "an INVITE from the other")


def test_shared_33_a_node_cut_off_from_redis_refuses_and_comes_back(
    redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]
) -> None:
    with Wire(redis_server.port) as wire:
        pair = make_pair(siphond, agent, redis_server, more=FAST, a_store=f"redis://127.0.0.1:{wire.port}")
        pair.a.tolerated = r"redis\.(down|up)"
        alice, bob = pair.phones()
        alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
        bob.expect("INVITE")
        wire.cut()
        refused = until(lambda: ask(alice, pair.a, 503), 5, "a 503")
        assert refused["retry-after"]
        carol = agent(pair.b, "carol")
        assert ask(carol, pair.b, 200)
        until(lambda: (m := bob.receive(0.1)) is not None and m.source == pair.b.address, 15, "a take-over")
        late = list(bob.drain())
        assert all(message.source == pair.b.address for message in late), "it fired what the other has taken"
        wire.mend()
        at = time.monotonic()
        until(lambda: ask(alice, pair.a, 200), 10, "a ready")
        assert time.monotonic() - at < 6


def test_shared_29_a_hung_redis_means_503_in_time_and_shared_30_it_comes_back(
    redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]
) -> None:
    pair = make_pair(siphond, agent, redis_server)
    pair.a.tolerated = pair.b.tolerated = r"redis\.(down|up)"
    alice, bob, _invite, called = pair.ringing()
    redis_server.freeze()
    at = time.monotonic()
    alice.send(alice.request("INVITE", "sip:bob@example.com", extra=[f"X-Targets: {bob.uri}"]))
    alice.expect("503 INVITE", within=3)
    assert time.monotonic() - at < 2
    redis_server.thaw()
    at = time.monotonic()
    until(lambda: ask(agent(pair.b, "carol"), pair.b, 200), 10, "b ready")
    until(lambda: ask(agent(pair.a, "carol"), pair.a, 200), 10, "a ready")
    assert time.monotonic() - at < 6
    respond_to(bob, called, pair.b.address, 200)
    assert alice.expect("200 INVITE", but=("503 INVITE",)).source == pair.b.address


def test_shared_28_a_node_that_starts_without_redis_says_503_until_it_is_there(
    redis_server: Server, siphond: Callable[..., Siphond], agent: Callable[..., Agent]
) -> None:
    redis_server.kill()
    node = siphond(workers=2, script=SCRIPT, store=f"redis://127.0.0.1:{redis_server.port}")
    node.tolerated = r"redis\.down"
    node.launch()
    phone = agent(node, "alice")
    assert until(lambda: ask(phone, node, 503), 20, "a 503")["retry-after"]
    until(lambda: down_lines(node), 10, "a line in the log")
    time.sleep(1)
    assert len(down_lines(node)) == 1, "one line for all attempts"
    redis_server.start()
    until(lambda: ask(phone, node, 200), 10, "a 200")
