"""A REGISTER in the registrar's short way: whatever it says, and whatever lies in the table, the long way decides the
same.

Behind a NUL stand bytes that it finds under every key: as the record of the address of record and as the hint of the
contact.
"""

from __future__ import annotations

from typing import Any

from fuzz.target import Check, Target, holds
from siphon.config.testing import settings_for_tests
from siphon.services.location import Location, register_facts
from siphon.sip.identity import Identity, Listener
from siphon.sip.message import BadResponse, NotSip, PeerError, parse
from siphon.state.memory import MemoryTable
from siphon.testing.plain import same_save

WALL = 1_800_000_000.0
SOURCE, LOCAL = ("192.0.2.1", 5060), ("127.0.0.1", 5060)
IDENTITY = Identity([Listener(0, "udp", "127.0.0.1", 5060)], domains=["example.com"])
REGISTER = (
    b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-r\r\nMax-Forwards: 70\r\n"
    b"From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: r\r\nCSeq: 2 REGISTER\r\n%b\r\n"
)
CONTACTS = (
    b"Contact: <sip:bob@192.0.2.1>\r\nExpires: 600\r\n",
    b'm: "Bob" <sip:bob@192.0.2.1:5062;ob>;+sip.instance="<urn:uuid:AB>";reg-id=1;expires=90;x\r\n',
    b"Contact: sips:bob@h.example;y=z\r\n",
)


class OneRecord(MemoryTable):
    """Under every key the same bytes, where there are any; what is written is only noted."""

    def __init__(self, record: bytes | None) -> None:
        super().__init__()
        self.record = record
        self.written: list[bytes] = []

    def get(self, key: bytes) -> tuple[int, bytes] | int | None:
        return None if self.record is None else (1, self.record)

    def commit(self, key: bytes, expected: int, value: bytes, **facts: Any) -> int:
        self.written.append(value)
        return 2


def location(table: MemoryTable) -> Location:
    return Location(table, IDENTITY, settings_for_tests(), b"k" * 16, epoch="i/1")


class RegisterCheck:
    """`same_save` compares what the short way is about to store and to answer."""

    def __call__(self, data: bytes) -> None:
        text, split, record = data.partition(b"\0")
        try:
            message = parse(text)
        except (BadResponse, NotSip, PeerError):
            return
        if message.method != "REGISTER" or not message.usable_via:
            return
        table = OneRecord(record if split else None)
        short = location(table)
        short.shorten(same_save(short))
        assert short.plain is not None
        headers = short.plain.save(message, b"t" * 16, SOURCE, LOCAL, False, None, WALL)
        holds(headers is None or table.written, "what is answered is stored")


def stored(contact: bytes) -> bytes:
    """The record that this REGISTER leaves, as if it had come before."""
    table = OneRecord(None)
    facts = register_facts(
        parse(REGISTER.replace(b"CSeq: 2", b"CSeq: 1") % contact),
        IDENTITY,
        transaction=b"u" * 16,
        source=SOURCE,
        local=LOCAL,
    )
    location(table).save(facts, WALL - 30)
    return table.written[-1]


def seeds() -> list[bytes]:
    new = [REGISTER % contact for contact in CONTACTS]
    return new + [REGISTER % contact + b"\0" + stored(contact) for contact in CONTACTS]


def make() -> Check:
    return RegisterCheck()


TARGET = Target(
    "register",
    "What the short way of save() stores and answers, whatever the table holds, is what the registrar in Python would.",
    make,
    seeds,
    1600,
    python=True,
)
