"""HEP version 3: one SIP message with its addresses and time as a packet for a collector (Homer and others).

    "HEP3", length of all (2 bytes), then chunks: vendor 0 (2), type (2), length with this head (2), value

Numbers are in network byte order. The types that are used here, and their values:

    1 address family (2, 10)   2 protocol (17)   3, 4 IPv4 source and destination   5, 6 the same of IPv6
    7, 8 ports   9, 10 seconds and microseconds   11 kind of message (1: SIP)   12 capture agent   15 the message
"""

from __future__ import annotations

import socket
import struct

MOST = 65_000
"""Bytes of a message that are copied: with the other chunks it must fit into a datagram, and into 16 bits."""
UDP = 17
SIP = 1
_HEAD = struct.Struct(">4sH")
_V4 = struct.Struct(">HHHB HHHB HHH4s HHH4s HHHH HHHH HHHI HHHI HHHB HHHI HHH")
_V6 = struct.Struct(">HHHB HHHB HHH16s HHH16s HHHH HHHH HHHI HHHI HHHB HHHI HHH")

Address = tuple[str, int]


def packet(data: bytes, source: Address, to: Address, wall: float, agent: int) -> bytes:
    """The copy of `data`, sent from `source` to `to`, numeric addresses, at `wall` (epoch seconds). ValueError for what
    is no address, or for addresses of two families."""
    first, second = _family(source[0]), _family(to[0])
    if first != second:
        raise ValueError(f"{source[0]} and {to[0]} are of two families")
    data = data[:MOST]
    shape, size = (_V6, 22) if first is socket.AF_INET6 else (_V4, 10)
    kinds = (5, 6) if first is socket.AF_INET6 else (3, 4)
    seconds = int(wall)
    chunks = shape.pack(
        *(0, 1, 7, 10 if first is socket.AF_INET6 else 2),
        *(0, 2, 7, UDP),
        *(0, kinds[0], size, _packed(first, source[0])),
        *(0, kinds[1], size, _packed(first, to[0])),
        *(0, 7, 8, source[1]),
        *(0, 8, 8, to[1]),
        *(0, 9, 10, seconds & 0xFFFFFFFF),
        *(0, 10, 10, int((wall - seconds) * 1_000_000)),
        *(0, 11, 7, SIP),
        *(0, 12, 10, agent),
        *(0, 15, 6 + len(data)),
    )
    return _HEAD.pack(b"HEP3", _HEAD.size + len(chunks) + len(data)) + chunks + data


def _family(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _packed(family: socket.AddressFamily, ip: str) -> bytes:
    try:
        return socket.inet_pton(family, ip.partition("%")[0])
    except OSError:
        raise ValueError(f"not an address: {ip!r}") from None
