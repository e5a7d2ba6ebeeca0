"""Copies of what a process receives and sends, for whoever wants them: `tracing.hep`, and traces of siphonctl.

A message is taken where it is parsed (Receiving, Ingest) and where it has left (ShmStore, Engine). There stands None
while nobody wants copies, so that a message then costs a comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from siphon.sip.identity import Identity
from siphon.state.store import Send
from workers.net import boottime

KEEPALIVE = 4
Address = tuple[str, int]


class Sink(Protocol):
    """Takes copies; never waits, never raises."""

    def copy(self, data: bytes, source: Address, to: Address, wall: float, *, incoming: bool) -> None:
        """A message from `source` to `to`, addresses as on the wire, at `wall` (epoch seconds)."""


class Taps:
    """Of one process. `local_ip(listener, peer)` is the address that a wildcard listener has towards a peer;
    `changed(self or None)` says where messages are taken whether anybody wants them."""

    def __init__(
        self, identity: Identity, local_ip: Callable[[int, str], str], changed: Callable[[Taps | None], None]
    ) -> None:
        self._identity = identity
        self._local_ip = local_ip
        self._changed = changed
        self._sinks: tuple[Sink, ...] = ()

    def configure(self, identity: Identity) -> None:
        """After a reload."""
        self._identity = identity

    def add(self, sink: Sink) -> None:
        """From now on."""
        self._sinks = (*self._sinks, sink)
        self._changed(self)

    def remove(self, sink: Sink) -> None:
        """No more."""
        self._sinks = tuple(one for one in self._sinks if one is not sink)
        self._changed(self if self._sinks else None)

    def received(self, data: bytes, source: Address, listener: int, local: str, arrived: float) -> None:
        """A datagram that came in; `local`: where it was sent to, for a wildcard listener."""
        if len(data) > KEEPALIVE and data[:1].isalpha():
            to, wall = self._own(listener, local, source[0]), time.time() - boottime() + arrived
            for sink in self._sinks:
                sink.copy(data, source, to, wall, incoming=True)

    def sent(self, send: Send) -> None:
        """A datagram that has left."""
        source, wall = self._own(send.listener, send.source, send.to[0]), time.time()
        for sink in self._sinks:
            sink.copy(send.data, source, send.to, wall, incoming=False)

    def _own(self, listener: int, local: str, peer: str) -> Address:
        own = self._identity.listener(listener, peer)
        return local or (self._local_ip(own.index, peer) if own.wildcard else "") or own.ip, own.port
