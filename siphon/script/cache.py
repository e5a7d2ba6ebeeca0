"""The namespace `cache`: values and lists under names, shared by all workers, or kept in a Redis (API 15.1).

A name that no [[cache]] has is an empty cache: None, False, 0 or []. So is a Redis that does not answer. A cache in
shared memory that fails raises RuntimeError, as all shared state does.
"""

from __future__ import annotations

from typing import Any

from siphon.script import binding
from siphon.services.caches import Caches, MemoryCache, RedisCache
from siphon.services.caches.memory_cache import LONGEST_KEY

RESERVED = "siphon:"
LONGEST_SECS = 1e9


class Cache:
    """`from siphon import cache`."""

    __slots__ = ()

    def has_cache(self, name: str) -> bool:
        """Whether a [[cache]] of that name is configured."""
        bound = binding.find()
        return bound is not None and any(entry.name == name for entry in bound.settings.cache)

    async def fetch(self, name: str, key: str) -> str | None:
        """The value of a key; None where there is none."""
        found = _cache(name, key, writes=False)
        if isinstance(found, RedisCache):
            return await found.fetch(key)
        return None if found is None else found.fetch(key)

    async def store(self, name: str, key: str, value: str, ttl: float | None = None) -> bool:
        """Store a value, for `ttl` seconds or until it must make room; False where it is not stored."""
        secs = None if ttl is None else _secs(ttl)
        found, text = _cache(name, key), _text(value, "value")
        if isinstance(found, RedisCache):
            return await found.store(key, text, secs)
        return found is not None and found.store(key, text, secs)

    async def delete(self, name: str, key: str) -> bool:
        """Remove a key; False where there was none."""
        found = _cache(name, key)
        if isinstance(found, RedisCache):
            return await found.delete(key)
        return found is not None and found.delete(key)

    async def exists(self, name: str, key: str) -> bool:
        """Whether there is a value or a list."""
        found = _cache(name, key)
        if isinstance(found, RedisCache):
            return await found.exists(key)
        return found is not None and found.exists(key)

    async def expire(self, name: str, key: str, ttl: float) -> bool:
        """Set the time to live of a key, seconds from now; False where there is none."""
        secs = _secs(ttl)
        found = _cache(name, key)
        if isinstance(found, RedisCache):
            return await found.expire(key, secs)
        return found is not None and found.expire(key, secs)

    async def list_push(self, name: str, key: str, value: str) -> int | None:
        """Append to a list; its new length. None where it cannot be: no such cache, a key that has a value."""
        found, text = _cache(name, key), _text(value, "value")
        if isinstance(found, RedisCache):
            return await found.list_push(key, text)
        return None if found is None else found.list_push(key, text)

    async def list_pop_all(self, name: str, key: str) -> list[str]:
        """Empty a list in one step and give what it held, the first first."""
        found = _cache(name, key)
        if isinstance(found, RedisCache):
            return await found.list_pop_all(key)
        return [] if found is None else found.list_pop_all(key)

    async def list_len(self, name: str, key: str) -> int:
        """Length of a list; 0 where there is none."""
        found = _cache(name, key)
        if isinstance(found, RedisCache):
            return await found.list_len(key)
        return 0 if found is None else found.list_len(key)

    async def list_len_sum(self, name: str, prefix: str) -> int:
        """Sum of the lengths of all lists whose key starts with a prefix: reads all of the cache."""
        if not _text(prefix, "prefix"):
            raise ValueError("the prefix must not be empty")
        found = _cache(name, prefix)
        if isinstance(found, RedisCache):
            return await found.list_len_sum(prefix)
        return 0 if found is None else found.list_len_sum(prefix)

    def __repr__(self) -> str:
        return "<namespace cache>"


def _cache(name: str, key: str, writes: bool = True) -> MemoryCache | RedisCache | None:
    _text(name, "name")
    if len(_text(key, "key").encode("utf-8", "surrogateescape")) > LONGEST_KEY:
        raise ValueError(f"key is longer than {LONGEST_KEY} bytes")
    if writes and key.startswith(RESERVED):
        raise ValueError(f"keys that start with {RESERVED!r} are reserved")
    bound = binding.find()
    caches: Caches | None = None if bound is None else bound.services.caches
    return None if caches is None else caches.get(name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    return value


def _secs(ttl: Any) -> float:
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
        raise TypeError(f"ttl is a number of seconds, not {type(ttl).__name__}")
    if not 0 < ttl <= LONGEST_SECS:  # also nan
        raise ValueError(f"ttl is a number of seconds above 0, at most {LONGEST_SECS:g}")
    return float(ttl)
