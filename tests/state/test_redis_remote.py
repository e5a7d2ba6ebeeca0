"""The operations on records and nodes, each one script of a real Redis server, and in a Cluster."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis_servers import Server, calm_cluster, redis_server

from siphon.config.redis_url import parse_redis_url
from siphon.state.redis import scripts
from siphon.state.redis.client import RedisRemote
from siphon.state.redis.link import Link
from siphon.state.redis.names import PARTITIONS, Names, partition
from siphon.state.redis.remote import LATE_VERSIONS, SALT_BITS, Found, Nodes, Portion, Taken, Write, Writer
from siphon.state.store import Wait

__all__ = ["calm_cluster", "redis_server"]

KEY = b"k" * 16


class Bench:
    """A remote on a loop of its own."""

    def __init__(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        self.link = Link(loop, time.monotonic, parse_redis_url(url), 20.0, lambda *_, **__: None)
        self.link.start()
        self.remote = RedisRemote(self.link, Names("test:"), time.monotonic)
        self.sequence = 0

    async def answer(self, wait: Wait) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wait.then(future.set_result)
        async with asyncio.timeout(60):
            return await future

    def writing(self, expected: int, version: int, value: bytes | None, node: int = 1, **changes: Any) -> Write:
        self.sequence += 1
        writer = Writer(node, 3, 7, self.sequence)
        return Write(KEY, expected, version, writer, value, node, 100.5, 60.0)._replace(**changes)

    async def write(self, *facts: Any, **changes: Any) -> Any:
        return await self.answer(self.remote.write(self.writing(*facts, **changes)))

    async def load(self, key: bytes = KEY) -> Any:
        return await self.answer(self.remote.load(key))

    async def renew(self, token: bytes, facts: bytes = b"", former: int = 0, ttl: float = 60.0) -> Nodes:
        found = await self.answer(self.remote.renew(token, ttl, facts, former))
        assert isinstance(found, Nodes)
        return found

    async def take(self, dead: int, node: int, limit: int = 100) -> Portion:
        found = await self.answer(self.remote.take(dead, partition(KEY), node, limit))
        assert isinstance(found, Portion)
        return found


def url_of(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


def run(url: str, scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        bench = Bench(url)
        await bench.answer(bench.remote.back())
        try:
            await scenario(bench)
        finally:
            await bench.link.close()

    asyncio.run(whole())


def test_a_write_is_loaded_again_and_needs_the_version_that_is_there(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.load() is None
        assert await bench.write(0, 5, b"first") is True
        assert await bench.load() == Found(5, b"first", 1, 100.5)
        assert await bench.write(0, 6, b"another") is False
        assert await bench.write(4, 6, b"another") is False
        assert await bench.write(5, 6, b"second", node=2, deadline=0.0) is True
        assert await bench.load() == Found(6, b"second", 2, 0.0)

    run(url_of(redis_server), scenario)


def test_a_write_that_is_repeated_by_its_writer_stands_and_happens_once(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        first = bench.writing(0, 5, b"first")
        assert await bench.answer(bench.remote.write(first)) is True
        assert await bench.answer(bench.remote.write(first)) is True
        assert await bench.answer(bench.remote.write(first._replace(writer=Writer(1, 3, 7, 99)))) is False
        gone = bench.writing(5, 6, None)
        assert await bench.answer(bench.remote.write(gone)) is True
        assert await bench.answer(bench.remote.write(gone)) is True
        assert await bench.load() is None
        assert await bench.answer(bench.remote.write(first)) is True, "a deletion leaves room for a new record"

    run(url_of(redis_server), scenario)


def test_a_record_lies_in_the_index_of_its_owner_only(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.write(0, 5, b"first", node=1)
        await bench.write(5, 6, b"second", node=2)
        assert await bench.take(1, 9) == Portion([], False)
        assert await bench.take(2, 9) == Portion([Taken(KEY, 6, 100.5)], False)
        assert await bench.load() == Found(6, b"second", 9, 100.5)
        assert await bench.take(2, 9) == Portion([], False)
        await bench.write(6, 7, b"third", node=9, deadline=0.0)
        assert await bench.take(9, 8) == Portion([], False), "what has no deadline is in no index"

    run(url_of(redis_server), scenario)


def test_a_take_over_goes_by_portions_and_drops_what_is_gone(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        keys = [key for key in (os.urandom(16) for _ in range(2000)) if partition(key) == partition(KEY)][:7]
        for number, key in enumerate(keys):
            await bench.answer(bench.remote.write(bench.writing(0, 5, b"x", key=key, deadline=float(number + 1))))
        name = next(name for name in redis_server.client().keys("*") if keys[0].hex().encode() in name)
        redis_server.client().delete(name)
        first = await bench.take(1, 2, limit=4)
        assert [taken.key for taken in first.taken] == keys[1:4] and first.more
        second = await bench.take(1, 2, limit=4)
        assert [taken.key for taken in second.taken] == keys[4:] and not second.more

    run(url_of(redis_server), scenario)


def test_a_record_goes_when_its_time_is_over(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.write(0, 5, b"first", lives_secs=0.05)
        async with asyncio.timeout(60):
            while await bench.load() is not None:
                await asyncio.sleep(0.01)

    run(url_of(redis_server), scenario)


@pytest.mark.parametrize("junk", ["bytes", "list", "short", "other key", "flipped"])
def test_sec_17_random_bytes_in_redis_are_no_record(redis_server: Server, junk: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.write(0, 5, b"a record's bytes")
        name = next(name for name in redis_server.client().keys("*") if KEY.hex().encode() in name)
        there = redis_server.client().get(name)
        redis_server.client().delete(name)
        if junk == "list":
            redis_server.client().rpush(name, "a")
        else:
            other = b"o" * 16
            foreign = Write(other, 0, 5, Writer(1, 3, 7, 1), b"a record's bytes", 1, 100.5, 60.0)
            await bench.answer(bench.remote.write(foreign))
            theirs = next(name for name in redis_server.client().keys("*") if other.hex().encode() in name)
            flipped = bytes([*there[:-3], there[-3] ^ 4, *there[-2:]])
            made = {"bytes": os.urandom(300), "short": b"s1", "other key": redis_server.client().get(theirs)}
            redis_server.client().set(name, made.get(junk, flipped))
        found = await bench.load()
        assert isinstance(found, Found) and not found.sound and found.value == b""
        assert (await bench.take(1, 2)).more is False

    run(url_of(redis_server), scenario)


def test_a_node_keeps_its_number_and_hears_of_the_others(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        one = await bench.renew(b"a", b"facts of a")
        two = await bench.renew(b"b", b"facts of b")
        assert one.number != two.number and min(one.number, two.number) >= 1
        assert {node.number: node.facts for node in two.live} == {one.number: b"facts of a", two.number: b"facts of b"}
        assert (await bench.renew(b"a", b"later")).number == one.number
        assert (await bench.renew(b"b")).dead == []

    run(url_of(redis_server), scenario)


def test_a_lease_that_has_run_out_is_buried_by_who_renews_and_its_node_gets_another_number(
    redis_server: Server,
) -> None:
    async def scenario(bench: Bench) -> None:
        one = await bench.renew(b"a", ttl=0.3)
        async with asyncio.timeout(60):
            while not (found := await bench.renew(b"b")).dead:
                await asyncio.sleep(0.05)
        assert found.dead == [one.number] and [node.number for node in found.live] == [found.number]
        again = await bench.renew(b"a")
        assert again.number not in (one.number, found.number) and again.dead == [one.number]

    run(url_of(redis_server), scenario)


def test_shared_34_after_a_pause_of_the_store_nobody_is_buried(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        one = await bench.renew(b"a", ttl=0.2)
        await asyncio.sleep(0.4)  # nobody could renew, as while the store is away
        two = await bench.renew(b"b", ttl=0.2)
        assert two.dead == [] and len(two.live) == 2
        assert (await bench.renew(b"a", ttl=0.2)).number == one.number

    run(url_of(redis_server), scenario)


def test_a_node_that_leaves_is_dead_at_once_and_stays_so_for_a_while(redis_server: Server) -> None:
    async def scenario(bench: Bench) -> None:
        one = await bench.renew(b"a")
        await bench.answer(bench.remote.leave(b"a"))
        assert (await bench.renew(b"b")).dead == [one.number]
        await bench.answer(bench.remote.forget(one.number))
        assert (await bench.renew(b"b")).dead == [one.number], "a write may still be under way"
        name = next(name for name in redis_server.client().keys("*") if name.endswith(b":64"))
        redis_server.client().zadd(name, {str(one.number): 1.0})
        await bench.answer(bench.remote.forget(one.number))
        assert (await bench.renew(b"b")).dead == []
        assert (await bench.renew(b"b", former=one.number)).dead == [one.number]
        assert (await bench.renew(b"a")).number != one.number
        assert scripts.DEAD_SECS >= 10

    run(url_of(redis_server), scenario)


def test_the_scripts_serve_a_cluster(calm_cluster: Any) -> None:
    async def scenario(bench: Bench) -> None:
        keys = [os.urandom(16) for _ in range(200)]
        for key in keys:
            assert await bench.answer(bench.remote.write(bench.writing(0, 5, b"first", key=key))) is True
            assert await bench.answer(bench.remote.write(bench.writing(5, 6, b"second", node=2, key=key))) is True
        taken = set()
        for number in range(PARTITIONS):
            portion = await bench.answer(bench.remote.take(2, number, 3, 100))
            taken |= {record.key for record in portion.taken}
        assert taken == set(keys)
        assert (await bench.load(keys[0])).node == 3
        assert (await bench.renew(b"a")).number == 1

    run(calm_cluster.url, scenario)


def test_shared_30_a_late_copy_of_a_write_does_not_bring_back_what_was_deleted(redis_server: Server) -> None:
    """What was deleted is forgotten as soon as another record begins, which has another count."""

    async def scenario(b: Bench) -> None:
        first = 7 << SALT_BITS | 5
        made = b.writing(0, first, b"one")
        assert await b.answer(b.remote.write(made)) is True
        assert await b.write(first, 8 << SALT_BITS | 1, None) is True
        assert await b.answer(b.remote.write(made)) is False and await b.load() is None
        assert await b.write(0, 9 << SALT_BITS, b"two") is True
        assert await b.write(9 << SALT_BITS, 10 << SALT_BITS, None) is True
        assert await b.write(0, (10 + LATE_VERSIONS) << SALT_BITS, b"three") is True

    run(url_of(redis_server), scenario)


def test_another_node_is_reminded_of_a_record_once_and_not_for_ever(redis_server: Server) -> None:
    async def scenario(b: Bench) -> None:
        one, two = await b.renew(b"one"), await b.renew(b"two")
        assert await b.answer(b.remote.remind(two.number, 63, KEY)) is True
        assert await b.answer(b.remote.remind(two.number, 0, b"\n" * 16)) is True
        assert (await b.renew(b"one")).reminders == one.reminders == ()
        assert (await b.renew(b"two")).reminders == ((63, KEY), (0, b"\n" * 16))
        assert (await b.renew(b"two")).reminders == ()
        for number in range(scripts.MOST_REMINDERS + 5):
            b.remote.remind(two.number, number % 64, b"%016d" % number)
        kept = (await b.renew(b"two")).reminders
        assert len(kept) == scripts.MOST_REMINDERS and kept[-1][1] == b"%016d" % (scripts.MOST_REMINDERS + 4)
        await b.answer(b.remote.remind(two.number, 1, KEY))

    run(url_of(redis_server), scenario)
    (name,) = redis_server.client().keys(f"test:*nodes:{b'r:'.hex()}*")
    assert 0 < redis_server.client().pttl(name) <= scripts.REMINDER_SECS * 1000
