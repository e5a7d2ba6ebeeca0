"""Questions to one media relay over UDP: a cookie, a space, the command; the answer begins with the same cookie.

Both protocols, NG and that of rtpproxy, have this form, and both relays answer a repeated cookie with the answer that
they have given, so a repeat is never carried out twice. A question is repeated `repeats` times within its time, each
pause twice as long as the one before; what never answers costs who asked that time and nobody else anything. Cookies
are unique among all processes, since a relay remembers those of all of them. An answer to no question, too late or
forged, is dropped: it would have to guess 64 random bits.

The socket is connected, so ICMP tells when nobody listens: with `patient` that is no answer (a relay that is being
restarted comes back), otherwise the end of the question.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import NamedTuple

MOST_WAITING = 10_000
"""Questions on their way at one time."""
READ = 65_535
PORTION = 64
"""Answers read at a time."""


class NoAnswer(Exception):
    """The relay did not answer in time, or cannot be reached."""


class _Asked(NamedTuple):
    answer: asyncio.Future[bytes]
    patient: bool


class Link:
    """The socket of one process to one relay. Made after fork; `address` is numeric."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: tuple[str, int], timeout_ms: int, repeats: int = 2
    ) -> None:
        self._loop = loop
        self._address = address
        self._waiting: dict[bytes, _Asked] = {}
        self._prefix = os.urandom(8).hex().encode()
        self._count = 0
        self._socket: socket.socket | None = None
        self.timing = (timeout_ms, repeats)

    @property
    def timing(self) -> tuple[int, int]:
        """(timeout_ms, repeats) of questions from now on."""
        return self._timing

    @timing.setter
    def timing(self, timing: tuple[int, int]) -> None:
        self._timing = timeout_ms, repeats = timing
        whole = timeout_ms / 1000
        weights = [2**number for number in range(min(repeats, 16) + 1)]
        self._pauses = [whole * weight / sum(weights) for weight in weights]

    @property
    def pending(self) -> int:
        """Questions that wait for an answer."""
        return len(self._waiting)

    async def ask(self, command: bytes, patient: bool = True) -> bytes:
        """The answer without its cookie; NoAnswer where there is none. ValueError: it is too large to send, which
        says nothing of the relay."""
        if len(self._waiting) >= MOST_WAITING:
            raise NoAnswer(f"{MOST_WAITING} questions wait for an answer")
        self._count += 1
        cookie = b"%b_%x" % (self._prefix, self._count)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[cookie] = _Asked(answer, patient)
        try:
            for pause in self._pauses:
                self._send(b"%b %b" % (cookie, command))
                await asyncio.wait([answer], timeout=pause)
                if answer.done():
                    return answer.result()
            raise NoAnswer(f"no answer within {self._timing[0]} ms")
        finally:
            del self._waiting[cookie]
            answer.cancel()

    def close(self) -> None:
        """Let go of the socket; who still waits gets no answer."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._refuse("the relay is no longer configured", patient_too=True)

    def _send(self, datagram: bytes) -> None:
        try:
            self._open().send(datagram)
        except ConnectionRefusedError:  # tells of an earlier datagram
            self._refuse("nobody listens there")
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise ValueError(f"a command of {len(datagram)} bytes does not fit a datagram") from None

    def _open(self) -> socket.socket:
        if self._socket is None:
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
            made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                made.connect(self._address)
            except OSError:
                made.close()
                raise
            self._loop.add_reader(made.fileno(), self._read)
            self._socket = made
        return self._socket

    def _read(self) -> None:
        for _ in range(PORTION):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(READ)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self._refuse("nobody listens there")
                continue
            except OSError:  # another ICMP error: the time of the questions goes on
                continue
            cookie, _, answer = data.partition(b" ")
            asked = self._waiting.get(cookie)
            if asked is not None and not asked.answer.done():
                asked.answer.set_result(answer)

    def _refuse(self, why: str, patient_too: bool = False) -> None:
        for asked in self._waiting.values():
            if not asked.answer.done() and (patient_too or not asked.patient):
                asked.answer.set_exception(NoAnswer(why))
