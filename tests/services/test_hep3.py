"""Packets of HEP version 3, taken apart by a second reading of the format."""

import struct

import pytest

from siphon.services.tracing import packet
from siphon.services.tracing.hep3 import MOST

INVITE = b"INVITE sip:bob@example.com SIP/2.0\r\n\r\n"


def chunks(data):
    """{type: value} of a packet; the lengths must add up."""
    assert data[:4] == b"HEP3"
    assert struct.unpack(">H", data[4:6])[0] == len(data)
    found, at = {}, 6
    while at < len(data):
        vendor, kind, length = struct.unpack(">HHH", data[at : at + 6])
        assert vendor == 0 and kind not in found and length >= 6
        found[kind] = data[at + 6 : at + length]
        at += length
    assert at == len(data)
    return found


def test_a_message_over_ipv4():
    made = packet(INVITE, ("192.0.2.1", 5060), ("198.51.100.2", 5070), 1_800_000_000.25, 2001)
    assert chunks(made) == {
        1: b"\x02",
        2: b"\x11",
        3: bytes([192, 0, 2, 1]),
        4: bytes([198, 51, 100, 2]),
        7: struct.pack(">H", 5060),
        8: struct.pack(">H", 5070),
        9: struct.pack(">I", 1_800_000_000),
        10: struct.pack(">I", 250_000),
        11: b"\x01",
        12: struct.pack(">I", 2001),
        15: INVITE,
    }


def test_a_message_over_ipv6():
    found = chunks(packet(INVITE, ("2001:db8::1", 5060), ("fe80::2%eth0", 5070), 1.0, 0))
    assert found[1] == b"\x0a"
    assert found[5] == bytes.fromhex("20010db8" + "0" * 23 + "1") and found[6] == bytes.fromhex("fe80" + "0" * 27 + "2")
    assert 3 not in found and 4 not in found


def test_the_longest_message_is_cut_so_that_the_packet_fits_into_a_datagram():
    made = packet(b"x" * 65_507, ("2001:db8::1", 1), ("2001:db8::2", 65535), 1.0, 4294967295)
    assert len(made) <= 65_507
    assert chunks(made)[15] == b"x" * MOST


@pytest.mark.parametrize("pair", [("192.0.2.1", "::1"), ("", "192.0.2.1"), ("example.com", "192.0.2.1")])
def test_what_is_no_pair_of_addresses_is_a_value_error(pair):
    with pytest.raises(ValueError, match="famil|address"):
        packet(INVITE, (pair[0], 1), (pair[1], 2), 1.0, 0)
