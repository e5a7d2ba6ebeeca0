"""A media relay for tests: answers the NG protocol of RTPEngine or that of rtpproxy over UDP, with faults on demand.

It runs in a thread of its own, so that a test, a worker in the same process and another process can talk to it alike.
Like the real ones it answers a repeated cookie with what it has answered. It relays no media: the description comes
back with its address and the next port.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import Any

from siphon.services.media.bencode import BadBencoding, decode, encode

_ADDRESS = re.compile(rb"c=IN IP[46] \S+")
_PORT = re.compile(rb"m=(\w+) [1-9][0-9]*")


class FakeRelay:
    """One relay. `silent`: it answers nothing; `lose`: not the first so many datagrams; `error`: why it refuses;
    `garbage`: what it answers instead; `full`: it takes no new calls; `slow`: seconds before an answer."""

    def __init__(self, port: int = 0, ip: str = "127.0.0.1") -> None:
        self.silent = False
        self.lose = 0
        self.error = ""
        self.garbage = b""
        self.full = False
        self.slow = 0.0
        self.commands: list[dict[str, Any]] = []
        """What was asked, pings and repeats left out; of rtpproxy {"command": letter, "words": [...]}."""
        self.pings = 0
        self.datagrams = 0
        self._stopping = False
        self._port = 20000
        self._given: dict[bytes, bytes] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ip, port))
        self.address = f"{ip}:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nobody listens there any more."""
        self._stopping = True
        waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ip, _, port = self.address.rpartition(":")
        waker.sendto(b"", (ip, int(port)))
        waker.close()
        self._thread.join(10)
        self._socket.close()

    def names(self) -> list[str]:
        """The commands in order."""
        return [str(one["command"]) for one in self.commands]

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(65_535)
            if self._stopping:
                return
            self.datagrams += 1
            if self.lose > 0:
                self.lose -= 1
                continue
            answer = self._answer(data)
            if self.slow:
                time.sleep(self.slow)
            if answer is not None:
                self._socket.sendto(answer, peer)

    def _answer(self, data: bytes) -> bytes | None:
        cookie, _, command = data.partition(b" ")
        if self.silent:
            return None
        if self.garbage:
            return cookie + b" " + self.garbage
        if cookie not in self._given:
            text = command[:1] != b"d"
            self._given[cookie] = self._of_rtpproxy(command) if text else self._of_rtpengine(command)
        return cookie + b" " + self._given[cookie]

    def _of_rtpengine(self, data: bytes) -> bytes:
        try:
            command = decode(data)
        except BadBencoding:
            return encode({"result": "error", "error-reason": "not bencoded"})
        name = command["command"].decode()
        if name == "ping":
            self.pings += 1
            return encode({"result": "pong"})
        self.commands.append({**command, "command": name})
        if self.error:
            return encode({"result": "error", "error-reason": self.error})
        if self.full and name == "offer":
            return encode({"result": "load limit", "message": "full"})
        answer: dict[str, Any] = {"result": "ok"}
        if "sdp" in command:
            answer["sdp"] = self._rewritten(command["sdp"])
        if name == "subscribe request":
            answer["sdp"] = b"v=0\r\ns=subscription\r\n"
        if name == "play media":
            answer["duration"] = 40
        return encode(answer)

    def _of_rtpproxy(self, data: bytes) -> bytes:
        words = data.decode().split()
        letter = words[0][:1]
        if letter == "V":
            self.pings += 1
            return b"20040107\n"
        self.commands.append({"command": letter, "words": words})
        if self.error:
            return self.error.encode() + b"\n"
        return b"0\n" if letter == "D" else b"%d %b\n" % (self._next_port(), self.address.rpartition(":")[0].encode())

    def _rewritten(self, sdp: bytes) -> bytes:
        ip = self.address.rpartition(":")[0].encode()
        moved = _ADDRESS.sub(b"c=IN IP4 " + ip, sdp)
        return _PORT.sub(lambda found: b"m=%b %d" % (found[1], self._next_port()), moved)

    def _next_port(self) -> int:
        self._port += 2
        return self._port
