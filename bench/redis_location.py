"""Bindings in Redis: what a REGISTER and a call cost with it and while it hangs; how a node fills its mirror.

    python bench/redis_location.py latency
    python bench/redis_location.py fill [bindings]

Needs redis-server. Two nodes of two workers each on this machine; the phone and the callee are this program, one
request at a time, so the figures are latencies of an idle proxy.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/processes")]

from proxy_process import Siphond, until  # noqa: E402
from redis_nodes import OPEN, on_redis  # noqa: E402
from redis_servers import Server, server  # noqa: E402
from test_redis_location import called, register, url_of  # noqa: E402
from udp_agent import Agent  # noqa: E402

from siphon.config.redis_url import parse_redis_url  # noqa: E402
from siphon.engine.keys import Keys as Secrets  # noqa: E402
from siphon.services.location.binding import AddressRecord, Binding  # noqa: E402
from siphon.services.location.scripts import COMMIT, STREAM_ENTRIES, Keys  # noqa: E402
from siphon.services.store import record_key  # noqa: E402
from siphon.state.redis.link import Link  # noqa: E402
from siphon.state.redis.names import Names, partition  # noqa: E402
from workers.net import boottime  # noqa: E402

ROUNDS = 300


def timed(what: str, ask: Callable[[], object], rounds: int = ROUNDS) -> None:
    """Print the spread of one thing done again and again."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    p50, p99 = statistics.median(times), times[int(rounds * 0.99)]
    print(f"{what:56} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   worst {times[-1]:7.2f} ms", flush=True)


def latencies(make: Callable[..., Siphond], redis: Server) -> None:
    """REGISTERs and calls over shared memory, over Redis, and while Redis hangs."""
    alone = make(workers=2, script=OPEN).start()
    first = on_redis(make, url_of(redis)).start()
    with Agent(alone.address, "bob") as bob, Agent(alone.address, "caller") as caller:
        timed("shared memory: REGISTER", lambda: register(bob))
        timed("shared memory: INVITE to its 486", lambda: called(caller, bob))
    with (
        Agent(first.address, "bob") as bob,
        Agent(first.address, "caller") as caller,
        Agent(first.address, "nobody") as nobody,
    ):
        timed("Redis, one node: REGISTER", lambda: register(bob))
        on_redis(make, url_of(redis)).start()
        timed("Redis, two nodes: REGISTER", lambda: register(bob))
        timed("Redis: INVITE to its 486", lambda: called(caller, bob))
        timed("Redis: INVITE to nobody, 404", lambda: called(caller, nobody))
        redis.freeze()
        timed("Redis hangs: the first REGISTER, 500", lambda: register(bob), 1)
        timed("Redis hangs: REGISTER, 500", lambda: register(bob))
        timed("Redis hangs: INVITE to its 486", lambda: called(caller, bob))
        timed("Redis hangs: INVITE to nobody, 404", lambda: called(caller, nobody))
        redis.thaw()
        began = time.perf_counter()
        until(lambda: register(bob).status == 200, 20, "a 200 again")
        print(f"Redis goes on: a REGISTER gets 200 after {time.perf_counter() - began:.2f} s", flush=True)


def record(number: int, wall: float) -> AddressRecord:
    """An address of record with one binding."""
    user = f"user{number:06d}"
    return AddressRecord(
        f"sip:{user}@example.com",
        (
            Binding(
                *(f"sip:{user}@192.0.2.1:5060", 1.0, (), None, None, f"call-{number}", 1, wall + 3600, wall, ()),
                *("udp", ("192.0.2.1", 5060), ("127.0.0.1", 5060), False, None, bytes(16), "bench"),
            ),
        ),
    )


async def fill(url: str, secret: bytes, count: int) -> None:
    """Commit so many bindings, as workers do."""
    link = Link(asyncio.get_running_loop(), boottime, parse_redis_url(url), 10.0, lambda *_, **__: None)
    link.start()
    keys, table, wall = Keys(Names("siphon:")), Secrets(secret, []).table, time.time()

    async def one(number: int) -> None:
        made = record(number, wall)
        key = record_key(table, b"r", made.aor.encode())
        part = partition(key)
        names = [keys.record(part, key), keys.meta(part), keys.stream(part), keys.index(part), keys.nodes(part)]
        arguments = [b"", made.to_bytes(), b"w%d" % number, int((wall + 3600) * 1000), 30000, key.hex(), b"bench", b""]
        arguments += [link.run_id(part), 0, keys.channel, part, STREAM_ENTRIES]
        await link.ask(COMMIT, part, names, arguments)

    while not link.is_up():
        await asyncio.sleep(0.01)
    for first in range(0, count, 500):
        await asyncio.gather(*(one(number) for number in range(first, min(first + 500, count))))
    await link.close()


def restart(make: Callable[..., Siphond], redis: Server, count: int) -> None:
    """A node fills its mirror while REGISTERs run on another."""
    first, second = on_redis(make, url_of(redis)), on_redis(make, url_of(redis))
    for node in (first, second):
        text = node.configuration.read_text().replace("max_bindings = 1000", f"max_bindings = {count + 5000}")
        node.configuration.write_text(text)
    first.start()
    secret = bytes.fromhex((first.directory / "state/secret").read_text().strip())
    began = time.perf_counter()
    asyncio.run(fill(url_of(redis), secret, count))
    until(lambda: first.status()["addresses_of_record"] == count, 600, "the first mirror")
    spent = time.perf_counter() - began
    print(f"{count} bindings committed and followed by the first node: {spent:.1f} s", flush=True)
    stop, made = threading.Event(), [0]

    def traffic() -> None:
        with Agent(first.address, "traffic") as phone:
            while not stop.is_set():
                phone.user = f"late{made[0]}"
                if register(phone).status == 200:
                    made[0] += 1

    thread = threading.Thread(target=traffic)
    thread.start()
    for what in ("an empty table", "the table of its last run"):
        began = time.perf_counter()
        seen = second.log().count("mirror.ready")
        second.launch()
        until(lambda seen=seen: second.log().count("mirror.ready") > seen, 600, "being ready")  # type: ignore[misc]
        took, there = time.perf_counter() - began, made[0]
        found = second.status()["addresses_of_record"]
        print(
            f"a node with {what} is ready after {took:.1f} s: {found} of {count + there} addresses of record, "
            f"{there} REGISTERs so far",
            flush=True,
        )
        second.stop()
    stop.set()
    thread.join()


def main() -> None:
    """What is asked for."""
    made: list[Siphond] = []

    def make(**options: object) -> Siphond:
        made.append(Siphond(Path(tempfile.mkdtemp(prefix="siphond-bench-")), **options))  # type: ignore[arg-type]
        return made[-1]

    try:
        with server() as redis:
            if sys.argv[1:] == ["latency"]:
                latencies(make, redis)
            else:
                restart(make, redis, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
    finally:
        for node in made:
            node.tolerated = "."
            node.close()


if __name__ == "__main__":
    main()
