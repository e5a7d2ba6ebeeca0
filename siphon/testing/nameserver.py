"""A DNS server on loopback: answers over UDP and TCP from a table, and misbehaves on request."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

A, CNAME, SOA, AAAA, SRV, NAPTR = 1, 5, 6, 28, 33, 35
NXDOMAIN, SERVFAIL = 3, 2
UDP_BYTES = 512
PORTS = 20
"""Ports that are tried for both transports."""

Record = tuple[int, int, bytes]
"""Type, time to live, data."""


Owned = tuple[int, int, bytes, bytes]
"""The same with the name that it belongs to."""


def name(text: str) -> bytes:
    """A domain name on the wire."""
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def text(value: str) -> bytes:
    """A character string on the wire."""
    return bytes([len(value)]) + value.encode()


def a(ip: str, ttl: int = 60) -> Record:
    """An A record."""
    return A, ttl, bytes(int(part) for part in ip.split("."))


def cname(target: str, ttl: int = 60) -> Record:
    """A CNAME record."""
    return CNAME, ttl, name(target)


def srv(priority: int, weight: int, port: int, target: str, ttl: int = 60) -> Record:
    """An SRV record."""
    return SRV, ttl, struct.pack("!HHH", priority, weight, port) + name(target)


def naptr(
    order: int, preference: int, flags: str, service: str, replacement: str, ttl: int = 60, regexp: str = ""
) -> Record:
    """A NAPTR record."""
    head = struct.pack("!HH", order, preference)
    return NAPTR, ttl, head + text(flags) + text(service) + text(regexp) + name(replacement)


class Nameserver(asyncio.DatagramProtocol):
    """`zone` holds the records of a name; a name that is not there does not exist.

    `silent` holds types and names that get no answer, `failing` those that get SERVFAIL. `liar` is sent under a wrong
    id and from elsewhere before the right answer. `tcp` says what becomes of a stream: "answer", "silence" or "close".
    """

    def __init__(self) -> None:
        self.zone: dict[str, list[Record]] = {}
        self.silent: set[int | str] = set()
        self.failing: set[int | str] = set()
        self.liar: Record | None = None
        self.asked: list[tuple[str, int]] = []
        self.tcp = "answer"
        self.streams = 0
        self.open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Open a port on the running loop: one that is free for UDP and for TCP."""
        loop = asyncio.get_running_loop()
        self.other, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        for _ in range(PORTS):
            self.transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
            self.port = self.transport.get_extra_info("sockname")[1]
            try:
                self.server = await asyncio.start_server(self.stream, "127.0.0.1", self.port)
                return
            except OSError:
                self.transport.close()
        raise OSError("no port is free for UDP and for TCP")

    def close(self) -> None:
        """Close the sockets."""
        self.transport.close()
        self.other.close()
        self.server.close()
        for writer in list(self.open):
            writer.close()

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        """A query over UDP."""
        host, kind, question = read(data)
        self.asked.append((host, kind))
        if self.liar is not None:
            forged = reply(data[:2], question, [self.liar])
            self.other.sendto(forged, source)
            self.transport.sendto(bytes([forged[0] ^ 1]) + forged[1:], source)
        if kind in self.silent or host in self.silent:
            return
        answer = self.answer(data[:2], host, kind, question)
        if len(answer) > UDP_BYTES:
            answer = reply(data[:2], question, [], flags=0x8380)
        self.transport.sendto(answer, source)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A query over TCP."""
        self.streams += 1
        self.open.add(writer)
        try:
            await self.converse(reader, writer)
        finally:
            self.open.discard(writer)
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question and its answer."""
        data = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
        host, kind, question = read(data)
        if self.tcp == "silence":
            await reader.read()
        if self.tcp != "answer":
            return
        answer = self.answer(data[:2], host, kind, question)
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        await reader.read()

    def answer(self, number: bytes, host: str, kind: int, question: bytes) -> bytes:
        """The response to a query."""
        if kind in self.failing or host in self.failing:
            return reply(number, question, [], flags=0x8180 | SERVFAIL)
        if host not in self.zone:
            return reply(number, question, [], flags=0x8180 | NXDOMAIN)
        return reply(number, question, self.found(host, kind))

    def found(self, host: str, kind: int) -> list[Record | Owned]:
        """Records of a name and, behind a CNAME, those of its target, as a recursive server has them."""
        found: list[Record | Owned] = []
        seen = [host]
        while seen[-1] in self.zone:
            for record in self.zone[seen[-1]]:
                if record[0] in (kind, CNAME):
                    found.append((*record, name(seen[-1])))
            target = next((r[2] for r in self.zone[seen[-1]] if r[0] == CNAME), b"")
            following = text_of(target)
            if kind == CNAME or not following or following in seen:
                break
            seen.append(following)
        return found


def read(data: bytes) -> tuple[str, int, bytes]:
    """Name, type and question section of a query."""
    labels, position = [], 12
    while size := data[position]:
        labels.append(data[position + 1 : position + 1 + size].decode().lower())
        position += 1 + size
    return ".".join(labels), struct.unpack_from("!H", data, position + 1)[0], data[12 : position + 5]


def text_of(data: bytes) -> str:
    """A domain name from the wire, without compression."""
    labels, position = [], 0
    while position < len(data) and (size := data[position]):
        labels.append(data[position + 1 : position + 1 + size].decode().lower())
        position += 1 + size
    return ".".join(labels)


def reply(number: bytes, question: bytes, records: Sequence[Record | Owned], flags: int = 0x8180) -> bytes:
    """A response on the wire."""
    head = number + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + question + b"".join(_record(record) for record in records)


def _record(record: Record | Owned) -> bytes:
    kind, ttl, data = record[:3]
    owner = record[3] if len(record) > 3 else b"\xc0\x0c"
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data
