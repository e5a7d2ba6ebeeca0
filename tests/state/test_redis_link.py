"""One process's link to real Redis servers: what a call answers, whatever becomes of the server."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from redis_servers import (
    Cluster,
    Replicated,
    Server,
    calm_cluster,
    redis_cluster,
    redis_replicated,
    redis_server,
    redis_tls,
    redis_with_password,
    replicated,
)

from siphon.config.redis_url import parse_redis_url
from siphon.state.redis.agreement import AnotherLayout, agree
from siphon.state.redis.connect import tls_context
from siphon.state.redis.link import Link
from siphon.state.redis.names import PARTITIONS, Names, slot
from siphon.state.redis.script import Lost, Refused, Script, Value

__all__ = ["calm_cluster", "redis_cluster", "redis_replicated", "redis_server", "redis_tls", "redis_with_password"]

NAMES = Names("test:")
SET = Script("set", "redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]")
GET = Script("get", "return redis.call('GET', KEYS[1])", writes=False)
SLEEP = Script("spin", "local x = 0 for i = 1, ARGV[1] do x = x + i end return x", writes=False)


class Bench:
    """A link on a loop of its own, and what it has logged."""

    def __init__(self, url: str, timeout: float) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []
        loop = asyncio.get_running_loop()
        self.link = Link(loop, time.monotonic, parse_redis_url(url), timeout, self.report)
        self.link.start()

    def report(self, level: str, event: str, **fields: object) -> None:
        self.lines.append((level, event, fields))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    async def set(self, number: int, value: bytes) -> Any:
        return await self.link.ask(SET, number, [NAMES.key(number, b"k")], [value])

    async def get(self, number: int) -> Any:
        return await self.link.ask(GET, number, [NAMES.key(number, b"k")])

    async def wrote(self, number: int, value: bytes) -> Value:
        """The answer to a write that is repeated until it is answered: a server may be late once."""
        return await self.answered(lambda: self.set(number, value))

    async def read(self, number: int) -> object:
        """What is there, by a read that is repeated likewise."""
        return (await self.answered(lambda: self.get(number))).value

    async def answered(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Value:
        async with asyncio.timeout(60):
            while not isinstance(answer := await ask(), Value):
                await asyncio.sleep(0.01)
        return answer


def run(url: str, test: Callable[[Bench], Coroutine[Any, Any, None]], timeout: float = 10, up: bool = True) -> None:
    """`timeout` of one call: by default what no server needs on a busy machine."""

    async def main() -> None:
        bench = Bench(url, timeout)
        try:
            if up:
                await bench.until(bench.link.is_up)
            await test(bench)
        finally:
            await bench.link.close()

    asyncio.run(main())


def test_a_script_answers_with_its_value_and_the_stores_time(redis_server: Server) -> None:
    async def test(bench: Bench) -> None:
        answer = await bench.set(3, b"\x00\xffbytes")
        assert isinstance(answer, Value) and answer.value == b"\x00\xffbytes" and answer.replicated
        assert abs(answer.at - time.time()) < 30
        assert (await bench.get(3)).value == b"\x00\xffbytes"
        assert (await bench.get(4)).value is None
        now = bench.link.store_time(3, time.monotonic())
        assert now is not None and abs(now - time.time()) < 30
        back = bench.link.boottime(3, now)
        assert back is not None and abs(back - time.monotonic()) < 30

    run(f"redis://127.0.0.1:{redis_server.port}", test)


def test_what_is_asked_in_one_turn_is_answered_by_one_connection(redis_server: Server) -> None:
    async def test(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.set(n % PARTITIONS, b"%d" % n) for n in range(500)))
        assert [int(answer.value) for answer in answers] == list(range(500))
        clients = redis_server.client().info("clients")["connected_clients"]
        assert clients <= 2

    run(f"redis://127.0.0.1:{redis_server.port}", test)


def test_a_call_without_a_server_is_refused_at_once_and_logged_once() -> None:
    async def test(bench: Bench) -> None:
        await bench.until(bench.lines.__len__)
        await asyncio.sleep(0.3)
        asked = bench.set(0, b"x")
        with pytest.raises(StopIteration) as refused:
            asked.send(None)  # without one turn of the loop
        assert isinstance(refused.value.value, Refused)
        assert bench.events() == ["redis.down"]

    run("redis://127.0.0.1:1", test, up=False)


@pytest.mark.alone
def test_a_hung_server_costs_one_limit_then_nothing_and_comes_back_within_5_s(redis_server: Server) -> None:
    """The best of some rounds: one may meet a machine that stands still."""
    limit = 2.0

    async def round_(bench: Bench) -> float:
        """After the server went on, the seconds until the link is up."""
        await bench.wrote(0, b"early")
        bench.lines.clear()
        redis_server.freeze()
        began = time.monotonic()
        first = await bench.set(0, b"late")
        assert isinstance(first, Lost) and time.monotonic() - began >= limit
        with pytest.raises(StopIteration) as refused:
            bench.set(0, b"never").send(None)
        assert isinstance(refused.value.value, Refused), "at once"
        await asyncio.sleep(2)
        redis_server.thaw()
        thawed = time.monotonic()
        await bench.until(bench.link.is_up)
        took = time.monotonic() - thawed
        assert bench.events() == ["redis.down", "redis.up"]
        assert await bench.read(0) == b"late", "unknown means that it may have been done"
        return took

    async def test(bench: Bench) -> None:
        took = [await round_(bench)]
        while min(took) >= 5 and len(took) < 4:
            took.append(await round_(bench))
        assert min(took) < 5

    run(f"redis://127.0.0.1:{redis_server.port}", test, timeout=limit)


def test_a_killed_server_loses_what_was_under_way_and_another_run_id_follows(redis_server: Server) -> None:
    async def test(bench: Bench) -> None:
        before = bench.link.run_id(0)
        spin = asyncio.ensure_future(bench.link.ask(SLEEP, 0, [NAMES.key(0, b"k")], [10**11]))
        lane = bench.link.lane(0)
        await bench.until(lambda: lane is not None and lane._flight)
        redis_server.kill()
        assert isinstance(await spin, Lost)
        assert isinstance(await bench.set(0, b"x"), Refused)
        redis_server.start()
        await bench.until(bench.link.is_up)
        assert bench.link.run_id(0) not in ("", before)
        assert isinstance(await bench.set(0, b"x"), Value)

    run(f"redis://127.0.0.1:{redis_server.port}", test, timeout=10)


def test_whoever_follows_a_link_hears_when_it_goes_down_and_when_it_is_up_again(redis_server: Server) -> None:
    async def test(bench: Bench) -> None:
        heard: list[bool] = []
        bench.link.changed = lambda: heard.append(bench.link.is_up())
        redis_server.kill()
        await bench.until(lambda: heard)
        redis_server.start()
        await bench.until(bench.link.is_up)
        assert heard == [False, True]

    run(f"redis://127.0.0.1:{redis_server.port}", test)


def test_a_refusal_by_the_server_is_not_a_loss(redis_server: Server) -> None:
    async def test(bench: Bench) -> None:
        redis_server.client().config_set("maxmemory", 1)
        answer = await bench.set(0, b"x")
        assert isinstance(answer, Refused) and bench.link.is_up()
        redis_server.client().config_set("maxmemory", 0)
        assert isinstance(await bench.set(0, b"x"), Value)
        redis_server.client().script_flush()
        assert isinstance(await bench.set(0, b"x"), Value), "a script that the server has forgotten is sent again"

    run(f"redis://127.0.0.1:{redis_server.port}", test)


def test_the_password_is_used_and_not_told(redis_with_password: Server) -> None:
    port = redis_with_password.port

    async def right(bench: Bench) -> None:
        assert isinstance(await bench.set(0, b"x"), Value)

    async def wrong(bench: Bench) -> None:
        await bench.until(bench.lines.__len__)
        assert isinstance(await bench.set(0, b"x"), Refused)
        assert "not-the-word" not in repr(bench.lines) + repr(bench.link.url) + bench.link.why()

    run(f"redis://:s3cret-word@127.0.0.1:{port}", right)
    run(f"redis://:not-the-word@127.0.0.1:{port}", wrong, up=False)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a handshake that fails, in asyncio
def test_tls_is_verified(redis_tls: tuple[Server, Path]) -> None:
    server, certificate = redis_tls
    place = f"127.0.0.1:{server.port}"

    async def served(bench: Bench) -> None:
        assert isinstance(await bench.set(0, b"x"), Value)

    async def unknown(bench: Bench) -> None:
        await bench.until(bench.lines.__len__)
        assert "certificate" in bench.link.why().lower()

    run(f"rediss://{place}?ca={certificate}", served)
    run(f"rediss://{place}?verify=none", served)
    run(f"rediss://{place}", unknown, up=False)


def test_a_tls_context_is_made_once_and_again_for_another_file_and_trusts_nobody_else(
    redis_tls: tuple[Server, Path],
) -> None:
    _, certificate = redis_tls
    tls = parse_redis_url(f"rediss://127.0.0.1:1?ca={certificate}").tls
    assert tls is not None
    made = tls_context(tls)
    assert tls_context(tls) is made
    assert len(made.get_ca_certs()) == 1, "not the system's authorities beside it"
    os.utime(certificate, ns=(1, 1))
    assert tls_context(tls) is not made
    certificate.unlink()
    with pytest.raises(FileNotFoundError):
        tls_context(tls)


def test_nodes_agree_on_the_first_secret_and_refuse_another_layout(redis_server: Server) -> None:
    async def test(bench: Bench) -> None:
        assert (await agree(bench.link, NAMES, b"1" * 32)).secret == b"1" * 32
        assert (await agree(bench.link, NAMES, b"2" * 32)).secret == b"1" * 32
        redis_server.client().set(NAMES.key(0, b"layout"), 77)
        with pytest.raises(AnotherLayout, match="has layout 77, this siphond has layout 1"):
            await agree(bench.link, NAMES, b"1" * 32)

    run(f"redis://127.0.0.1:{redis_server.port}", test)


async def fails_over(bench: Bench, servers: Replicated) -> None:
    """A Sentinel that was not scheduled for two seconds does nothing for thirty (TILT)."""
    await bench.wrote(0, b"kept")
    before = bench.link.run_id(0)
    replica = await asyncio.to_thread(servers.replica)
    await bench.until(lambda: replica.client().dbsize() == 1)
    (await asyncio.to_thread(servers.master)).kill()
    await bench.until(lambda: bench.link.is_up() and bench.link.run_id(0) != before, 120)
    assert await bench.read(0) == b"kept"


async def survives_a_master(bench: Bench, servers: Cluster) -> None:
    await asyncio.gather(*(bench.wrote(n, b"%d" % n) for n in range(PARTITIONS)))
    await bench.until(lambda: servers.copies() == PARTITIONS)
    place = bench.link.place(0)
    dead = next(each for each in servers.servers if place is not None and each.port == place[1])
    dead.kill()
    await bench.until(lambda: bench.link.place(0) != place and bench.link.is_up(), 120)
    assert [await bench.read(n) for n in range(PARTITIONS)] == [b"%d" % n for n in range(PARTITIONS)]


def test_the_link_follows_the_master_that_the_sentinels_choose(redis_replicated: Replicated) -> None:
    async def test(bench: Bench) -> None:
        await fails_over(bench, redis_replicated)
        await bench.wrote(0, b"new")

    run(redis_replicated.url, test, timeout=1)


def test_a_write_says_whether_replicas_have_it() -> None:
    async def test(bench: Bench) -> None:
        async with asyncio.timeout(60):
            while not (await bench.wrote(0, b"x")).replicated:  # a replica may be late once
                pass
        (await asyncio.to_thread(servers.replica)).freeze()
        assert not (await bench.wrote(0, b"y")).replicated

    with replicated(down_after_ms=60_000) as servers:
        run(servers.url + "?wait=1", test, timeout=2)


def test_all_partitions_of_a_cluster_are_served_also_when_a_master_dies(redis_cluster: Cluster) -> None:
    run(redis_cluster.url, lambda bench: survives_a_master(bench, redis_cluster), timeout=1)


def test_what_is_asked_of_a_cluster_before_its_map_is_known_waits_for_it(calm_cluster: Cluster) -> None:
    """A REGISTER that comes to a process which has just been forked gets its 200."""

    async def test(bench: Bench) -> None:
        asked = [bench.set(number, b"%d" % number) for number in range(PARTITIONS)]
        answers = await asyncio.gather(*asked)
        assert [getattr(answer, "value", answer) for answer in answers] == [b"%d" % n for n in range(PARTITIONS)]
        assert bench.events() == []

    run(calm_cluster.url, test, timeout=20, up=False)


def test_what_is_asked_of_a_cluster_that_is_away_is_refused_within_its_limit_or_at_once() -> None:
    """The first address answers nobody: the first look for the map takes longer than a call may."""

    async def test(bench: Bench) -> None:
        first = await bench.get(0)
        assert isinstance(first, Refused)
        await bench.until(lambda: bench.link._early is None)
        second = bench.link.call(GET, 1, [NAMES.key(1, b"k")])
        answers: list[object] = []
        second.then(answers.append)
        assert isinstance(answers[0], Refused)
        assert bench.events() == ["redis.down"]

    with socket.create_server(("127.0.0.1", 0)) as silent:
        run(f"redis+cluster://127.0.0.1:{silent.getsockname()[1]}", test, timeout=0.05, up=False)


def test_what_is_asked_early_is_refused_when_the_link_is_closed() -> None:
    async def main() -> None:
        bench = Bench(f"redis+cluster://127.0.0.1:{silent.getsockname()[1]}", 20)
        answers: list[object] = []
        bench.link.call(GET, 1, [NAMES.key(1, b"k")]).then(answers.append)
        await asyncio.sleep(0)
        await bench.link.close()
        assert answers == [Refused("not connected yet")]

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(main())


def test_a_slot_that_moves_is_followed(calm_cluster: Cluster) -> None:
    async def test(bench: Bench) -> None:
        moved = slot(5)
        source = calm_cluster.master_of(moved)
        target = next(s for s in calm_cluster.servers if s is not source and calm_cluster.master_of(slot(s_n(s))) is s)
        ids = {s.port: s.client().execute_command("CLUSTER MYID").decode() for s in (source, target)}
        target.client().execute_command("CLUSTER SETSLOT", moved, "IMPORTING", ids[source.port])
        source.client().execute_command("CLUSTER SETSLOT", moved, "MIGRATING", ids[target.port])
        assert isinstance(await bench.set(5, b"on the move"), Value), "ASK is followed"
        for each in calm_cluster.servers:
            if each.client().info("replication")["role"] == "master":
                each.client().execute_command("CLUSTER SETSLOT", moved, "NODE", ids[target.port])
        assert (await bench.get(5)).value == b"on the move", "MOVED is followed"

    def s_n(server: Server) -> int:
        return next((n for n in range(PARTITIONS) if calm_cluster.master_of(slot(n)) is server), 0)

    run(calm_cluster.url, test, timeout=20)
