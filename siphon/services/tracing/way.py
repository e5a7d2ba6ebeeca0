"""How packets get to the collector: a datagram each, or a stream over TCP or TLS. Nothing here ever waits.

A way is tried in the background, on the process's asyncio loop. What cannot be sent at this moment - no address yet, no
connection, a full buffer - is dropped by who asked, which is told why. A connection that is lost is made again after a
pause; what was on its way is lost.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

AGAIN_SECS = 1.0
MOST_AGAIN_SECS = 30.0
CONNECT_SECS = 5.0
RESOLVE_SECS = 60.0
BUFFER_BYTES = 1 << 20
"""What may wait in a stream."""
SNDBUF = 1 << 20


class Way(Protocol):
    """`send` says why a packet was dropped, "" when it was not."""

    def send(self, packet: bytes) -> str: ...

    def close(self) -> None: ...


def way_of(
    transport: str,
    host: str,
    port: int,
    loop: asyncio.AbstractEventLoop,
    ca: Path | None = None,
    server_name: str | None = None,
) -> Way:
    """`transport`: udp, tcp or tls. Raises OSError or ssl.SSLError where the certificates cannot be read."""
    if transport == "udp":
        return Datagrams(host, port, loop)
    context = ssl.create_default_context(cafile=None if ca is None else str(ca)) if transport == "tls" else None
    return Stream(host, port, loop, context, server_name)


class Datagrams:
    """By UDP. The name is looked up again every RESOLVE_SECS."""

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self._host, self._port, self._loop = host, port, loop
        self._sock: socket.socket | None = None
        self._to: object = None
        self._why = "the collector's name is being looked up"
        self._task = loop.create_task(self._keep())

    def send(self, packet: bytes) -> str:
        """See Way."""
        if self._sock is None:
            return self._why
        try:
            self._sock.send(packet)
        except BlockingIOError:
            return "the socket's buffer is full"
        except OSError as error:
            return error.strerror or type(error).__name__
        return ""

    def close(self) -> None:
        """See Way."""
        self._task.cancel()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    async def _keep(self) -> None:
        while True:
            try:
                found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
                if found[0][4] != self._to:
                    self._connect(found[0][0], found[0][4])
            except (OSError, IndexError) as error:
                self._why = f"the collector's name: {error}"
            await asyncio.sleep(RESOLVE_SECS if self._sock is not None else AGAIN_SECS)

    def _connect(self, family: int, to: object) -> None:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SNDBUF)
            sock.connect(cast(tuple[str, int], to))
        except OSError:
            sock.close()
            raise
        if self._sock is not None:
            self._sock.close()
        self._sock, self._to = sock, to


class Stream:
    """By TCP, or TLS where there is a context."""

    def __init__(
        self,
        host: str,
        port: int,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext | None,
        server_name: str | None,
    ) -> None:
        self._host, self._port, self._loop, self._context = host, port, loop, context
        self._server_name = (server_name or host) if context is not None else None
        self._transport: asyncio.WriteTransport | None = None
        self._why = "connecting"
        self._task = loop.create_task(self._keep())

    def send(self, packet: bytes) -> str:
        """See Way."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return self._why
        if transport.get_write_buffer_size() + len(packet) > BUFFER_BYTES:
            return "the collector does not read fast enough"
        transport.write(packet)
        return ""

    def close(self) -> None:
        """See Way."""
        self._task.cancel()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def _keep(self) -> None:
        pause = AGAIN_SECS
        while True:
            lost = asyncio.Event()
            try:
                async with asyncio.timeout(CONNECT_SECS):
                    made, _ = await self._loop.create_connection(
                        lambda lost=lost: _Silent(lost.set),
                        self._host,
                        self._port,
                        ssl=self._context,
                        server_hostname=self._server_name,
                    )
            except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
                self._why = f"no connection: {error or type(error).__name__}"
            else:
                self._transport, pause = made, AGAIN_SECS
                await lost.wait()
                self._transport, self._why = None, "the connection was lost"
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_AGAIN_SECS)


class _Silent(asyncio.Protocol):
    """A collector says nothing; that it has gone matters."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()
