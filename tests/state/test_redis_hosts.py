"""A link to several servers: over TLS to every one of them, and while one that only tells the way hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from redis_servers import Cluster, Replicated, Server, cluster, redis_replicated, redis_server, replicated
from tcp_relay import Relay
from test_redis_link import Bench, fails_over, run, survives_a_master

from siphon.state.redis.connect import MOST_TIMES, Patience, Unusable
from siphon.state.redis.lane import CONNECT_SECS
from siphon.state.redis.script import Value

__all__ = ["redis_replicated", "redis_server"]

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A handshake that fails, or ends with its server, in asyncio."""


@pytest.fixture
def tls_replicated() -> Iterator[Replicated]:
    with replicated(tls=True) as made:
        yield made


@pytest.fixture
def tls_cluster() -> Iterator[Cluster]:
    with cluster(tls=True) as made:
        yield made


def test_over_tls_the_link_follows_the_master_that_the_sentinels_choose(tls_replicated: Replicated) -> None:
    assert tls_replicated.url.startswith("rediss+sentinel://")
    run(tls_replicated.url, lambda bench: fails_over(bench, tls_replicated), timeout=1)


def test_sentinels_whose_certificate_nobody_vouches_for_are_not_believed(tls_replicated: Replicated) -> None:
    async def unknown(bench: Bench) -> None:
        await bench.until(lambda: "certificate" in bench.link.why().lower())  # before, one may have been too late
        assert not bench.link.is_up()

    run(tls_replicated.url.partition("?")[0], unknown, timeout=1, up=False)


def test_over_tls_all_partitions_of_a_cluster_are_served_also_when_a_master_dies(tls_cluster: Cluster) -> None:
    assert tls_cluster.url.startswith("rediss+cluster://")
    run(tls_cluster.url, lambda bench: survives_a_master(bench, tls_cluster), timeout=1)


def test_a_sentinel_that_hangs_is_passed_over_at_start_and_at_a_failover(redis_replicated: Replicated) -> None:
    """The first of the URL: asked before the others, it accepts connections and says nothing."""
    url, hung = redis_replicated.url, redis_replicated.sentinels[0]
    hung.freeze()
    rest = Replicated(redis_replicated.servers, redis_replicated.sentinels[1:])
    try:
        run(url, lambda bench: fails_over(bench, rest), timeout=1)
    finally:
        hung.thaw()


def test_sentinels_that_all_hang_change_nothing_for_a_link_that_is_up(redis_replicated: Replicated) -> None:
    async def test(bench: Bench) -> None:
        for sentinel in redis_replicated.sentinels:
            sentinel.freeze()
        bench.lines.clear()
        began = time.monotonic()
        while time.monotonic() - began < 3:
            assert isinstance(await bench.set(0, b"served"), Value)
            await asyncio.sleep(0.1)
        assert bench.events() == []

    try:
        run(redis_replicated.url, test)
    finally:
        for sentinel in redis_replicated.sentinels:
            sentinel.thaw()


def test_an_attempt_that_took_too_long_is_given_more_time_and_one_that_went_well_ends_that() -> None:
    patience = Patience()
    for error in (Unusable("refused"), ConnectionError()):
        patience.ended(error)
    assert patience.times == 1
    for error in (TimeoutError(), Unusable("a Sentinel: no answer in time", late=True), TimeoutError(), TimeoutError()):
        patience.ended(error)
    assert patience.times == MOST_TIMES
    patience.ended(None)
    assert patience.times == 1


def test_a_server_that_takes_longer_than_an_attempt_has_at_first_is_reached(redis_server: Server) -> None:
    """As over TLS on a busy machine, where every attempt was cut off."""

    async def test(bench: Bench) -> None:
        began = time.monotonic()
        await bench.until(bench.link.is_up, 120)
        assert time.monotonic() - began > CONNECT_SECS + limit

    limit = 0.5
    with Relay(redis_server.port) as relay:
        relay.delay = 0.11
        run(f"redis://127.0.0.1:{relay.port}", test, timeout=limit, up=False)
