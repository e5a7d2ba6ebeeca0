"""Plain credentials in C (siphon/services/digest/_plain.pyx): where they are taken at all, the verdict and the record
of the nonce are those of the verifier in Python."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shm.table import Table
from siphon.config.settings import Auth
from siphon.services.digest import DigestVerifier, Secret, Verdict
from siphon.services.digest._md5 import hexdigest as md5
from siphon.services.digest.credentials import parse_credentials
from siphon.services.digest.nonce import Nonces
from siphon.sip._sha256 import hexdigest as sha256
from siphon.sip.message import SipMessage, parse
from siphon.state.memory import MemoryTable
from siphon.testing.plain import same_digest

WALL = 1_800_000_000.5
REALM = "example.com"
URI = "sip:example.com"
SECRETS = [b"s" * 32, b"before" * 6]
HA1 = hashlib.md5(b"carol:example.com:other").hexdigest()
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Desk:
    """Two verifiers that are asked the same: one with the short way, one without."""

    def __init__(self, secrets: list[bytes] | None = None, place: Path | None = None, **auth: Any) -> None:
        """With a place the tables lie in shared memory there."""
        self.wall = WALL
        settings = Auth(**{"realm": REALM, "algorithms": ["MD5", "SHA-256"], "users": {}, **auth})
        users = {b"alice": Secret.from_password("secret"), b"carol": Secret.from_ha1(HA1)}
        self.tables: list[Any] = [MemoryTable(clock=lambda: self.wall) for _ in range(2)]
        if place is not None:
            self.tables = [Table.create(place / name, records=1000, blocks=2000) for name in ("short", "long")]
        self.short, self.long = (
            DigestVerifier(settings, secrets or SECRETS, table, b"k" * 32, users=users.get) for table in self.tables
        )
        self.short.shorten(same_digest(self.short))
        self.transactions = 0

    def put(self, *values: str, realm: str = REALM, uri: bytes | None = None, transaction: bytes = b"") -> bool:
        """Whether it went the short way. Both say the same, and both tables hold the same."""
        message = request(*values)
        self.transactions += 1
        name = transaction or self.transactions.to_bytes(16)
        assert self.short.plain is not None
        found = self.short.plain.verify(message, b"authorization", uri, realm, name, self.wall)
        given = message.all_lines("Authorization"), message.method, message.uri if uri is None else uri, realm
        expected = self.long.verify(*given, transaction_id=name, wall=self.wall)
        if found:
            user, line = found
            assert message.line(line)[0] == b"Authorization"
            assert expected == Verdict(ok=True, user=user, line_indexes=(0,))
        else:
            assert (found is False) == (not values)
            assert self.short.verify(*given, transaction_id=name, wall=self.wall) == expected
        self.verdict = expected
        assert held(self.tables[0]) == held(self.tables[1])
        return bool(found)

    def nonce(self) -> str:
        return Nonces(SECRETS, 300).make(self.wall)


def held(table: Any) -> dict[bytes, Any]:
    keys, _ = table.keys(10_000)
    return {key: (head[1:], stored[1]) for key in keys if (head := table.head(key)) and (stored := table.get(key))}


def request(*values: str) -> SipMessage:
    lines = "".join(f"Authorization: {value}\r\n" for value in values)
    return parse(
        f"REGISTER {URI} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@example.com>;tag=1\r\n"
        f"To: <sip:a@example.com>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}Content-Length: 0\r\n\r\n".encode(
            "utf-8", "surrogateescape"
        )
    )


def parameters(nonce: str, **changed: str | None) -> dict[str, str]:
    """The parameters of right credentials; those that are None are left out."""
    given: dict[str, str | None] = {
        "username": "alice", "realm": REALM, "nonce": nonce, "uri": URI, "algorithm": "MD5", "qop": "auth",
        "nc": "00000001", "cnonce": "c0ffee", "password": "secret",
    }  # fmt: skip
    given |= changed
    password = given.pop("password")
    digest = HASHES.get((given["algorithm"] or "MD5").upper(), hashlib.md5)
    made = {name: value or "" for name, value in given.items()}
    one = digest(f"{made['username']}:{made['realm']}:{password}".encode("utf-8", "surrogateescape")).hexdigest()
    two = digest(f"REGISTER:{made['uri']}".encode()).hexdigest()
    text = f"{one}:{made['nonce']}:{made['nc']}:{made['cnonce']}:{made['qop']}:{two}"
    given.setdefault("response", digest(text.encode("utf-8", "surrogateescape")).hexdigest())
    return {name: value for name, value in given.items() if value is not None}


QUOTED = frozenset(("username", "realm", "nonce", "uri", "response", "opaque", "cnonce"))


def line(given: dict[str, str], between: str = ", ", scheme: str = "Digest") -> str:
    written = (f'{name}="{value}"' if name in QUOTED else f"{name}={value}" for name, value in given.items())
    return f"{scheme} {between.join(written)}"


def test_right_credentials_go_the_short_way_and_leave_the_same_record() -> None:
    desk = Desk()
    nonce = desk.nonce()
    assert desk.put(line(parameters(nonce, opaque=desk.long._nonces.opaque(REALM))))
    assert desk.verdict.ok and len(held(desk.tables[0])) == 1
    for count in range(2, 30):  # a phone that counts: at last the record has more entries than the short way writes
        desk.wall += 0.25
        assert desk.put(line(parameters(nonce, nc=f"{count:08x}"))) == (count <= 21)
    desk.wall += 33
    desk.put(line(parameters(nonce, nc="000000f0")))
    assert desk.put(line(parameters(nonce, nc="000000f1")))


@pytest.mark.parametrize("algorithm", ["MD5", "md5", "SHA-256", "sha-256", None])
def test_each_algorithm_and_each_kind_of_secret(algorithm: str | None) -> None:
    desk = Desk()
    assert desk.put(line(parameters(desk.nonce(), algorithm=algorithm)))
    md5_only = (algorithm or "MD5").upper() == "MD5"
    given = parameters(desk.nonce(), algorithm=algorithm, username="carol", password="other")
    assert desk.put(line(given)) == desk.verdict.ok == md5_only


def test_a_request_without_credentials_has_none() -> None:
    desk = Desk()
    assert not desk.put()
    assert desk.verdict == Verdict()


def test_what_is_not_right_is_left_to_the_verifier() -> None:
    desk = Desk()
    nonce = desk.nonce()
    wrong: list[dict[str, str | None]] = [
        {"password": "guess"}, {"username": "nobody"}, {"realm": "elsewhere"}, {"uri": "sip:other.example"},
        {"nc": "0"}, {"nc": "00000000"}, {"nc": "123456789"}, {"nc": "xyz"}, {"qop": "auth-int"},
        {"qop": None}, {"cnonce": None},
        {"algorithm": "SHA-512-256"}, {"algorithm": "nonsense"}, {"response": "0" * 32}, {"response": ""},
        {"opaque": "0" * 16}, {"username": ""}, {"userhash": "true"}, {"username*": "UTF-8''alice"},
        {"nonce": nonce[:-1] + ("0" if nonce[-1] != "0" else "1")}, {"nonce": "abc"}, {"nonce": None},
    ]  # fmt: skip
    for changed in wrong:
        name = changed.pop("nonce", nonce)
        assert not desk.put(line(parameters(name or "", **changed))), changed
    assert not held(desk.tables[0]) or all(record[0][0] == 0 for record in held(desk.tables[0]).values())


def test_a_used_count_and_an_old_nonce_are_stale_and_a_repeat_is_the_same_use() -> None:
    desk = Desk(nonce_ttl_secs=60)
    nonce = desk.nonce()
    assert desk.put(line(parameters(nonce, nc="00000005")), transaction=b"t" * 16)
    assert desk.put(line(parameters(nonce, nc="00000005")), transaction=b"t" * 16)
    assert not desk.put(line(parameters(nonce, nc="00000005"))) and desk.verdict.stale
    assert not desk.put(line(parameters(nonce, nc="00000004"))) and desk.verdict.stale
    desk.wall += 61
    assert not desk.put(line(parameters(nonce, nc="00000006"))) and desk.verdict.stale


@pytest.mark.parametrize("shared", [False, True])
def test_a_nonce_of_the_secret_before_and_one_below_the_floor_go_the_long_way(shared: bool, tmp_path: Path) -> None:
    desk = Desk(place=tmp_path if shared else None)
    old = Nonces(SECRETS[1:], 300).make(desk.wall)
    assert not desk.put(line(parameters(old))) and desk.verdict.ok
    for verifier, table in zip((desk.short, desk.long), desk.tables, strict=True):
        head = table.keys(1)[0][0]
        assert verifier._uses._raise_floor(int(desk.wall), (head, 0, 0.0), desk.wall)
    assert not desk.put(line(parameters(desk.nonce()))) and desk.verdict.stale
    desk.wall += 1
    assert desk.put(line(parameters(desk.nonce())))


def test_written_in_other_ways_it_is_read_as_the_verifier_reads_it() -> None:
    desk = Desk()
    taken = []
    ways = (",", "digest"), (" ,\t ", "DIGEST"), (",,", "Digest "), (", ,", "Digest \t,"), (" ", "Digest")
    for between, scheme in ways:
        taken.append(desk.put(line(parameters(desk.nonce()), between, scheme)))
    assert taken == [True, True, True, True, False]
    plain = line(parameters(desk.nonce()))
    for odd in (
        plain + ",", plain + ', realm="example.com"', plain + ", auth-param=1", plain.replace('"alice"', '"al\\ice"'),
        plain.replace('"alice"', "alice"), plain.replace("nc=", "NC ="), plain.replace("Digest", "Basic"), "Digest",
        plain.replace("qop=auth", 'qop="auth"'), plain + " x", plain + '"', "Digest,", "Digest ,", plain + ', opaque="',
    ):  # fmt: skip
        desk.put(odd)
    desk.put(plain, plain)
    assert not desk.put(plain.replace(", uri", ",\r\n uri"))


@pytest.mark.parametrize("shared", [False, True])
def test_a_thousand_damaged_lines_get_the_same_verdict(shared: bool, tmp_path: Path) -> None:
    desk, random = Desk(place=tmp_path if shared else None), Random(7)
    letters = list('abc=,"\\ \t;:*\x7fé019DIGEST-') + ["nc=", '", ', "username", "alice"]
    short = 0
    for _ in range(600):
        text = line(parameters(desk.nonce(), nc=f"{random.randrange(1, 1 << 32):x}"))
        for _ in range(random.choice((0, 1, 1, 2, 5))):
            at = random.randrange(len(text))
            text = text[:at] + random.choice(letters) + text[at + random.randrange(3) :]
        short += desk.put(text.strip() or "x")
    assert 100 < short < 450


def test_a_quick_nonce_is_one_of_ours() -> None:
    desk = Desk()
    assert desk.short.plain is not None
    made = [desk.short.plain.nonce(WALL).encode() for _ in range(100)]
    assert len(set(made)) == 100
    for nonces in (desk.long._nonces, Nonces(SECRETS[:1], 300)):
        assert {nonces.made_at(nonce) for nonce in made} == {int(WALL)}
    challenges = desk.short.challenges(REALM, stale=True, wall=WALL), desk.long.challenges(REALM, stale=True, wall=WALL)
    first, second = ([parse_credentials(value.encode()) for value in values] for values in challenges)
    for one, other in zip(first, second, strict=True):
        assert one is not None and other is not None
        assert {**one.parameters, "nonce": b""} == {**other.parameters, "nonce": b""}


def test_there_is_no_short_way_where_failures_are_counted_or_others_are_asked() -> None:
    settings = Auth(realm=REALM)
    for more in ({"tally": object()}, {"confirm": lambda *_: None}):
        verifier = DigestVerifier(settings, SECRETS, MemoryTable(), b"k" * 32, **more)  # type: ignore[arg-type]
        verifier.shorten()
        assert verifier.plain is None


def test_hashes_are_those_of_hashlib() -> None:
    random = Random(3)
    for size in [*range(200), 1000, 4096]:
        data = random.randbytes(size)
        assert md5(data) == hashlib.md5(data).hexdigest().encode()
        assert sha256(data) == hashlib.sha256(data).hexdigest().encode()
