"""Transactions in a Redis that refuses connections, comes back empty, or is slow (SHARED-29, SHARED-30)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from nodes import SCRIPT, ask, invite_of, limit, make_pair, respond_to
from proxy_process import Siphond, until
from redis_servers import Server, redis_server
from tcp_relay import Relay
from udp_agent import Agent

__all__ = ["redis_server"]

Make = Callable[..., Siphond]
Agents = Callable[..., Agent]
DOWN_AND_UP = r"redis\.(down|up)"
ASKED = ("200 OPTIONS", "503 OPTIONS")
"""Late answers to ask()."""


def test_shared_29_a_redis_that_refuses_means_503_at_once_and_shared_30_an_empty_one_serves_new_calls(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    """The calls in setup are lost with it: their CANCEL is told so, and what the callee says leads nowhere."""
    pair = make_pair(siphond, agent, f"redis://127.0.0.1:{redis_server.port}")
    pair.a.tolerated = pair.b.tolerated = DOWN_AND_UP
    alice, bob, invite, called = pair.ringing()
    redis_server.kill()
    carol = agent(pair.a, "carol")
    for node in (pair.a, pair.b):
        refused = until(lambda node=node: ask(carol, node, 503), 30, "a 503")
        assert refused["retry-after"]
    invite_of(carol, bob)
    carol.expect("503 INVITE", but=("100 INVITE", *ASKED))  # not after timer B
    redis_server.start()
    caller, callee = agent(pair.a, "erin"), agent(pair.a, "frank")
    for phone in (alice, bob, caller, callee):  # each has one worker of a node, which has its own connection
        for node in (pair.a, pair.b):
            until(lambda phone=phone, node=node: ask(phone, node, 200), 30, "new work")
    agreed = [f"siphon:{{s00}}:{what}" for what in ("layout", "secret")]
    until(lambda: redis_server.client().exists(*agreed) == 2, 30, "what a new node must agree with")

    alice.cancel(invite)
    assert alice.answer_to("1 CANCEL").status == 481
    respond_to(bob, called, pair.b.address, 486)
    invite_of(caller, callee)
    respond_to(callee, callee.expect("INVITE", but=ASKED), pair.b.address, 200)
    dialog = caller.dialog(caller.expect("200 INVITE", but=("100 INVITE", *ASKED)))
    caller.within(dialog, "ACK")
    callee.expect("ACK", but=ASKED)
    assert not [message for message in alice.drain() if message.is_a("486 INVITE")]
    assert pair.a.restarts() == pair.b.restarts() == 0


def test_an_instance_whose_redis_is_away_is_not_ready_until_it_is_back(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    node = siphond(workers=2, script=SCRIPT, store=f"redis://127.0.0.1:{redis_server.port}").start()
    node.tolerated = DOWN_AND_UP

    def ready() -> tuple[int, list[str]]:
        done = node.control("ready", "--json")
        return done.returncode, json.loads(done.stdout)["reasons"]

    until(lambda: ready() == (0, []), 30, "all processes")
    redis_server.freeze()
    until(lambda: ready() == (1, ["shared_state"]), 30, "not ready")
    assert until(lambda: ask(agent(node, "carol"), node, 503), 30, "a 503")
    redis_server.thaw()
    until(lambda: ready() == (0, []), 30, "ready again")
    until(lambda: ask(agent(node, "dave"), node, 200), 30, "new work")


def test_shared_29_over_a_redis_that_takes_200_ms_a_call_is_late_and_whole(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    """Each step takes a round trip or two; nothing fails, nothing is overtaken, and Redis does not count as away."""
    with Relay(redis_server.port) as relay:
        node = siphond(workers=2, script=SCRIPT, store=f"redis://127.0.0.1:{relay.port}")
        limit(node, 3000)
        node.start()
        alice, bob = agent(node, "alice"), agent(node, "bob")
        relay.delay = 0.1  # each way
        asked = time.monotonic()
        invite_of(alice, bob)
        called = bob.expect("INVITE", within=15)
        assert time.monotonic() - asked > 0.2, "the call has not waited for Redis"
        for status in (180, 200):
            respond_to(bob, called, node.address, status)
        alice.expect("180 INVITE", within=15)
        dialog = alice.dialog(alice.expect("200 INVITE", within=15, but=("100 INVITE", "180 INVITE")))
        alice.within(dialog, "ACK")
        bob.expect("ACK", within=15)
        alice.within(dialog, "BYE")
        respond_to(bob, bob.expect("BYE", within=15), node.address, 200)
        assert alice.answer_to("2 BYE", 15).status == 200
        assert "redis.down" not in node.log()
        assert node.restarts() == 0
        node.tolerated = DOWN_AND_UP  # the relay ends first
