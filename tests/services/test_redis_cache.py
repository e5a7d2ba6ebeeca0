"""Caches in a real Redis: what is promised while it is there, and while it is not."""

import asyncio
import time

from redis_servers import calm_cluster, redis_replicated, redis_server, redis_tls, redis_with_password

from siphon.config.redis_url import parse_redis_url
from siphon.services.caches import RedisCache
from workers.net import boottime

__all__ = ["calm_cluster", "redis_replicated", "redis_server", "redis_tls", "redis_with_password"]


def url_of(server):
    return parse_redis_url(getattr(server, "url", None) or f"redis://127.0.0.1:{server.port}")


def cache_on(server, timeout=30.0, failed=print, **options):
    return RedisCache("c", url_of(server), timeout, boottime, failed, **options)


def test_values_and_lists_are_plain_ones_of_redis(redis_server):
    client = redis_server.client()

    async def scenario():
        cache = cache_on(redis_server)
        assert await cache.fetch("a") is None
        assert await cache.store("a", "wert\udcff", None)
        assert await cache.fetch("a") == "wert\udcff"
        assert client.get("a") == b"wert\xff"
        assert await cache.store("b", "v", 50)
        assert 0 < client.pttl("b") <= 50_000
        assert await cache.expire("a", 20) and not await cache.expire("none", 20)
        assert await cache.exists("a") and await cache.delete("a") and not await cache.delete("a")
        assert [await cache.list_push("l", text) for text in "xy"] == [1, 2]
        assert client.lrange("l", 0, -1) == [b"x", b"y"]
        assert await cache.list_len("l") == 2
        assert await cache.list_pop_all("l") == ["x", "y"] and await cache.list_pop_all("l") == []
        for key in ("q*1", "q*2", "qx1"):
            await cache.list_push(key, "x")
        await cache.store("q*text", "x", None)
        assert await cache.list_len_sum("q*") == 2
        assert await cache.list_push("b", "no list") is None
        assert await cache.list_len("b") == 0
        assert await cache.fetch("qx1") is None
        await cache.close()

    asyncio.run(scenario())


def test_keys_have_the_bytes_that_stood_in_the_message(redis_server):
    client = redis_server.client()
    odd = "nummer:\udcfcber é"

    async def scenario():
        for cache in (cache_on(redis_server), cache_on(redis_server, local_secs=10)):
            assert await cache.store(odd, "v", 50)
            assert client.get(b"nummer:\xfcber \xc3\xa9") == b"v"
            assert await cache.fetch(odd) == "v"
            assert await cache.expire(odd, 20) and await cache.exists(odd) and await cache.delete(odd)
            assert await cache.list_push(odd, "x") == 1
            assert await cache.list_len(odd) == await cache.list_len_sum("nummer:\udcfc") == 1
            assert await cache.list_pop_all(odd) == ["x"]
            await cache.close()

    asyncio.run(scenario())


def test_what_was_read_is_kept_no_longer_than_it_lives(redis_server):
    client = redis_server.client()
    now = [0.0]

    async def scenario():
        cache = RedisCache("c", url_of(redis_server), 5, lambda: now[0], print, local_secs=10, most=2)
        client.set("a", "1")
        client.set("short", "1", px=3000)
        assert [await cache.fetch(key) for key in ("a", "short")] == ["1", "1"]
        client.set("a", "2")
        client.delete("short")
        now[0] += 2
        assert [await cache.fetch(key) for key in ("a", "short")] == ["1", "1"]
        now[0] += 2
        assert [await cache.fetch(key) for key in ("a", "short")] == ["1", None]
        now[0] += 7
        assert await cache.fetch("a") == "2"
        await cache.store("a", "3", None)
        assert await cache.fetch("a") == "3"
        for key in "bcd":
            client.set(key, key)
            assert await cache.fetch(key) == key
        assert len(cache._local) == 2
        await cache.close()

    asyncio.run(scenario())


def test_one_that_does_not_answer_costs_the_limit_once_and_is_used_again_when_it_is_back(redis_server):
    failed = []

    async def scenario():
        cache = cache_on(redis_server, timeout=2.0, failed=failed.append)
        while not await cache.store("a", "1", None):
            await asyncio.sleep(0.05)
        redis_server.freeze()
        began = time.monotonic()
        assert await cache.fetch("a") is None
        assert time.monotonic() - began > 1.9
        began = time.monotonic()
        answers = [await cache.fetch("a"), await cache.store("b", "1", None), await cache.list_push("l", "x")]
        answers += [await cache.list_pop_all("l"), await cache.list_len("l"), await cache.exists("a")]
        assert answers == [None, False, None, [], 0, False]
        assert time.monotonic() - began < 9, "of six calls none has waited for the limit of 2 s, or few"
        redis_server.thaw()
        deadline = time.monotonic() + 60
        while await cache.fetch("a") != "1":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        redis_server.kill()
        while await cache.fetch("a") is not None:
            await asyncio.sleep(0.05)
        redis_server.start()
        while not await cache.store("a", "2", None):
            assert time.monotonic() < deadline + 60
            await asyncio.sleep(0.05)
        await cache.close()

    asyncio.run(scenario())
    assert failed


def test_a_master_that_sentinels_know(redis_replicated):
    async def scenario():
        cache = cache_on(redis_replicated)
        assert await cache.store("a", "1", None)
        assert await cache.fetch("a") == "1"
        await cache.close()

    asyncio.run(scenario())


def test_a_cluster(calm_cluster):
    async def scenario():
        cache = cache_on(calm_cluster, local_secs=1.0)
        for number in range(10):
            assert await cache.store(f"k{number}", str(number), None)
        assert [await cache.fetch(f"k{number}") for number in range(10)] == [str(number) for number in range(10)]
        assert [await cache.list_push("l", text) for text in "ab"] == [1, 2]
        assert await cache.list_len_sum("l") == 2
        assert await cache.list_pop_all("l") == ["a", "b"]
        await cache.close()

    asyncio.run(scenario())


def test_a_password_and_tls(redis_with_password, redis_tls):
    server, certificate = redis_tls
    port = redis_with_password.port

    async def scenario(url, stored):
        cache = RedisCache("c", parse_redis_url(url), 30.0, boottime, print)
        assert await cache.store("a", "1", None) is stored
        await cache.close()

    asyncio.run(scenario(f"redis://:s3cret-word@127.0.0.1:{port}", True))
    asyncio.run(scenario(f"redis://:wrong@127.0.0.1:{port}", False))
    asyncio.run(scenario(f"rediss://127.0.0.1:{server.port}?ca={certificate}&verify=ca", True))
    asyncio.run(scenario(f"rediss://127.0.0.1:{server.port}", False))
