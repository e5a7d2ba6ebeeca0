"""Digest credentials: whatever stands in Authorization, only who knows the password is let in.

The short way in C is asked as well, about the same lines in a REGISTER: whom it lets in, the long way lets in. Behind a
NUL stand bytes that it finds as the record of the nonce.
"""

from __future__ import annotations

import hashlib
import re

from fuzz.target import Check, Target, holds
from siphon.config.settings import Auth
from siphon.services.digest import DigestVerifier
from siphon.services.digest.credentials import parse_credentials
from siphon.sip.message import PeerError, SipMessage, parse
from siphon.state.memory import MemoryTable

REALM = "example.com"
WALL = 1_800_000_000.0
URI = b"sip:example.com"
REGISTER = (
    b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-d\r\nMax-Forwards: 70\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: d\r\nCSeq: 1 REGISTER\r\n%b\r\n"
)
_FIELDS = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def verifier(table: MemoryTable) -> DigestVerifier:
    settings = Auth.model_validate({"realm": REALM, "users": {"alice": "secret"}})
    return DigestVerifier(settings, [b"s" * 32], table, b"k" * 32, is_local=lambda host: host == REALM)


def answer(challenge: str, user: str, password: str, uri: str) -> bytes:
    """Right credentials for a challenge by MD5 (RFC 7616 §3.4)."""
    field = {name: quoted or plain for name, quoted, plain in _FIELDS.findall(challenge)}

    def digest(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    ha1, ha2 = digest(f"{user}:{field['realm']}:{password}"), digest(f"REGISTER:{uri}")
    response = digest(f"{ha1}:{field['nonce']}:00000001:abc:auth:{ha2}")
    text = f'Digest username="{user}", realm="{field["realm"]}", nonce="{field["nonce"]}", uri="{uri}", qop=auth, '
    return f'{text}nc=00000001, cnonce="abc", response="{response}", opaque="{field["opaque"]}"'.encode()


def challenge() -> str:
    return next(text for text in verifier(MemoryTable()).challenges(REALM, stale=False, wall=WALL) if "=MD5," in text)


class OneRecord(MemoryTable):
    """Under every key the same bytes, where there are any."""

    record: bytes | None = None

    def get(self, key: bytes) -> tuple[int, bytes] | int | None:
        return super().get(key) if self.record is None else (1, self.record)


def register_with(lines: list[bytes]) -> SipMessage | None:
    """A REGISTER with these lines of credentials, if it is one message."""
    try:
        return parse(REGISTER % b"".join(b"Authorization: %b\r\n" % line for line in lines))
    except PeerError:
        return None


class DigestCheck:
    """One response is right: that of the password. What is let in must bear it."""

    def __init__(self) -> None:
        right = answer(challenge(), "alice", "secret", URI.decode())
        self.nonce, self.response = value(right, "nonce") or b"", value(right, "response")

    def __call__(self, data: bytes) -> None:
        """Up to four lines, separated by CR LF, where `%NONCE` stands for a nonce of ours; NUL and a record."""
        text, split, record = data.replace(b"%NONCE", self.nonce).partition(b"\0")
        lines = text.split(b"\r\n")[:4]
        self.short_way(lines, record if split else None)
        verdict = verifier(MemoryTable()).verify(lines, "REGISTER", URI, REALM, transaction_id=b"t" * 16, wall=WALL)
        holds(not (verdict.ok and (verdict.failed or verdict.bad_request)), "a verdict is one of them")
        holds(set(verdict.line_indexes) <= set(range(len(lines))), "the lines of our realm are among the lines")
        if verdict.ok:
            holds(verdict.user == "alice", "only alice has a password")
            # A nonce of another process is as good as this one's: the seeds were made there.
            answers = {value(line, "response") for line in lines if value(line, "nonce") == self.nonce}
            holds(not answers or self.response in answers, "the response is the one that the password makes")

    def short_way(self, lines: list[bytes], record: bytes | None) -> None:
        message = register_with(lines)
        if message is None:
            return
        table = OneRecord()
        table.record = record
        short = verifier(table)
        short.shorten()
        assert short.plain is not None
        found = short.plain.verify(message, b"authorization", None, REALM, b"t" * 16, WALL)
        if found:
            given = message.all_lines("Authorization")
            long = verifier(MemoryTable()).verify(given, "REGISTER", URI, REALM, transaction_id=b"t" * 16, wall=WALL)
            holds((long.ok, long.user) == (True, found[0]), "whom the short way lets in, the long way lets in")


def used(line: bytes) -> bytes:
    """The record that one use leaves."""
    table = MemoryTable()
    verifier(table).verify([line], "REGISTER", URI, REALM, transaction_id=b"u" * 16, wall=WALL)
    keys, _ = table.keys(10)
    return next(found[1] for key in keys if isinstance(found := table.get(key), tuple))


def value(line: bytes, name: str) -> bytes | None:
    found = parse_credentials(line)
    return None if found is None else found.value(name)


def seeds() -> list[bytes]:
    right = answer(challenge(), "alice", "secret", URI.decode())
    return [
        right,
        right + b"\0" + used(right),
        right.replace(b"nc=00000001", b"nc=00000002") + b"\0" + used(right),
        right.replace(b"alice", b"bob"),
        right.replace(b"MD5", b"SHA-256"),
        right.replace(b'username="alice"', b"username*=UTF-8''%61lice"),
        right.replace(b"uri=", b'uri = "a\\"b",uri='),
        b"Basic YTpi\r\n" + right,
        b'Digest username="alice",realm="other"\r\n' + right,
        b'Digest ,, nonce="%NONCE" , nc=1,qop="auth-int",response=x, username=alice,realm="example.com",uri="*"',
    ]


def make() -> Check:
    return DigestCheck()


TARGET = Target(
    "digest",
    "Credentials of any form give one verdict, and a good one only to the response that the password makes.",
    make,
    seeds,
    1200,
    python=True,
)
