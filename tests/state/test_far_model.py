"""The model of the far store and the scripts in a real Redis give the same answers to the same random calls."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

import pytest
from redis_servers import Server, redis_server

from siphon.config.redis_url import parse_redis_url
from siphon.state.redis import scripts
from siphon.state.redis.client import RedisRemote
from siphon.state.redis.link import Link
from siphon.state.redis.names import Names, partition
from siphon.state.redis.remote import Nodes, Write, Writer
from siphon.state.store import Wait
from siphon.testing.nodes import far_model
from siphon.testing.nodes.far_model import FarModel

__all__ = ["redis_server"]

SEEDS, CALLS = 6, 150
SHORT_SECS, PAST_SECS = 0.002, 0.03
"""A lease, or a record, that has surely ended after PAST_SECS."""
KEYS = [bytes([number]) * 16 for number in range(3)]
TOKENS = [b"one", b"two", b"three"]


class Both:
    """Makes each call of the model and of the real thing, and compares what they answer."""

    def __init__(self, url: str, seed: int) -> None:
        self.random = Random(seed)
        self.link = Link(asyncio.get_running_loop(), time.monotonic, parse_redis_url(url), 30.0, lambda *_, **__: None)
        self.link.start()
        self.remote = RedisRemote(self.link, Names(f"model{seed}:"), time.monotonic)
        self.model = FarModel()
        self.sequence = 0
        self.versions = [0]
        self.writes: list[Write] = []
        self.calls: list[str] = []

    async def answer(self, wait: Wait) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wait.then(future.set_result)
        return await asyncio.wait_for(future, 60)

    async def same(self, name: str, *facts: Any) -> Any:
        """One call; `name` is that of the method in both."""
        self.calls.append(f"{name}{facts}")
        modelled = getattr(self.model, name)(*facts, time.time())
        real = await self.answer(getattr(self.remote, name)(*facts))
        if isinstance(real, Nodes):
            assert comparable(real) == comparable(modelled), self.calls
        else:
            assert real == modelled, self.calls
        return real

    async def step(self) -> None:
        """One call drawn at random."""
        r = self.random
        calls = ("write", "write", "write", "again", "load", "load", "renew", "take", "leave", "forget", "remind")
        await getattr(self, r.choice(calls))()

    async def write(self) -> None:
        r = self.random
        self.sequence += 1
        found = self.model.load(key := r.choice(KEYS), time.time())
        expected = r.choice((found.version if found else 0, 0, r.choice(self.versions)))
        version = r.choice((self.sequence, self.sequence << 24, r.choice(self.versions) or 1))
        writer = Writer(r.randrange(1, 4), r.randrange(2), 1, self.sequence)
        value = r.choice((b"value", b"", r.randbytes(20), None))
        lives = r.choice((60.0, 60.0, 60.0, SHORT_SECS))
        deadline = r.choice((0.0, 5.0, 1_700_000_000.0 + r.random()))
        write = Write(key, expected, version, writer, value, r.randrange(1, 4), deadline, lives)
        self.versions.append(version)
        self.writes.append(write)
        await self.same("write", write)
        if lives == SHORT_SECS:
            await asyncio.sleep(PAST_SECS)

    async def again(self) -> None:
        if self.writes:
            await self.same("write", self.random.choice(self.writes)._replace(lives_secs=60.0))

    async def load(self) -> None:
        await self.same("load", self.random.choice(KEYS))

    async def renew(self) -> None:
        r = self.random
        ttl = r.choice((60.0, 60.0, SHORT_SECS))
        if ttl == SHORT_SECS:
            await asyncio.sleep(PAST_SECS)
        await self.same("renew", r.choice(TOKENS), ttl, r.choice((b"", b"facts")), r.choice((0, 0, 1, 2, 3)))
        if ttl == SHORT_SECS:
            await asyncio.sleep(PAST_SECS)

    async def take(self) -> None:
        r = self.random
        await self.same("take", r.randrange(1, 4), partition(r.choice(KEYS)), r.randrange(1, 4), r.choice((1, 100)))

    async def leave(self) -> None:
        if self.random.random() < 0.3:
            await self.same("leave", self.random.choice(TOKENS))

    async def remind(self) -> None:
        await self.same("remind", self.random.randrange(1, 4), self.random.randrange(64), self.random.choice(KEYS))

    async def forget(self) -> None:
        await asyncio.sleep(PAST_SECS)
        await self.same("forget", self.random.randrange(1, 6))


def comparable(nodes: Nodes) -> tuple[object, ...]:
    """Without times, which the two take a moment apart."""
    return nodes.number, {node.number: node.facts for node in nodes.live}, set(nodes.dead), nodes.reminders


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_model_answers_like_the_scripts(redis_server: Server, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "DEAD_SECS", PAST_SECS / 2)
    monkeypatch.setattr(far_model, "DEAD_SECS", PAST_SECS / 2)

    async def whole() -> None:
        both = Both(f"redis://127.0.0.1:{redis_server.port}", seed)
        await both.answer(both.remote.back())
        try:
            for _ in range(CALLS):
                await both.step()
        finally:
            await both.link.close()

    asyncio.run(whole())
