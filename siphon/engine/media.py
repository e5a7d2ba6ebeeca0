"""Media in one worker: its relays, and what they tell by themselves (`media.events.listen_addr`).

Every worker opens a UDP and a TCP socket of its own on that address (SO_REUSEPORT), so the kernel gives each event to
one worker. A worker that dies takes at most what waits in its own sockets with it. The handlers are those of the
current script; `call_id=` and `from_tag=` of their decorators are compared here.

The HTTP of a relay's XMLRPC call is answered and closed, whatever it says: CONNECTIONS at a time, HTTP_SECS each.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from functools import partial

from siphon.config.log import WARN, Log
from siphon.config.media import Media as MediaSettings
from siphon.config.values import split_address
from siphon.engine.periodic import Run
from siphon.script.registry import Handler
from siphon.services.media.calls import Calls
from siphon.services.media.notices import LONGEST, Dtmf, MediaTimeout, dtmf_of, timeout_of
from siphon.services.media.relays import MediaRelays

KINDS: dict[type[Dtmf | MediaTimeout], str] = {Dtmf: "rtpengine.on_dtmf", MediaTimeout: "rtpengine.on_media_timeout"}
AGAIN_SECS = 5.0
CONNECTIONS = 64
HTTP_SECS = 5.0
PORTION = 64
_LENGTH = re.compile(rb"^content-length:[ \t]*([0-9]{1,6})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_BODY = (
    b'<?xml version="1.0"?>\r\n<methodResponse><params><param><value><string>OK</string></value></param></params>'
    b"</methodResponse>\r\n"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"


class Media:
    """Media of one process. `handlers(kind)` gives those of the current script, `run` calls one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        chance: Callable[[], float],
        log: Log,
        handlers: Callable[[str], tuple[Handler, ...]],
        run: Run,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._chance = chance
        self._log = log
        self._handlers = handlers
        self._run = run
        self._address: str | None = None
        self._udp: socket.socket | None = None
        self._tcp: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None
        self._connections = 0
        self.relays: MediaRelays | None = None

    def configure(self, settings: MediaSettings | None, calls: Calls) -> MediaRelays | None:
        """Work by these settings from now on: the relays, None without a section `media`."""
        if settings is None:
            self.close()
            return None
        if self.relays is None:
            self.relays = MediaRelays(self._loop, calls, self._clock, self._chance, self._log)
        self.relays.configure(settings, calls)
        self._listen(settings.events.listen_addr)
        return self.relays

    def close(self) -> None:
        """Ask nobody and hear nobody any more."""
        if self.relays is not None:
            self.relays.close()
            self.relays = None
        self._listen(None)

    # -- what relays tell

    def deaf(self) -> None:
        """Hear nothing more: another siphond does."""
        self._listen(None)

    def _listen(self, address: str | None) -> None:
        if address == self._address:
            return
        self._address = address
        if self._opening is not None:
            self._opening.cancel()
        self._close_sockets()
        if address is not None:
            self._opening = self._loop.create_task(self._open(address))

    def _close_sockets(self) -> None:
        if self._udp is not None:
            self._loop.remove_reader(self._udp.fileno())
            self._udp.close()
            self._udp = None
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None

    async def _open(self, address: str) -> None:
        """Open both sockets, again and again until it works."""
        ip, port = split_address(address)
        while True:
            try:
                self._udp = _udp_socket(ip, port)
                self._loop.add_reader(self._udp.fileno(), partial(self._read, self._udp))
                self._tcp = await asyncio.start_server(self._serve, ip, port, reuse_port=True, limit=LONGEST)
                return
            except OSError as error:
                self._close_sockets()
                self._log.often(WARN, "media.events", 1, address=address, error=str(error))
            await asyncio.sleep(AGAIN_SECS)

    def _read(self, sock: socket.socket) -> None:
        for _ in range(PORTION):
            try:
                datagram = sock.recv(LONGEST)
            except OSError:
                return
            self._tell(dtmf_of(datagram))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one call, one answer."""
        if self._connections < CONNECTIONS:
            self._connections += 1
            try:
                async with asyncio.timeout(HTTP_SECS):
                    self._tell(timeout_of(await _body_of(reader, writer)))
                    writer.write(_ANSWER % (len(_BODY), _BODY))
                    await writer.drain()
            except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            finally:
                self._connections -= 1
        writer.close()

    def _tell(self, event: Dtmf | MediaTimeout | None) -> None:
        """Run the handlers that the event is for."""
        if event is None:
            self._log.often(WARN, "media.event_not_understood", 1)
            return
        for handler in self._handlers(KINDS[type(event)]):
            wanted = handler.metadata or {}
            if wanted.get("call_id") in (None, event.call_id) and wanted.get("from_tag") in (None, event.from_tag):
                self._run(handler.function, tuple(event), lambda: None)


def _udp_socket(ip: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((ip, port))
    except OSError:
        made.close()
        raise
    return made


async def _body_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The body of an HTTP request."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = _LENGTH.search(head)
    size = min(int(found[1]), LONGEST) if found else 0
    if b"100-continue" in head.lower():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await reader.readexactly(size)
