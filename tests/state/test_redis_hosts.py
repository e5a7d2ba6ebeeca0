"""A link to several servers: over TLS to every one of them, and while one that only tells the way hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from redis_servers import Cluster, Replicated, cluster, redis_replicated, replicated
from test_redis_link import Bench, run

from siphon.state.redis.names import PARTITIONS, slot
from siphon.state.redis.script import Value

__all__ = ["redis_replicated"]

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


async def fails_over(bench: Bench, servers: Replicated) -> None:
    assert isinstance(await bench.set(0, b"kept"), Value)
    before = bench.link.run_id(0)
    replica = await asyncio.to_thread(servers.replica)
    await bench.until(lambda: replica.client().dbsize() == 1)
    (await asyncio.to_thread(servers.master)).kill()
    await bench.until(lambda: bench.link.is_up() and bench.link.run_id(0) != before, 40)
    assert (await bench.get(0)).value == b"kept"


def test_over_tls_the_link_follows_the_master_that_the_sentinels_choose(tls_replicated: Replicated) -> None:
    assert tls_replicated.url.startswith("rediss+sentinel://")
    run(tls_replicated.url, lambda bench: fails_over(bench, tls_replicated), timeout=1)


def test_sentinels_whose_certificate_nobody_vouches_for_are_not_believed(tls_replicated: Replicated) -> None:
    async def unknown(bench: Bench) -> None:
        await bench.until(bench.lines.__len__)
        assert "certificate" in bench.link.why().lower() and not bench.link.is_up()

    run(tls_replicated.url.partition("?")[0], unknown, timeout=1, up=False)


def test_over_tls_all_partitions_of_a_cluster_are_served_also_when_a_master_dies(tls_cluster: Cluster) -> None:
    async def test(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.set(n, b"%d" % n) for n in range(PARTITIONS)))
        assert all(isinstance(answer, Value) for answer in answers)
        await bench.until(lambda: tls_cluster.copies() == PARTITIONS)
        tls_cluster.master_of(slot(0)).kill()
        await bench.until(lambda: not bench.link.is_up())
        await bench.until(bench.link.is_up, 40)
        values = [(await bench.get(n)).value for n in range(PARTITIONS)]
        assert values == [b"%d" % n for n in range(PARTITIONS)]

    assert tls_cluster.url.startswith("rediss+cluster://")
    run(tls_cluster.url, test, timeout=1)


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
        began = time.monotonic()
        while time.monotonic() - began < 3:
            assert isinstance(await bench.set(0, b"served"), Value)
            await asyncio.sleep(0.1)
        assert bench.events() == []

    try:
        run(redis_replicated.url, test, timeout=1)
    finally:
        for sentinel in redis_replicated.sentinels:
            sentinel.thaw()
