"""Connections to the servers that a URL names, and the questions asked before one is used.

redis.asyncio's Connection does the connecting, TLS, authentication and the protocol. Its client classes are not used:
they repeat a command whose answer was lost, and here nobody may but who asked. Names are resolved by asyncio in a
thread, so nothing here blocks the loop. Everything raises Unusable with a reason that holds no secret.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import RedisError

from siphon.config.redis_url import RedisUrl, Tls
from siphon.state.redis.names import PARTITIONS, slot

Place = tuple[str, int]

ONE_SECS = 0.5
"""How long one Sentinel, or one node of a Cluster, is asked before the next is, at first."""
MOST_TIMES = 3


class Unusable(Exception):
    """This server cannot be used now; the text says why. `late`: one that was asked took too long."""

    def __init__(self, why: str, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


class Patience:
    """How many times its usual limit an attempt has: one more after each that took too long, MOST_TIMES at most. A TLS
    handshake on a machine that is busy takes its time, and would be cut off for ever; a server that hangs shall not be
    waited for long."""

    def __init__(self) -> None:
        self.times = 1

    def ended(self, error: BaseException | None) -> None:
        """An attempt; None: it went well."""
        if error is None:
            self.times = 1
        elif isinstance(error, TimeoutError) or (isinstance(error, Unusable) and error.late):
            self.times = min(self.times + 1, MOST_TIMES)


class Server(NamedTuple):
    """What a server says of itself."""

    run_id: str
    version: str
    role: str


def connection_to(url: RedisUrl, place: Place, *, sentinel: bool = False) -> Any:
    """A connection that is not open yet. `sentinel`: to one of the Sentinels, which have users of their own."""
    known: dict[str, Any] = {
        "host": place[0],
        "port": place[1],
        "db": 0 if sentinel else url.db,
        "username": url.sentinel_user if sentinel else url.user,
        "password": url.sentinel_password if sentinel else url.password,
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "socket_keepalive": True,
    }
    if url.tls is None:
        return Connection(**known)
    made = SSLConnection(**known)
    made.ssl_context = _Context(url.tls)  # type: ignore[assignment]
    return made


class _Context:
    """In the place of what SSLConnection would make anew for each connection: that takes 25 ms of a worker's loop, and
    it trusts the system's authorities beside those that are named."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls

    def get(self) -> ssl.SSLContext:
        """Called when it connects; errors of the files are OSError."""
        return tls_context(self._tls)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """One a process, until a file of it, or one of the system's authorities, is written anew."""
    files = [file for file in (tls.cert, tls.key) if file]
    if tls.ca:
        files.append(tls.ca)
    else:  # the authorities of the system
        paths = ssl.get_default_verify_paths()
        files += [path for path in (paths.cafile, paths.capath) if path]
    return _made(tls, tuple(os.stat(file).st_mtime_ns for file in files))


@functools.lru_cache(maxsize=8)
def _made(tls: Tls, _written: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca or None)
    context.check_hostname = tls.verify == "full"
    context.verify_mode = ssl.CERT_NONE if tls.verify == "none" else ssl.CERT_REQUIRED
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key or None)
    return context


def reason(error: BaseException) -> str:
    """An error of a connection, in a few words."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, TimeoutError) and not isinstance(error, RedisError):
        return "no answer in time"
    text = str(error) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


async def ask(connection: Any, *command: object) -> Any:
    """One command and its answer; errors of Redis are raised."""
    await connection.send_command(*command, check_health=False)
    return await connection.read_response(disable_decoding=True)


async def opened(connection: Any) -> Any:
    """Connect, authenticate, select; Unusable when that fails. The caller limits the time."""
    try:
        await connection.connect()
    except (RedisError, OSError, ValueError) as error:
        await closed(connection)
        raise Unusable(reason(error)) from None
    except BaseException:
        await closed(connection)
        raise
    return connection


async def closed(connection: Any) -> None:
    """Close, whatever state it is in, without waiting for the peer."""
    writer = getattr(connection, "_writer", None)
    if writer is not None:
        writer.transport.abort()
    with suppress(RedisError, OSError, TimeoutError):
        await connection.disconnect(nowait=True)


async def examine(connection: Any) -> Server:
    """Ask a server who it is; Unusable unless it is a master that has its data."""
    try:
        facts = _facts(await ask(connection, "INFO", "server")) | _facts(await ask(connection, "INFO", "replication"))
        facts |= _facts(await ask(connection, "INFO", "persistence"))
    except (RedisError, OSError) as error:
        raise Unusable(reason(error)) from None
    server = Server(facts.get("run_id", ""), facts.get("redis_version", "?"), facts.get("role", "?"))
    if server.role != "master":
        raise Unusable(f"it is a {server.role}, not a master")
    if facts.get("loading", "0") != "0":
        raise Unusable("it is still loading its data")
    if not server.run_id:
        raise Unusable("it does not say its run id")
    return server


def _facts(data: bytes) -> dict[str, str]:
    lines = data.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


async def master_by_sentinels(url: RedisUrl, times: int = 1) -> Place:
    """The master's place, from the first Sentinel that knows it. `times`: see Patience."""
    why, late = "no Sentinel answered", False
    for place in url.hosts:
        connection = connection_to(url, place, sentinel=True)
        try:
            async with asyncio.timeout(ONE_SECS * times):
                await opened(connection)
                found = await ask(connection, "SENTINEL", "get-master-addr-by-name", url.service)
        except (Unusable, RedisError, OSError) as error:
            why = f"Sentinel {place[0]}:{place[1]}: {reason(error)}"
            late = late or isinstance(error, TimeoutError)
            continue
        finally:
            await closed(connection)
        if found:
            return found[0].decode(), int(found[1])
        why = f"the Sentinels know no master named {url.service}"
    raise Unusable(why, late)


async def partitions_of_cluster(url: RedisUrl, places: list[Place], times: int = 1) -> dict[int, Place]:
    """Which master has which partition, from the first node that knows. `times`: see Patience."""
    why, late = "no node of the Cluster answered", False
    for place in places:
        connection = connection_to(url, place)
        try:
            async with asyncio.timeout(ONE_SECS * times):
                await opened(connection)
                found = await ask(connection, "CLUSTER", "SLOTS")
        except (Unusable, RedisError, OSError) as error:
            why = f"{place[0]}:{place[1]}: {reason(error)}"
            late = late or isinstance(error, TimeoutError)
            continue
        finally:
            await closed(connection)
        known = _masters(found, place)
        if known:
            return known
        why = f"{place[0]}:{place[1]}: it serves no slots"
    raise Unusable(why, late)


def _masters(ranges: list[Any], asked: Place) -> dict[int, Place]:
    """From CLUSTER SLOTS. A node that does not know its own address is where it was asked."""
    found: dict[int, Place] = {}
    for number in range(PARTITIONS):
        at = slot(number)
        for first, last, master, *_ in ranges:
            if first <= at <= last:
                found[number] = (master[0].decode() if master[0] else asked[0], int(master[1]))
    return found
