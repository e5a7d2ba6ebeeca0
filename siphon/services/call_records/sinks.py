"""Where lines go: a file that is rotated by size, a syslog server, a web server.

A sink takes lines and says how many of them, from the first on, are where they belong. What is not is given again. A
sink may block: it is used by the writer's process only.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

HEADER = "<134>1"
"""Of a syslog message (RFC 5424): facility local0, severity informational, version 1."""


class SinkError(Exception):
    """Nothing can be written now; the text says why. `taken`: so many lines were before it."""

    def __init__(self, why: str, taken: int = 0) -> None:
        super().__init__(why)
        self.taken = taken


class Sink(Protocol):
    """Raises SinkError."""

    def write(self, lines: Sequence[bytes]) -> int: ...

    def close(self) -> None: ...


class FileSink:
    """Appends to a file; a new one begins when it has `most` bytes, and when somebody has moved it away.

    Lines are written whole or not at all: what a full disk, or a death, has cut off is taken back. The old file gets
    its time as suffix, "cdr.jsonl.20260131-120000".
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._file = -1

    def write(self, lines: Sequence[bytes]) -> int:
        """All of them."""
        data = b"".join(lines)
        try:
            self._open()
            size = os.fstat(self._file).st_size
            if size and size + len(data) > self._most:
                self._rotate()
                size = 0
            self._append(data, size)
        except OSError as error:
            self.close()
            raise SinkError(f"{self._path}: {(error.strerror or str(error)).lower()}") from None
        return len(lines)

    def close(self) -> None:
        """Opened again by the next write."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, data: bytes, size: int) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _open(self) -> None:
        """The file of that name, whatever happened to the one that is open."""
        if self._file >= 0:
            try:
                there, here = os.stat(self._path), os.fstat(self._file)
                if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._drop_half_line()

    def _drop_half_line(self) -> None:
        """Whoever wrote it was killed before it was done: its record is still there and is written again."""
        size = os.fstat(self._file).st_size
        at = max(0, size - (1 << 20))
        tail = os.pread(self._file, size - at, at)
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(self._file, at + tail.rfind(b"\n") + 1)

    def _rotate(self) -> None:
        self.close()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        old, number = self._path.with_name(f"{self._path.name}.{stamp}"), 1
        while old.exists():
            number += 1
            old = self._path.with_name(f"{self._path.name}.{stamp}-{number}")
        os.rename(self._path, old)
        self._open()


class SyslogSink:
    """One datagram a line to a syslog server, RFC 5424 and 5426. Nobody confirms them."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._place = (host, port)
        self._name = name or "-"
        self._socket: socket.socket | None = None

    def write(self, lines: Sequence[bytes]) -> int:
        """All, or those before the first that could not be sent."""
        for number, text in enumerate(lines):
            try:
                self._connected().send(self._message(text))
            except OSError as error:
                self.close()
                why = f"syslog {self._place[0]}:{self._place[1]}: {(error.strerror or str(error)).lower()}"
                raise SinkError(why, number) from None
        return len(lines)

    def close(self) -> None:
        """Opened again by the next write."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            family, kind, number, _, address = socket.getaddrinfo(*self._place, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, kind, number)
            made.settimeout(1.0)
            made.connect(address)
            self._socket = made
        return self._socket

    def _message(self, text: bytes) -> bytes:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return f"{HEADER} {when} {self._name} siphond {os.getpid()} cdr - ".encode() + text.rstrip(b"\n")
