"""Calls over a Cluster, over a master that fails, and over a Redis whose bytes somebody changes."""

from __future__ import annotations

import os
from collections.abc import Callable

from nodes import answered, ask, invite_of, make_pair, respond_to
from proxy_process import Siphond, until
from redis_servers import Cluster, Replicated, Server, redis_cluster, redis_replicated, redis_server
from udp_agent import Agent

__all__ = ["redis_cluster", "redis_replicated", "redis_server"]

Make = Callable[..., Siphond]
Agents = Callable[..., Agent]


def test_shared_31_two_nodes_share_their_calls_over_a_cluster(
    redis_cluster: Cluster, siphond: Make, agent: Agents
) -> None:
    pair = make_pair(siphond, agent, redis_cluster.url)
    for _ in range(5):  # of different partitions
        alice, bob, invite, called = pair.ringing()
        respond_to(bob, called, pair.b.address, 486)
        bob.expect("ACK")
        final = alice.expect("486 INVITE")
        assert final.source == pair.b.address
        alice.acknowledge(invite, final)


def test_shared_30_a_call_outlives_the_failover_of_its_redis(
    redis_replicated: Replicated, siphond: Make, agent: Agents
) -> None:
    pair = make_pair(siphond, agent, redis_replicated.url)
    pair.a.tolerated = pair.b.tolerated = r"redis\.(down|up)"
    alice, bob, _invite, called = pair.ringing()
    redis_replicated.master().kill()
    until(lambda: not ask(agent(pair.b, "carol"), pair.b, 200), 20, "the loss of the master")
    # A Sentinel that was not run for two seconds judges nobody for the next thirty.
    until(lambda: ask(agent(pair.b, "carol"), pair.b, 200), 90, "another master")
    answer = until(lambda: answered(alice, bob, called, pair.b), 30, "the 200, which its sender repeats")
    alice.within(alice.dialog(answer), "ACK")
    bob.expect("ACK", but=("INVITE",))


def test_sec_17_random_bytes_in_redis_end_no_worker_and_are_counted(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    node = siphond(workers=2, store=f"redis://127.0.0.1:{redis_server.port}", script=CALLED).start()
    node.tolerated = r"bad_record|script"
    redis = redis_server.client()
    alice, bob = agent(node, "alice"), agent(node, "bob")
    for number in range(12):
        invite_of(alice, bob)
        called = bob.expect("INVITE")
        for name in redis.keys("*}:t:*"):
            whole = redis.get(name)
            at = os.urandom(1)[0] % len(whole) if number % 3 else len(whole) * number // 13
            redis.set(name, os.urandom(200) if number % 4 == 0 else whole[:at] + os.urandom(20) + whole[at + 20 :])
        respond_to(bob, called, node.address, 200)
    for name in redis.keys("*}:n:*") + redis.keys("*nodes*"):
        redis.delete(name)
        redis.set(name, os.urandom(40))
    until(lambda: node.status()["counters"]["bad_records"] >= 8, 30, "the count")
    assert node.restarts() == 0


CALLED = """
from siphon import proxy


@proxy.on_request
def route(request):
    if request.method == "OPTIONS":
        request.reply(200)
    else:
        request.fork([request.get_header("X-Targets")])
"""


def test_shared_31_a_phone_that_registered_at_one_node_is_called_through_the_other(
    redis_server: Server, siphond: Make, agent: Agents
) -> None:
    """Bindings and transactions both in Redis."""
    url = f"redis://127.0.0.1:{redis_server.port}"
    more = f'\n[registrar]\nbackend = "redis"\n\n[registrar.redis]\nurl = "{url}"\n'
    pair = make_pair(siphond, agent, url, more=more)
    alice, bob = agent(pair.b, "alice"), agent(pair.a, "bob")
    assert bob.register().status == 200
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    called = bob.expect("INVITE")
    assert called.source == pair.b.address
    respond_to(bob, called, pair.a.address, 200)
    answer = alice.expect("200 INVITE")
    assert answer.source == pair.a.address
    alice.within(alice.dialog(answer), "ACK")
    bob.expect("ACK")
