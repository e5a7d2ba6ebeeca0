"""The caches of one process by name, made of the settings; a reload keeps those that have not changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from siphon.config.later import Cache
from siphon.config.redis_url import parse_redis_url
from siphon.services.caches.memory_cache import MemoryCache
from siphon.services.caches.redis_cache import RedisCache
from siphon.services.store import RecordTable


class Caches:
    """`failed(name, why)` hears of a Redis that does not answer. `loop` None: this process has no caches in Redis."""

    def __init__(
        self,
        table: RecordTable,
        hash_key: bytes,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop | None,
        failed: Callable[[str, str], None],
    ) -> None:
        self._table = table
        self._hash_key = hash_key
        self._clock = clock
        self._loop = loop
        self._failed = failed
        self._caches: dict[str, MemoryCache | RedisCache] = {}
        self._facts: dict[str, tuple[Cache, float]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def configure(self, entries: Sequence[Cache], timeout: float) -> None:
        """The caches of these settings; `timeout` is that of shared state, seconds."""
        wanted = {entry.name: (entry, timeout) for entry in entries}
        for name in list(self._caches):
            if wanted.get(name) != self._facts[name]:
                self._close(self._caches.pop(name))
        for name, (entry, _) in wanted.items():
            if name not in self._caches:
                self._caches[name] = self._made(entry, timeout)
        self._facts = wanted

    def get(self, name: str) -> MemoryCache | RedisCache | None:
        """None for a name that no [[cache]] has."""
        return self._caches.get(name)

    def _made(self, entry: Cache, timeout: float) -> MemoryCache | RedisCache:
        if entry.url is None:
            return MemoryCache(entry.name, entry.local_max_entries, self._table, self._hash_key, self._clock)
        name = entry.name
        return RedisCache(
            name,
            parse_redis_url(entry.url),
            timeout,
            self._clock,
            lambda why: self._failed(name, why),
            entry.local_ttl_secs or 0.0,
            entry.local_max_entries,
        )

    def _close(self, cache: MemoryCache | RedisCache) -> None:
        if isinstance(cache, RedisCache) and self._loop is not None:
            task = self._loop.create_task(cache.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
