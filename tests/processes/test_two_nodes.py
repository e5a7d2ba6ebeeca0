"""Two nodes on one Redis, with one address that peers know: they behave as one (SHARED-28 to SHARED-34)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from nodes import (
    FAST,
    SCRIPT,
    Pair,
    answered,
    ask,
    came_from,
    down_lines,
    invite_of,
    make_pair,
    register_at,
    respond_to,
)
from proxy_process import Siphond, until
from redis_servers import Server, redis_server
from repeats import acknowledged, ended, still
from tcp_relay import Relay
from udp_agent import Agent, credentials, unique

from siphon.state.redis.client import NODES
from siphon.state.redis.names import Names

__all__ = ["redis_server"]

LEASES = Names().key(NODES, b"nodes", b"l")
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
RELIABLE = """
from siphon import proxy


@proxy.on_request
def route(request):
    if request.method == "OPTIONS":
        request.reply(200)
    elif request.method == "INVITE":
        if request.ruri.user == "tagged":
            request.set_reply_to_tag("mine")
        request.reply(183, "Progress", reliable=True)
    else:
        request.reply(481)
"""
Make = Callable[..., Siphond]
Agents = Callable[..., Agent]


def url_of(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def pair(redis_server: Server, siphond: Make, agent: Agents) -> Iterator[Pair]:
    yield make_pair(siphond, agent, url_of(redis_server))


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
    still(bob, 1)


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
    acknowledged(alice, invite, final)
    still(bob, 1)


def test_shared_31_a_failure_goes_up_from_the_node_that_got_it_and_its_ack_ends_it(pair: Pair) -> None:
    alice, bob, invite, called = pair.ringing()
    respond_to(bob, called, pair.b.address, 486)
    assert bob.expect("ACK").source == pair.b.address
    final = alice.expect("486 INVITE")
    alice.proxy = pair.a.address
    acknowledged(alice, invite, final)
    still(bob, 1)


@pytest.mark.parametrize("user", ["bob", "tagged"])
def test_shared_31_a_prack_ends_the_repeats_of_the_other_node(
    redis_server: Server, siphond: Make, agent: Agents, user: str
) -> None:
    pair = make_pair(siphond, agent, url_of(redis_server), a_script=RELIABLE)
    alice, _ = pair.phones()
    alice.send(alice.request("INVITE", f"sip:{user}@example.com", extra=["Supported: 100rel"]))
    early = alice.expect("183 INVITE")
    alice.proxy = pair.b.address
    alice.within(alice.dialog(early), "PRACK", extra=[f"RAck: {early['rseq']} 1 INVITE"])
    assert alice.expect("200 PRACK", but=("183 INVITE",)).source == pair.b.address
    ended(alice, early)


def test_shared_02_a_request_that_reaches_both_nodes_at_once_is_one_transaction(pair: Pair) -> None:
    alice, bob = pair.phones()
    for _ in range(20):
        invite = invite_of(alice, bob)
        alice.send(invite, to=pair.b.address)
        called = bob.expect("INVITE")
        respond_to(bob, called, pair.b.address, 486)
        bob.expect("ACK")
        alice.acknowledge(invite, alice.expect("486 INVITE"))
        vias = {message["via"] for message in bob.seen if message.is_a("INVITE")}
    assert len(vias) == 20


def test_shared_04_the_last_failures_at_both_nodes_give_one_final(pair: Pair) -> None:
    alice, bob = pair.phones()
    carol = pair.agent(pair.a, "carol")
    for _ in range(10):
        targets = f"X-Targets: {bob.uri},{carol.uri}"
        invite = alice.send(alice.request("INVITE", "sip:all@example.com", extra=[targets]))
        at_bob, at_carol = bob.expect("INVITE"), carol.expect("INVITE")
        respond_to(bob, at_bob, pair.a.address, 486)
        respond_to(carol, at_carol, pair.b.address, 500)
        final = alice.expect("486 INVITE")
        alice.acknowledge(invite, final)
        bob.expect("ACK")
        carol.expect("ACK")
    still(alice, 1)


def test_shared_09_a_nonce_of_one_node_is_good_at_the_other_and_its_count_once(pair: Pair) -> None:
    alice, _ = pair.phones()
    register = partial(register_at, alice, unique("reg-"))
    challenge = register(1, pair.a)["www-authenticate"]
    given = credentials(challenge, "alice", "secret", "REGISTER", "sip:example.com")
    assert register(2, pair.b, f"Authorization: {given}").status == 200
    again = register(3, pair.a, f"Authorization: {given}")
    assert again.status == 401 and "stale=true" in again["www-authenticate"]
    fresh = credentials(again["www-authenticate"], "alice", "secret", "REGISTER", "sip:example.com")
    assert register(4, pair.a, f"Authorization: {fresh}").status == 200
    assert register(5, pair.a, f"Authorization: {fresh}").status == 401


def test_shared_32_a_node_dies_while_the_callee_rings_and_the_other_finishes_the_call(pair: Pair) -> None:
    alice, bob = pair.phones()
    invite = invite_of(alice, bob)
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
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    """Timer A goes on with the same branch, Timer B ends it, and the caller gets one 408."""
    pair = make_pair(siphond, agent, url_of(redis_server), more=FAST)
    alice, bob = pair.phones()
    invite = invite_of(alice, bob)
    called = bob.expect("INVITE")
    pair.a.kill_all()
    until(came_from(bob, pair.b), 20, "an INVITE from the other")
    assert bob.seen[-1]["via"] == called["via"] and bob.seen[-1].raw == called.raw
    alice.proxy = pair.b.address
    final = alice.expect("408 INVITE", within=40)
    assert final.source == pair.b.address
    alice.acknowledge(invite, final)


def test_shared_32_a_node_that_dies_in_a_handler_leaves_the_request_to_the_other(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    pair = make_pair(siphond, agent, url_of(redis_server), a_script=SLOW)
    alice, bob = pair.phones()
    invite_of(alice, bob)
    alice.expect("100 INVITE", but=())
    pair.a.kill_all()
    assert bob.expect("INVITE", within=30).source == pair.b.address


def test_a_node_that_is_stopped_hands_its_calls_over_at_once(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    pair = make_pair(siphond, agent, url_of(redis_server), more=FAST)
    alice, bob = pair.phones()
    invite_of(alice, bob)
    bob.expect("INVITE")
    pair.a.stop()
    assert redis_server.client().zcard(LEASES) == 1, "its lease is gone, though it had not run out"
    until(came_from(bob, pair.b), 20, "an INVITE from the other")


def test_shared_33_a_node_cut_off_from_redis_refuses_and_comes_back(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    with Relay(redis_server.port) as relay:
        pair = make_pair(siphond, agent, url_of(redis_server), more=FAST, a_store=f"redis://127.0.0.1:{relay.port}")
        pair.a.tolerated = r"redis\.(down|up)"
        alice, bob = pair.phones()
        invite_of(alice, bob)
        bob.expect("INVITE")
        relay.parted = True
        refused = until(lambda: ask(alice, pair.a, 503), 20, "a 503")
        assert refused["retry-after"]
        carol = agent(pair.b, "carol")
        until(lambda: ask(carol, pair.b, 200), 20, "that the other serves")
        until(came_from(bob, pair.b), 20, "a take-over")
        late = list(bob.drain())
        assert all(message.source == pair.b.address for message in late), "it fired what the other has taken"
        relay.parted = False
        until(lambda: ask(alice, pair.a, 200), 30, "a ready")


def test_shared_33_a_node_that_was_stopped_fires_nothing_that_the_other_has_taken(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    pair = make_pair(siphond, agent, url_of(redis_server), more=FAST)
    pair.a.tolerated = "."
    alice, bob = pair.phones()
    invite = invite_of(alice, bob)
    bob.expect("INVITE")
    assert pair.a.process is not None
    os.killpg(pair.a.process.pid, signal.SIGSTOP)
    until(came_from(bob, pair.b), 20, "a take-over")
    os.killpg(pair.a.process.pid, signal.SIGCONT)
    until(lambda: ask(pair.agent(pair.a, "carol"), pair.a, 200), 30, "a ready")
    alice.proxy = pair.b.address
    final = alice.expect("408 INVITE", within=40)
    assert final.source == pair.b.address
    acknowledged(alice, invite, final)
    assert all(message.source == pair.b.address for message in bob.drain())


def test_shared_29_a_hung_redis_means_503_in_time_and_shared_30_it_comes_back(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    pair = make_pair(siphond, agent, url_of(redis_server))
    pair.a.tolerated = pair.b.tolerated = r"redis\.(down|up)"
    alice, bob, _invite, called = pair.ringing()
    redis_server.freeze()
    invite_of(alice, bob)
    alice.expect("503 INVITE")
    redis_server.thaw()
    until(lambda: ask(agent(pair.b, "carol"), pair.b, 200), 30, "b ready")
    until(lambda: ask(agent(pair.a, "carol"), pair.a, 200), 30, "a ready")
    answer = until(lambda: answered(alice, bob, called, pair.b), 30, "the 200, which its sender repeats")
    assert answer.source == pair.b.address


def test_shared_28_a_node_that_starts_without_redis_says_503_until_it_is_there(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    redis_server.kill()
    node = siphond(workers=2, script=SCRIPT, store=f"redis://127.0.0.1:{redis_server.port}")
    node.tolerated = r"redis\.down"
    node.launch()
    phone = agent(node, "alice")
    assert until(lambda: ask(phone, node, 503), 60, "a 503")["retry-after"]
    until(lambda: down_lines(node), 30, "a line in the log")
    time.sleep(1)
    assert len(down_lines(node)) == 1, "one line for all attempts"
    redis_server.start()
    until(lambda: ask(phone, node, 200), 30, "a 200")
