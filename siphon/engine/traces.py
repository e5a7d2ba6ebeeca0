"""Traces in a worker: who runs `siphonctl trace` gets the messages that belong to an address of record or a call.

    siphonctl                                       each worker, and the timer helper
    listens at trace-... in shared.path,
    raises TRACING in the slot table
                                                    sees it within LOOK_SECS, connects
    {"wanted": "sip:alice@example.com"}  -------->  takes copies from now on (taps.py)
                                         <--------  {"process": "w1", "pid": 4711}
                                         <--------  {"time": ..., "dropped": 0, ...} newline message
    {"call_id": "..."}  ------------------------->  also belongs to it: another worker has found it
    ends, however                                   end of file: no more copies

A packet that does not fit into the socket's buffer is dropped and counted; the next one tells. Nothing here waits. A
socket that nobody listens at is what a killed siphonctl has left: whoever finds it removes it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from siphon.config.log import WARN, Log
from siphon.engine.taps import Address, Taps
from siphon.services.store import StoreError
from siphon.services.tracing.matching import Wanted

PREFIX = "trace-"
TRACING = 1 << 19
"""Beside the flags of the slot table: somebody traces."""
MOST = 8
"""Traces at once; further ones get nothing."""
SNDBUF = 1 << 20
COMMAND_BYTES = 4096


class Traces:
    """All traces of one process. `contacts(aor)` are those that the address of record has now."""

    def __init__(
        self,
        place: Path,
        process: str,
        taps: Taps,
        loop: asyncio.AbstractEventLoop,
        contacts: Callable[[str], Iterable[str]],
        log: Log,
    ) -> None:
        self.place = place
        self.process = process
        self.taps = taps
        self.loop = loop
        self.contacts = contacts
        self.log = log
        self.open: dict[str, Trace] = {}

    def look(self, slots: Any) -> None:
        """Once a second: connect to who has come; contacts may have changed."""
        if not slots.flags & TRACING:
            return
        names = sorted(path.name for path in self.place.glob(f"{PREFIX}*"))
        if not names:
            slots.lower_flags(TRACING)  # who traces raises it once a second
        for name in names:
            if name not in self.open and len(self.open) < MOST:
                self._connect(name)
        for trace in self.open.values():
            trace.look()

    def ended(self, name: str) -> None:
        """Nobody listens any more."""
        self.taps.remove(self.open.pop(name))

    def _connect(self, name: str) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SNDBUF)
        try:
            connect(sock, self.place, name)
        except OSError as error:
            sock.close()
            if error.errno == errno.ECONNREFUSED:
                (self.place / name).unlink(missing_ok=True)
            elif error.errno not in (errno.EAGAIN, errno.ENOENT):
                self.log.often(WARN, "trace.not_connected", 1, error=error.strerror)
            return
        self.open[name] = Trace(self, name, sock)


class Trace:
    """One of them: a Sink."""

    def __init__(self, traces: Traces, name: str, sock: socket.socket) -> None:
        self._traces = traces
        self._name = name
        self._sock = sock
        self._dropped = 0
        self._wanted: Wanted | None = None
        traces.taps.add(self)
        traces.loop.add_reader(sock, self._heard)

    def look(self) -> None:
        """The address of record may have other contacts by now."""
        wanted = self._wanted
        if wanted is not None and wanted.aor is not None:
            with suppress(StoreError):  # the next look will tell
                wanted.contacts = frozenset(uri.encode() for uri in self._traces.contacts(wanted.aor))

    def copy(self, data: bytes, source: Address, to: Address, wall: float, *, incoming: bool) -> None:
        """See Sink.copy."""
        if self._wanted is None or not self._wanted.has(data):
            return
        direction = "in" if incoming else "out"
        self._send({"time": wall, "direction": direction, "source": source, "destination": to}, data)

    def _send(self, facts: dict[str, Any], data: bytes) -> None:
        facts["dropped"] = self._dropped
        try:
            self._sock.send(json.dumps(facts).encode() + b"\n" + data)
        except OSError:  # a full buffer, or who listened has gone: then the loop says so
            self._dropped += 1
        else:
            self._dropped = 0

    def _heard(self) -> None:
        try:
            data = self._sock.recv(COMMAND_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        told = json.loads(data)
        if "wanted" in told:
            self._wanted = Wanted(told["wanted"])
            self.look()
            self._send({"process": self._traces.process, "pid": os.getpid()}, b"")
        elif self._wanted is not None:
            self._wanted.add(told["call_id"].encode("utf-8", "surrogateescape"))

    def _close(self) -> None:
        self._traces.loop.remove_reader(self._sock)
        self._sock.close()
        self._traces.ended(self._name)


def connect(sock: socket.socket, place: Path, name: str) -> None:
    """An address of a socket holds 107 bytes, and the path may be longer."""
    directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{directory}/{name}")
    finally:
        os.close(directory)
