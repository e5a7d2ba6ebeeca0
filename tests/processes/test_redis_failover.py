"""Bindings in Redis when servers fail: every REGISTER gets a defined answer, and what got 200 is there afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from proxy_process import START_SECS, Siphond, until
from redis_nodes import on_redis
from redis_servers import (
    Cluster,
    Replicated,
    Server,
    cluster,
    redis_cluster,
    redis_replicated,
    redis_server,
    redis_tls,
    redis_with_password,
    replicated,
)
from sleeper import Sleeper
from test_redis_location import called, fetched, register, url_of
from udp_agent import Agent

from siphon.state.redis.names import slot

__all__ = ["redis_cluster", "redis_replicated", "redis_server", "redis_tls", "redis_with_password"]

Nodes = Callable[..., Siphond]
Agents = Callable[..., Agent]


def registered_through(phones: list[Agent], kill: Callable[[], None], sleeper: Sleeper) -> dict[str, int]:
    """REGISTERs of all phones one after another, the servers failing after the first third; status by user."""
    statuses = registered(phones[: len(phones) // 3])
    kill()
    for phone in phones[len(phones) // 3 :]:
        asked, since = time.monotonic(), time.time()
        statuses[phone.user] = register(phone, within=60).status
        assert time.monotonic() - asked < 10 + sleeper.slack(since), "an answer in time"
        if statuses[phone.user] != 200:
            time.sleep(0.1)
    return statuses


def registered(phones: list[Agent]) -> dict[str, int]:
    """All of them, while no server fails: one that is only not run for a while may refuse a phone at first."""
    for phone in phones:
        until(lambda phone=phone: register(phone).status == 200, 30, phone.user)  # type: ignore[misc]
    return {phone.user: 200 for phone in phones}


def test_shared_30_after_a_failover_by_sentinel_nothing_that_got_200_is_missing(
    siphond: Nodes, agent: Agents, redis_replicated: Replicated, sleeper: Sleeper
) -> None:
    url = redis_replicated.url + "?wait=1"
    a, b = (on_redis(siphond, url, timeout_ms=2000).start() for _ in range(2))
    phones = [agent(a, f"user{number}") for number in range(60)]
    statuses = registered_through(phones, lambda: redis_replicated.master().kill(), sleeper)
    assert set(statuses.values()) <= {200, 500}
    confirmed = [phone for phone in phones if statuses[phone.user] == 200]
    assert len(confirmed) >= 20
    # The one server that is left has no replica: with wait=1 nothing more is confirmed, but all can be read.
    # A Sentinel that was not run for two seconds judges nobody for the next thirty.
    until(lambda: "redis.up" in b.log(), 90, "the new master")
    caller = agent(b, "caller")
    for phone in confirmed:
        until(lambda phone=phone: called(caller, phone) == "reached", 60, phone.user)  # type: ignore[misc]
    assert register(phones[0]).status == 500, "one replica is wanted and there is none"


def test_shared_30_after_a_master_of_a_cluster_died_nothing_that_got_200_is_missing(
    siphond: Nodes, agent: Agents, redis_cluster: Cluster, sleeper: Sleeper
) -> None:
    a, b = (on_redis(siphond, redis_cluster.url, timeout_ms=2000).start() for _ in range(2))
    phones = [agent(a, f"user{number}") for number in range(60)]
    early = registered(phones[:20])

    def kill() -> None:
        redis_cluster.until_replicated()  # or what had got 200 could be lost, as the docs say
        redis_cluster.master_of(slot(0)).kill()

    statuses = early | registered_through(phones[20:], kill, sleeper)
    assert set(statuses.values()) <= {200, 500}
    until(lambda: all(register(phone).status == 200 for phone in phones[:12]), 90, "all partitions again")
    caller = agent(b, "caller")
    for phone in phones:
        if statuses[phone.user] == 200:
            until(lambda phone=phone: called(caller, phone) == "reached", 60, phone.user)  # type: ignore[misc]


def test_a_redis_with_password_and_one_with_tls_serve(
    siphond: Nodes, agent: Agents, redis_with_password: Server, redis_tls: tuple[Server, Path]
) -> None:
    server, certificate = redis_tls
    urls = [
        f"redis://:s3cret-word@127.0.0.1:{redis_with_password.port}",
        f"rediss://127.0.0.1:{server.port}?ca={certificate}",
    ]
    for url in urls:
        node = on_redis(siphond, url, timeout_ms=3000).start()
        bob = agent(node, "bob")
        until(lambda bob=bob: register(bob).status == 200, 30, "a REGISTER")  # type: ignore[misc]
        assert fetched(bob) == [bob.uri]
        assert called(agent(node, "caller"), bob) == "reached"
        shown = node.log() + node.control("status").stdout + node.control("status", "--json").stdout
        assert "s3cret-word" not in shown


@pytest.mark.parametrize("several", [replicated, cluster])
def test_sentinels_and_a_cluster_with_tls_serve_bindings_and_transactions(
    siphond: Nodes, agent: Agents, several: Callable[..., AbstractContextManager[Replicated | Cluster]]
) -> None:
    with several(tls=True) as servers:
        assert servers.url.startswith("rediss+")
        node = on_redis(siphond, servers.url, timeout_ms=4000, store=servers.url).start()
        bob, caller = agent(node, "bob"), agent(node, "caller")
        until(lambda: register(bob).status == 200, 30, "a REGISTER: the worker's own link begins with handshakes")
        until(lambda: called(caller, bob) == "reached", 30, "a call")
        node.stop()


def test_sec_17_damaged_bytes_in_redis_are_refused_and_replaced(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    node = on_redis(siphond, url_of(redis_server)).start()
    node.tolerated += "|mirror.damaged_record|mirror.unreadable"
    bob, caller = agent(node, "bob"), agent(node, "caller")
    assert register(bob).status == 200
    store = redis_server.client()
    (key,) = store.keys("*:r:*")
    store.hset(key, "d", b"\xc7\xff\x00cos\nsystem\n(S'true'\ntR.")
    assert fetched(agent(node, "bob")) == [], "what cannot be read is not there"
    assert called(caller, bob) == "reached", "the mirror has what it had"
    for stream in store.keys("*:s"):
        store.xadd(stream, {"k": b"zz", "d": b"\xff", "n": b"", "e": b"99999"}, id="9-9")
    assert register(bob).status == 200
    assert fetched(bob) == [bob.uri]
    until(lambda: called(caller, bob) == "reached", 30, "the binding")
    assert node.restarts() == 0


def test_a_node_of_another_layout_refuses_to_start_and_names_both(siphond: Nodes, redis_server: Server) -> None:
    redis_server.client().set("siphon:{s00}:layout", "99")
    node = on_redis(siphond, url_of(redis_server))
    process = node.launch()
    assert process.wait(START_SECS) != 0
    assert "layout 99" in node.log() and "layout 1" in node.log()
