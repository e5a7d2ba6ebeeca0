"""`tracing.hep`: a copy of every SIP message that a process receives or sends goes to a collector, as HEP version 3.

Each process sends its own, from its own socket or connection (services/tracing/way.py). A copy that cannot leave at
once is dropped and counted; a line in the log says so, one every `error_log_interval` seconds. Nothing waits.
Where messages are taken: taps.py.

What comes from banned sources is not copied, nor are keepalives and what begins with no letter (STUN). Copies of what
is received bear the time at which the kernel had it.
"""

from __future__ import annotations

import asyncio

from siphon.config.later import Hep
from siphon.config.log import Log
from siphon.config.values import split_endpoint
from siphon.engine.counters import Counter
from siphon.engine.reports import Count
from siphon.engine.taps import Address
from siphon.services.tracing import Way, packet, way_of
from workers.net import boottime


class HepCopies:
    """Of one process: a Sink."""

    def __init__(
        self,
        settings: Hep,
        loop: asyncio.AbstractEventLoop,
        count: Count,
        log: Log,
    ) -> None:
        host, port = split_endpoint(settings.endpoint)
        self._count = count
        self._log = log
        self._agent = settings.agent_id or 0
        self._every = settings.error_log_interval
        self._dropped = 0
        self._told = -self._every
        self._way: Way = way_of(settings.transport, host, port, loop, settings.ca_cert, settings.tls_server_name)

    def copy(self, data: bytes, source: Address, to: Address, wall: float, *, incoming: bool) -> None:
        """See Sink.copy."""
        try:
            why = self._way.send(packet(data, source, to, wall, self._agent))
        except ValueError as error:
            why = str(error)
        if why:
            self._drop(why)

    def close(self) -> None:
        """No more copies."""
        self._way.close()

    def _drop(self, why: str) -> None:
        self._count(Counter.HEP_DROPPED)
        self._dropped += 1
        now = boottime()
        if now - self._told >= self._every:
            self._log.warn("hep.dropped", copies=self._dropped, reason=why)
            self._told, self._dropped = now, 0
