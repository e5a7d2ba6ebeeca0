"""A cache in a Redis: keys and values as they are, so that other programs can read and write them.

A Redis that does not answer within `timeout` is an empty cache: None, False, 0 or [], and a line in the log. So that a
dead one does not cost each call that time, nothing is asked for REST_SECS after it has failed. No command is repeated:
whether one whose answer was lost has been done is not known, and a list would have it twice.

With `local_secs` this process keeps what it has read so long, never longer than Redis would; it holds at most `most`
values, the least recently used go. What this process changes it forgets at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from siphon.config.redis_url import RedisUrl

T = TypeVar("T")
REST_SECS = 0.5
MOST_CONNECTIONS = 16
SCAN_COUNT = 1000


class RedisCache:
    """One cache. `failed(why)` hears of what went wrong. Made after fork; connects when it is first used."""

    def __init__(
        self,
        name: str,
        url: RedisUrl,
        timeout: float,
        clock: Callable[[], float],
        failed: Callable[[str], None],
        local_secs: float = 0.0,
        most: int = 10000,
    ) -> None:
        self.name = name
        self._url = url
        self._timeout = timeout
        self._clock = clock
        self._failed = failed
        self._client: Any = None
        self._rests_until = 0.0
        self._local_secs = local_secs
        self._most = most
        self._local: OrderedDict[str, tuple[str, float]] = OrderedDict()

    # -- values

    async def fetch(self, key: str) -> str | None:
        """The value; None where there is none, or no string."""
        if self._local_secs and (known := self._known(key)) is not None:
            return known
        if not self._local_secs:
            found = await self._asked(lambda r: r.get(_bytes(key)), None)
            return None if found is None else _text(found)
        nothing: tuple[bytes | None, int] = (None, -2)
        found, left = await self._asked(lambda r: _get_with_ttl(r, _bytes(key)), nothing)
        if found is None:
            return None
        self._keep(key, _text(found), left)
        return _text(found)

    async def store(self, key: str, value: str, ttl: float | None) -> bool:
        """False where Redis has not said that it is done."""
        self._local.pop(key, None)
        milliseconds = None if ttl is None else max(1, round(ttl * 1000))
        return bool(await self._asked(lambda r: r.set(_bytes(key), _bytes(value), px=milliseconds), False))

    async def delete(self, key: str) -> bool:
        """Whether there was something."""
        self._local.pop(key, None)
        return bool(await self._asked(lambda r: r.delete(_bytes(key)), 0))

    async def exists(self, key: str) -> bool:
        """Whether there is something."""
        return bool(await self._asked(lambda r: r.exists(_bytes(key)), 0))

    async def expire(self, key: str, ttl: float) -> bool:
        """False where there is nothing that could end."""
        self._local.pop(key, None)
        return bool(await self._asked(lambda r: r.pexpire(_bytes(key), max(1, round(ttl * 1000))), 0))

    # -- lists

    async def list_push(self, key: str, value: str) -> int | None:
        """The new length."""
        self._local.pop(key, None)
        length = await self._asked(lambda r: r.rpush(_bytes(key), _bytes(value)), None)
        return None if length is None else int(length)

    async def list_pop_all(self, key: str) -> list[str]:
        """What the list held, emptied in one step."""
        self._local.pop(key, None)
        nothing: list[bytes] = []
        return [_text(item) for item in await self._asked(lambda r: _pop_all(r, _bytes(key)), nothing)]

    async def list_len(self, key: str) -> int:
        """0 where there is no list."""
        return int(await self._asked(lambda r: r.llen(_bytes(key)), 0))

    async def list_len_sum(self, prefix: str) -> int:
        """Of all lists whose keys begin so: goes through all keys of the database, within the same limit of time."""
        return int(await self._asked(lambda r: _len_sum(r, prefix), 0))

    async def close(self) -> None:
        """Lets go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            pool = getattr(client, "connection_pool", None)
            for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
                await sentinel.aclose()
            await client.aclose()

    # -- asking

    async def _asked(self, command: Callable[[Any], Awaitable[T]], absent: T) -> T:
        if self._clock() < self._rests_until:
            return absent
        try:
            async with asyncio.timeout(self._timeout):
                if self._client is None:
                    self._client = client_of(self._url, self._timeout)
                return await command(self._client)
        except ResponseError as error:  # it is there, and says no: another type of value, no memory, no right
            self._failed(_reason(error))
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until = self._clock() + REST_SECS
            self._failed(_reason(error))
        return absent

    # -- what this process has read

    def _known(self, key: str) -> str | None:
        found = self._local.get(key)
        if found is None or found[1] <= self._clock():
            return None
        self._local.move_to_end(key)
        return found[0]

    def _keep(self, key: str, value: str, left_ms: int) -> None:
        secs = self._local_secs if left_ms < 0 else min(self._local_secs, left_ms / 1000)
        self._local[key] = (value, self._clock() + secs)
        self._local.move_to_end(key)
        while len(self._local) > self._most:
            self._local.popitem(last=False)


def client_of(url: RedisUrl, timeout: float) -> Any:
    """A client that repeats nothing and opens at most MOST_CONNECTIONS."""
    facts: dict[str, Any] = {
        "username": url.user,
        "password": url.password,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
    }
    if url.tls is not None:
        tls = url.tls
        facts |= {
            "ssl": True,
            "ssl_ca_certs": tls.ca or None,
            "ssl_certfile": tls.cert or None,
            "ssl_keyfile": tls.key or None,
            "ssl_cert_reqs": "none" if tls.verify == "none" else "required",
            "ssl_check_hostname": tls.verify == "full",
        }
    once = Retry(NoBackoff(), 0)
    if url.kind == "cluster":
        host, port = url.hosts[0]
        return RedisCluster(host=host, port=port, retry=once, **facts)
    if url.kind == "sentinel":
        people = {"username": url.sentinel_user, "password": url.sentinel_password}
        shared = {**facts, **people}
        sentinels = Sentinel(list(url.hosts), sentinel_kwargs=shared)  # type: ignore[no-untyped-call]
        return sentinels.master_for(url.service, db=url.db, retry=once, max_connections=MOST_CONNECTIONS, **facts)
    host, port = url.hosts[0]
    return redis.asyncio.Redis(
        host=host, port=port, db=url.db, retry=once, retry_on_error=[], max_connections=MOST_CONNECTIONS, **facts
    )


async def _get_with_ttl(client: Any, key: bytes) -> tuple[bytes | None, int]:
    async with client.pipeline(transaction=True) as pipe:
        found, left = await pipe.get(key).pttl(key).execute()
    return found, int(left)


async def _pop_all(client: Any, key: bytes) -> list[bytes]:
    async with client.pipeline(transaction=True) as pipe:
        found, _ = await pipe.lrange(key, 0, -1).delete(key).execute()
    return list(found)


async def _len_sum(client: Any, prefix: str) -> int:
    pattern = "".join(f"\\{c}" if c in "*?[]\\" else c for c in prefix) + "*"
    total = 0
    async for key in client.scan_iter(match=_bytes(pattern), count=SCAN_COUNT, _type="LIST"):
        total += int(await client.llen(key))
    return total


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not isinstance(error, RedisError):
        return "no answer in time"
    return (str(error) or type(error).__name__)[:160]
