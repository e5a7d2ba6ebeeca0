"""Debian's rtpengine-daemon in userspace mode, and phones' RTP that goes through it."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import peers
from free_ports import free_port
from proxy_process import until

from siphon.services.media.bencode import decode, encode

RTP_PORTS = 200
TRIES = 6
"""Of a question, 2 s each."""
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
KIND = ("Content-Type: application/sdp",)


def require() -> None:
    """Skips a test where there is no RTPEngine."""
    peers.require("rtpengine")


class RtpEngine:
    """One daemon on ports of its own. `more` are further options."""

    def __init__(self, directory: Path, *more: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.log_file = directory / f"rtpengine-{self.address.rpartition(':')[2]}.log"
        first = room_for(RTP_PORTS)
        self.line = [
            *("rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=6", "--table=-1"),
            *("--interface=127.0.0.1", f"--listen-ng={self.address}", "--num-threads=2"),
            *(f"--port-min={first}", f"--port-max={first + RTP_PORTS}", "--timeout=60", "--delete-delay=0", *more),
        ]
        self.process: subprocess.Popen[bytes] | None = None
        self._questions = 0

    def start(self) -> RtpEngine:
        """Returns when it answers."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self.process.poll() is not None or self._answers(), 60, "an answer of RTPEngine")
        assert self.process.poll() is None, self.log()
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def ask(self, **command: Any) -> dict[str, Any]:
        """The answer to a command; underscores in names are hyphens."""
        self._questions += 1
        ip, _, port = self.address.rpartition(":")
        body = encode({name.replace("_", "-"): value for name, value in command.items()})
        question = b"test%d_%d " % (time.monotonic_ns(), self._questions) + body
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(2)
            asking.connect((ip, int(port)))
            for _ in range(TRIES - 1):  # it answers a question that is repeated as it did before
                asking.send(question)
                with suppress(TimeoutError):
                    return dict(decode(asking.recv(65535).partition(b" ")[2]))
            asking.send(question)
            return dict(decode(asking.recv(65535).partition(b" ")[2]))

    def sessions(self) -> int:
        """Calls that it has."""
        return int(self.ask(command="statistics")["statistics"]["currentstatistics"]["sessionsown"])

    def packets(self, call_id: str) -> dict[str, int]:
        """RTP packets that came from each party of a call, by tag."""
        tags = self.ask(command="query", call_id=call_id)["tags"]
        return {
            tag: sum(one["stats"]["packets"] for one in facts["medias"][0]["streams"][:1])
            for tag, facts in tags.items()
            if facts["medias"]
        }

    def _answers(self) -> bool:
        try:
            return self.ask(command="ping")["result"] == b"pong"
        except OSError:
            return False


def room_for(count: int) -> int:
    """The first of so many ports in a row that nobody uses, and that nobody gets from free_port() soon."""
    for _ in range(100):
        ports = [free_port() for _ in range(count + 1)]
        if ports[-1] - ports[0] == count:
            return ports[0] + ports[0] % 2
    raise AssertionError("no room for RTP")


class Rtp:
    """A phone's RTP socket, and its description."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", free_port()))
        self.port = self.socket.getsockname()[1]
        self.sdp = SDP.format(port=self.port)
        self._count = 0

    def send(self, to: int, payload: bytes = b"\xff" * 160, kind: int = 0, stamp: int | None = None) -> None:
        """One packet to a port of this machine."""
        self._count += 1
        stamp = self._count * 160 if stamp is None else stamp
        head = struct.pack("!BBHII", 0x80, kind, self._count, stamp, self.port)
        self.socket.sendto(head + payload, ("127.0.0.1", to))

    def press(self, to: int, event: int) -> None:
        """A digit of 100 ms, RFC 4733."""
        stamp = (self._count + 1) * 160
        for number in range(1, 9):
            ends = number > 5
            payload = struct.pack("!BBH", event, 0x8A if ends else 0x0A, 160 * min(number, 5))
            self.send(to, payload, 101 | (0x80 if number == 1 else 0), stamp)
            time.sleep(0.02)

    def receive(self, seconds: float) -> tuple[bytes, int] | None:
        """(payload, port that it came from) of the next packet."""
        self.socket.settimeout(seconds)
        try:
            data, source = self.socket.recvfrom(2000)
        except TimeoutError:
            return None
        return data[12:], source[1]

    def close(self) -> None:
        self.socket.close()


def port_of(sdp: str) -> int:
    """The port of the first section."""
    found = re.search(r"^m=\w+ (\d+)", sdp, re.M)
    assert found, sdp
    return int(found[1])


def flows(one: Rtp, two: Rtp, to_one: int, to_two: int) -> None:
    """Media passes between two phones: each sends where it was told, `to_one` is what two was told."""
    for here, there, port in ((one, two, to_two), (two, one, to_one)):
        other = to_one if there is one else to_two

        def passes(here: Rtp = here, there: Rtp = there, port: int = port) -> bool:
            here.send(port, bytes([here.port & 255]) * 160)
            got = there.receive(0.2)
            return got is not None and got[0] == bytes([here.port & 255]) * 160

        until(passes, 15, f"RTP from {here.port} by {port} to {there.port}")
        assert port != there.port and other != here.port
