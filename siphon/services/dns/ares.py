"""Questions to DNS servers: c-ares on the worker's asyncio loop.

c-ares does the wire: random ids and ports, only answers of the server asked, TCP after a truncated answer, the next
server after silence, /etc/resolv.conf with its search list. Its sockets are watched by the loop. A channel serves
CHANNEL_SECS and is then replaced, because c-ares keeps answers of its own that cannot be switched off here, and
because the system's files may have changed.

NXDOMAIN and an empty answer are no records; every other failure raises DnsFault. Made after fork.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pycares

from siphon.services.dns.order import Naptr, Srv

CHANNEL_SECS = 1.0
TRIES = 2
LOOK_EVERY = 0.25
"""c-ares is asked for its timeouts this often while a question is open."""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NOSORT = 1 << 7  # ARES_AI_NOSORT: the order of the server stays, and no socket is tried for each address
_NOBODY = pycares.ARES_SOCKET_BAD
_NO_RECORDS = frozenset((pycares.errno.ARES_ENODATA, pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_EBADNAME))


class DnsFault(Exception):
    """No server gave an answer that can be used."""


class Addresses(NamedTuple):
    """Numeric addresses of one name and how long they may be kept."""

    ips: tuple[str, ...]
    ttl: float


class Ares:
    """Asks. `servers` are addresses with or without port, none for the system's; `seconds` is for one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, servers: Sequence[str], seconds: float) -> None:
        self._loop = loop
        self._servers = tuple(servers)
        self._seconds = seconds
        self._channel: Channel | None = None

    async def naptr(self, name: str) -> tuple[list[Naptr], float]:
        """NAPTR records and their time to live."""
        found, ttl = await self._query(name, pycares.QUERY_TYPE_NAPTR)
        return [
            Naptr(d.order, d.preference, _text(d.flags), _text(d.service), _text(d.regexp), _name(d.replacement))
            for d in found
        ], ttl

    async def srv(self, name: str) -> tuple[list[Srv], float]:
        """SRV records and their time to live."""
        found, ttl = await self._query(name, pycares.QUERY_TYPE_SRV)
        return [Srv(d.priority, d.weight, d.port, _name(d.target)) for d in found], ttl

    async def addresses(self, name: str, family: int) -> Addresses:
        """A records (4) or AAAA records (6)."""
        return _addresses(await self._current().ask(_host_question(name, family)))

    async def _query(self, name: str, kind: int) -> tuple[list[Any], float]:
        result = await self._current().ask(lambda channel, done: channel.query(name, kind, callback=done))
        records = [] if result is None else [r for r in result.answer if r.type == kind]
        return [r.data for r in records], float(min((r.ttl for r in records), default=0))

    def _current(self) -> Channel:
        if self._channel is None or self._channel.made + CHANNEL_SECS < self._loop.time():
            self.close()
            self._channel = Channel(self._loop, self._servers, self._seconds)
        return self._channel

    def close(self) -> None:
        """Take no more questions; what is open is still answered."""
        if self._channel is not None:
            self._channel.retire()
        self._channel = None


Done = Callable[[Any, Any], None]


class Channel:
    """A c-ares channel: the loop watches its sockets and timeouts, destroyed by a thread of pycares."""

    def __init__(self, loop: asyncio.AbstractEventLoop, servers: Sequence[str], seconds: float) -> None:
        self.made = loop.time()
        self._loop = loop
        self._open = 0
        self._retired = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._watched: set[int] = set()
        self._dns = pycares.Channel(sock_state_cb=self._watch, servers=servers or None, timeout=seconds, tries=TRIES)

    def ask(self, question: Callable[[pycares.Channel, Done], None]) -> asyncio.Future[Any]:
        """The answer: what c-ares found, None when there are no such records, or DnsFault."""
        future: asyncio.Future[Any] = self._loop.create_future()
        waiting = True

        def done(result: Any, error: int | None) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._open -= 1
                _settle(future, result, error)
                self._close_when_idle()

        self._open += 1
        try:
            question(self._dns, done)
        except (pycares.AresError, ValueError) as error:  # a name that cannot be asked for
            done(None, error.args[0] if isinstance(error, pycares.AresError) else pycares.errno.ARES_EBADNAME)
        self._arm()
        return future

    def retire(self) -> None:
        """Close as soon as nothing is open any more."""
        self._retired = True
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if not self._retired or self._open or self._closed:
            return
        self._closed = True
        for fd in list(self._watched):
            self._watch_locally(fd, False, False)
        if self._timer is not None:
            self._timer.cancel()
        self._dns.close()

    # -- sockets and timeouts -----------------------------------------------------------------------------------------

    def _watch(self, fd: int, readable: bool, writable: bool) -> None:
        if not self._closed:
            self._watch_locally(fd, readable, writable)

    def _watch_locally(self, fd: int, readable: bool, writable: bool) -> None:
        self._watched.add(fd)
        if readable:
            self._loop.add_reader(fd, self._process, fd, _NOBODY)
        else:
            self._loop.remove_reader(fd)
        if writable:
            self._loop.add_writer(fd, self._process, _NOBODY, fd)
        else:
            self._loop.remove_writer(fd)
        if not readable and not writable:
            self._watched.discard(fd)

    def _process(self, read: int, write: int) -> None:
        if not self._closed:
            self._dns.process_fd(read, write)

    def _arm(self) -> None:
        if self._timer is None and self._open and not self._closed:
            self._timer = self._loop.call_later(max(0.005, self._due_in()), self._look)

    def _due_in(self) -> float:
        return float(self._dns.timeout(LOOK_EVERY))  # type: ignore[no-untyped-call]

    def _look(self) -> None:
        self._timer = None
        self._process(_NOBODY, _NOBODY)
        self._arm()


def _host_question(name: str, family: int) -> Callable[[pycares.Channel, Done], None]:
    def question(channel: pycares.Channel, done: Done) -> None:
        channel.getaddrinfo(name, None, family=FAMILIES[family], type=socket.SOCK_DGRAM, flags=_NOSORT, callback=done)

    return question


def _settle(future: asyncio.Future[Any], result: Any, error: int | None) -> None:
    if future.done():
        return
    if error is None or error in _NO_RECORDS:
        future.set_result(result if error is None else None)
    else:
        future.set_exception(DnsFault(pycares.errno.strerror(error)))


def _addresses(result: Any) -> Addresses:
    if result is None or not result.nodes:
        return Addresses((), 0.0)
    ips = dict.fromkeys(_text(node.addr[0]) for node in result.nodes)
    ttls = [node.ttl for node in result.nodes] + [cname.ttl for cname in result.cnames]
    return Addresses(tuple(ips), float(min(ttls)))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _name(value: str | bytes) -> str:
    return _text(value).rstrip(".").lower()
