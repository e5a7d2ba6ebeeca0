"""Caches that scripts use by name: in the shared memory of the instance, or in a Redis (API 15.1)."""

from siphon.services.caches.caches import Caches
from siphon.services.caches.memory_cache import MemoryCache
from siphon.services.caches.redis_cache import RedisCache

__all__ = ["Caches", "MemoryCache", "RedisCache"]
