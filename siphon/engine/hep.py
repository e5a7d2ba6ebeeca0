"""`tracing.hep`: a copy of every SIP message that a process receives or sends goes to a collector, as HEP version 3.

Each process sends its own, from its own socket or connection (services/tracing/way.py). A copy that cannot leave at
once is dropped and counted; a line in the log says so, one every `error_log_interval` seconds. Nothing waits, and
nothing of it is on the way of a message while it is off: Engine.receive looks for it once a batch, the store at the
start.

What comes from banned sources is not copied, nor are keepalives and what begins with no letter (STUN). Copies of what
is received bear the time at which the kernel had it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from siphon.config.later import Hep
from siphon.config.log import Log
from siphon.config.values import split_endpoint
from siphon.engine.counters import Counter
from siphon.engine.reports import Count
from siphon.services.tracing import Way, packet, way_of
from siphon.sip.identity import Identity
from siphon.state.shm_store import ShmStore
from siphon.state.store import Commit, Send, Wait
from workers.net import boottime

KEEPALIVE = 4


class HepCopies:
    """Of one process. `local_ip(listener, peer)` is the address that a wildcard listener has towards a peer."""

    def __init__(
        self,
        settings: Hep,
        identity: Identity,
        local_ip: Callable[[int, str], str],
        loop: asyncio.AbstractEventLoop,
        count: Count,
        log: Log,
    ) -> None:
        host, port = split_endpoint(settings.endpoint)
        self._identity = identity
        self._local_ip = local_ip
        self._count = count
        self._log = log
        self._agent = settings.agent_id or 0
        self._every = settings.error_log_interval
        self._dropped = 0
        self._told = -self._every
        self._way: Way = way_of(settings.transport, host, port, loop, settings.ca_cert, settings.tls_server_name)

    def configure(self, identity: Identity) -> None:
        """After a reload."""
        self._identity = identity

    def received(self, data: bytes, source: tuple[str, int], listener: int, local: str, arrived: float) -> None:
        """A datagram that came in; `local`: where it was sent to, for a wildcard listener."""
        if len(data) > KEEPALIVE and data[:1].isalpha():
            self._copy(data, source, self._own(listener, local, source[0]), time.time() - boottime() + arrived)

    def sent(self, send: Send) -> None:
        """A datagram that has left."""
        self._copy(send.data, self._own(send.listener, send.source, send.to[0]), send.to, time.time())

    def close(self) -> None:
        """No more copies."""
        self._way.close()

    def _own(self, listener: int, local: str, peer: str) -> tuple[str, int]:
        own = self._identity.listeners[listener]
        return local or (self._local_ip(listener, peer) if own.wildcard else "") or own.ip, own.port

    def _copy(self, data: bytes, source: tuple[str, int], to: tuple[str, int], wall: float) -> None:
        try:
            why = self._way.send(packet(data, source, to, wall, self._agent))
        except ValueError as error:
            why = str(error)
        if why:
            self._drop(why)

    def _drop(self, why: str) -> None:
        self._count(Counter.HEP_DROPPED)
        self._dropped += 1
        now = boottime()
        if now - self._told >= self._every:
            self._log.warn("hep.dropped", copies=self._dropped, reason=why)
            self._told, self._dropped = now, 0


class CopyingStore(ShmStore):
    """The store over shared memory; what a commit has sent is copied once the commit stands, outside of its locks."""

    copies: HepCopies | None = None

    def commit(self, commit: Commit) -> int | Wait:
        """See Store.commit."""
        result = super().commit(commit)
        if self.copies is not None and isinstance(result, int) and result > 0:
            for send in commit.sends:
                self.copies.sent(send)
        return result
