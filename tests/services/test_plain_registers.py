"""Plain REGISTERs in C (siphon/services/location/_saves.pyx): where they are taken at all, the same as in Python, byte
for byte."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from shm.table import Table
from siphon.config.testing import settings_for_tests
from siphon.services.location import Event, Location, register_facts
from siphon.services.store import record_key
from siphon.sip.identity import Identity, Listener
from siphon.sip.message import SipMessage, parse
from siphon.state.memory import MemoryTable
from siphon.testing.plain import same_save

WALL = 1_790_000_000.25
SOURCE, LOCAL = ("192.0.2.1", 5060), ("127.0.0.1", 5060)
IDENTITY = Identity([Listener(0, "udp", "127.0.0.1", 5060)], domains=["example.com"])


def register(
    contact: str | None = "<sip:bob@192.0.2.1:5060>", more: str = "Expires: 600\r\n", **changed: str
) -> SipMessage:
    given = {"call_id": "c1", "cseq": "1", "to": "<sip:bob@example.com>", "via": "192.0.2.1:5060"} | changed
    line = f"Contact: {contact}\r\n" if contact is not None else ""
    return parse(
        f"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {given['via']};branch=z9hG4bKx\r\n"
        f"From: <sip:bob@example.com>;tag=1\r\nTo: {given['to']}\r\nCall-ID: {given['call_id']}\r\n"
        f"CSeq: {given['cseq']} REGISTER\r\n{line}{more}Content-Length: 0\r\n\r\n".encode("latin-1")
    )


class Desk:
    """Two registrars that are told the same: one by the short way where it goes, one by the long one."""

    def __init__(self, place: Path | None = None, **settings: Any) -> None:
        """With a place the tables lie in shared memory there."""
        self.settings = settings_for_tests(registrar=settings)
        self.tables: list[Any] = [MemoryTable(clock=lambda: self.wall) for _ in range(2)]
        if place is not None:
            self.tables = [Table.create(place / name, records=100, blocks=400) for name in ("short", "long")]
        self.short, self.long = (Location(t, IDENTITY, self.settings, b"k" * 16, epoch="i/1") for t in self.tables)
        self.short.shorten(same_save(self.short))
        self.wall = WALL
        self.number = 0

    def put(
        self, message: SipMessage, source: tuple[str, int] = SOURCE, auth_user: str | None = None, nat: bool = False
    ) -> bool:
        """Whether it went the short way. Both answer the same, and both tables hold the same."""
        self.number += 1
        transaction = self.number.to_bytes(16)
        assert self.short.plain is not None
        headers = self.short.plain.save(message, transaction, source, LOCAL, nat, auth_user, self.wall)
        facts = register_facts(
            message,
            IDENTITY,
            transaction=transaction,
            source=source,
            local=LOCAL,
            behind_nat=nat,
            auth_user=auth_user,
        )
        result = self.long.save(facts, self.wall)
        if headers is None:
            assert self.short.save(facts, self.wall) == result
        else:
            assert (result.status, list(result.headers)) == (200, headers)
        assert held(self.tables[0]) == held(self.tables[1])
        return headers is not None


def held(table: Any) -> dict[bytes, Any]:
    keys, _ = table.keys(10_000)
    found = {}
    for key in keys:
        head, stored = table.head(key), table.get(key)
        if head is not None and isinstance(stored, tuple):  # else it has expired
            found[key] = (head[1:], stored[1])
    return found


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=["memory", "shared"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """In both kinds of tables."""
    return Desk(tmp_path if request.param == "shared" else None)


PLAIN = {
    "a new binding": register(),
    "without brackets": register("sip:bob@192.0.2.1:5060;expires=60"),
    "with a display name": register('"Bob, at home" <sip:bob@192.0.2.1:5060>'),
    "a lifetime of its own": register("<sip:bob@192.0.2.1:5060>;expires=90"),
    "with the longest lifetime there is": register(more="Expires: 999999999\r\n"),
    "the default lifetime": register(more=""),
    "an instance": register('<sip:bob@h.example>;+sip.instance="<urn:UUID:0000-ABCD>";reg-id=1;x;y=z'),
    "an instance that is no UUID": register("<sip:bob@h.example>;+sip.instance=Abc"),
    "URI parameters": register("<sip:bob@192.0.2.1:5060;ob;transport=udp;line=a%41>"),
    "URI headers": register("<sip:bob@192.0.2.1?a=b>"),
    "no user": register("<sip:192.0.2.1>"),
    "the port that need not be said": register("<sip:bob@192.0.2.1:5060>"),
    "sips": register("<sips:bob@192.0.2.1:5061>"),
    "behind NAT": register(via="10.0.0.1:5060"),
    "the port is another one": register(via="192.0.2.1:5080"),
    "the sent-by is a name": register(via="phone.example"),
    "compact names": register(None, "m: <sip:bob@192.0.2.1>\r\nExpires: 60\r\n"),
    "a parameter that is no UTF-8": register('<sip:bob@h.example>;n="\xe9"'),
    "supported options": register(more="Supported: path, outbound\r\n"),
    "a scheme in capitals": register(to="<SIP:bob@example.com>"),
    "capitals in the scheme of the contact": register("<SIP:bob@192.0.2.1>"),
    "a large CSeq": register(cseq="2147483647"),
    "CSeq 128": register(cseq="128"),
    "CSeq 65536": register(cseq="65536"),
    "a long Call-ID": register(call_id="c" * 300),
}

LONG = {
    "a query": register(None),
    "removal": register(more="Expires: 0\r\n"),
    "removal of all": register("*", "Expires: 0\r\n"),
    "two contacts": register("<sip:a@h.example>, <sip:b@h.example>"),
    "two lines of contacts": register("<sip:a@h.example>", "Contact: <sip:b@h.example>\r\n"),
    "q": register("<sip:bob@h.example>;q=0.5"),
    "q twice": register("<sip:bob@h.example>;q=0.5;Q=1"),
    "expires twice": register("<sip:bob@h.example>;expires=60;expires=90"),
    "an instance twice": register("<sip:bob@h.example>;+sip.instance=a;+sip.instance=b"),
    "an instance without value": register("<sip:bob@h.example>;+sip.instance"),
    "a lifetime that is no number": register(more="Expires: never\r\n"),
    "too brief": register(more="Expires: 1\r\n"),
    "path": register(more="Path: <sip:p.example;lr>\r\n"),
    "require": register(more="Require: path\r\n"),
    "an unknown option": register(more="Require: xyz\r\n"),
    "an escaped user": register(to="<sip:b%6fb@example.com>"),
    "a password": register(to="<sip:bob:pw@example.com>"),
    "a port": register(to="<sip:bob@example.com:5060>"),
    "a host in capitals": register(to="<sip:bob@EXAMPLE.com>"),
    "a dot at the end": register(to="<sip:bob@example.com.>"),
    "another domain": register(to="<sip:bob@example.net>"),
    "sips of record": register(to="<sips:bob@example.com>"),
    "tel of record": register(to="<tel:+1234>"),
    "no user of record": register(to="<sip:example.com>"),
    "an escaped contact": register("<sip:b%6fb@192.0.2.1>"),
    "a contact at a name in capitals": register("<sip:bob@H.example>"),
    "a contact at an IPv6 address": register("<sip:bob@[2001:db8::1]>"),
    "a contact of another scheme": register("<tel:+1234>"),
    "a contact that is none": register("<sip:>"),
    "a folded contact": register("<sip:bob@192.0.2.1>\r\n ;x=y"),
    "a lifetime of ten digits": register(more="Expires: 0000000600\r\n"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_phones_send_goes_the_short_way_and_is_stored_as_in_python(desk, name):
    assert desk.put(PLAIN[name])


@pytest.mark.parametrize("name", LONG)
def test_what_is_not_plain_is_left_to_python_and_changes_nothing_before(desk, name):
    assert not desk.put(LONG[name])


@pytest.mark.parametrize(("size", "short"), [(1000, True), (1007, True), (1008, False), (3000, False)])
def test_an_address_of_record_of_a_kilobyte_is_left_to_python(desk, size, short):
    assert desk.put(register(to=f"<sip:{'b' * size}@example.com>")) is short


def test_a_to_with_control_characters_is_left_to_python(desk):
    message = register(to="<sip:bob@example.com>\t;x=y")
    assert desk.short.plain.save(message, bytes(16), SOURCE, LOCAL, False, None, WALL) is None


@pytest.mark.parametrize("name", PLAIN)
def test_a_refresh_takes_the_place_of_the_binding(either, name):
    either.put(PLAIN[name])
    either.wall += 30
    message = PLAIN[name]
    later = parse(message.raw.replace(b"\r\nCall-ID: ", b"\r\nCall-ID: n", 1))
    assert either.put(later)
    assert len(either.short.lookup("sip:bob@example.com", either.wall)) == 1


def test_a_phone_with_another_address_keeps_its_instance(desk):
    contact = '<sip:bob@{}>;+sip.instance="<urn:uuid:AB>";reg-id=1'
    assert desk.put(register(contact.format("192.0.2.1")))
    assert desk.put(register(contact.format("192.0.2.9").replace("AB", "ab"), cseq="2"))
    assert [b.uri for b in desk.short.lookup("sip:bob@example.com", WALL)] == ["sip:bob@192.0.2.9"]
    assert not desk.put(register(contact.format("192.0.2.7").replace("reg-id=1", "reg-id=2"), cseq="3"))


@pytest.mark.parametrize(("call_id", "cseq", "short"), [("c1", "2", True), ("c1", "1", False), ("c2", "1", True)])
def test_the_cseq_of_one_call_id_must_grow(either, call_id, cseq, short):
    assert either.put(register())
    assert either.put(register(call_id=call_id, cseq=cseq)) is short


def test_a_transaction_that_has_written_the_binding_is_left_to_python(desk):
    assert desk.put(register())
    desk.number -= 1
    assert not desk.put(register())


def test_what_has_expired_counts_no_more(desk):
    assert desk.put(register(cseq="9"))
    desk.wall += 601
    assert desk.put(register("<sip:bob@192.0.2.4>", cseq="1"))
    assert [b.uri for b in desk.short.lookup("sip:bob@example.com", desk.wall)] == ["sip:bob@192.0.2.4"]


def test_a_second_contact_and_what_stands_beside_it_are_left_to_python(desk):
    assert desk.put(register())
    assert not desk.put(register("<sip:bob@192.0.2.2>", cseq="2"))
    assert not desk.put(register(cseq="3"))


def test_uris_of_a_script_stay(desk):
    for location in (desk.short, desk.long):
        location.set_associated_uris("sip:bob@example.com", ["sip:b@example.com"], WALL)
        location.set_service_routes("sip:bob@example.com", ["<sip:r.example;lr>"], WALL)
    assert desk.put(register())
    assert desk.short.associated_uris("sip:bob@example.com") == ["sip:b@example.com"]
    assert desk.short.service_routes("sip:bob@example.com") == ["<sip:r.example;lr>"]


@pytest.mark.parametrize(
    ("user", "short"), [("bob", True), ("bob@example.com", False), ("eve", False), ("b\xf6b", False)]
)
def test_a_user_may_register_itself(user, short):
    desk = Desk(enforce_auth_aor_match=True)
    assert desk.put(register(), auth_user=user) is short


def test_the_caller_may_say_that_a_phone_is_behind_nat(desk):
    assert desk.put(register(), nat=True)
    assert desk.short.lookup("sip:bob@example.com", WALL)[0].behind_nat


def test_who_waits_for_changes_is_told_once_the_last_event_is_off(either):
    told: list[bytes] = []
    either.short.tell, either.long.tell = told.append, lambda key: None
    assert either.put(register())
    key = either.short._records.key("sip:bob@example.com")
    assert told == [key] == either.short.changed_keys()
    assert not either.put(register(cseq="2")), "an event waits: Python adds the next one"
    for location in (either.short, either.long):
        change = location.begin_change(key, either.wall)
        assert change is not None and change.event is Event.REGISTERED
        location.delivered(key, change.number + 1, either.wall)
    assert either.put(register(cseq="3"))
    change = either.short.begin_change(key, either.wall)
    assert (change.event, change.number) == (Event.REFRESHED, 3)
    either.long.begin_change(key, either.wall)


def test_events_that_nobody_waits_for_any_more_are_left_to_python(desk):
    desk.short.tell = desk.long.tell = lambda key: None
    assert desk.put(register())
    desk.short.tell = desk.long.tell = None
    assert not desk.put(register(cseq="2"))


@pytest.mark.parametrize("data", [b"", b"\x98", b"\x98\x02", b"\x01" + bytes(20), b"\x98\x02\xa1a\x91\xdc\x00\x13"])
def test_a_damaged_record_is_left_to_python(desk, data):
    key = desk.short._records.key("sip:bob@example.com")
    for table in desk.tables:
        table.commit(key, 0, data, owner=0)
    assert not desk.put(register())


def test_every_cut_and_every_changed_byte_of_a_record_is_read_as_in_python(either):
    assert either.put(register('<sip:bob@h.example>;+sip.instance="<urn:uuid:1>";reg-id=1;x'))
    key = either.short._records.key("sip:bob@example.com")
    whole = either.tables[0].get(key)[1]
    random = Random(7)
    spoilt = [whole[:size] for size in range(len(whole))]
    for _ in range(1500):
        at = random.randrange(len(whole))
        spoilt.append(whole[:at] + bytes([random.randrange(256)]) + whole[at + 1 :])
    short = 0
    for number, data in enumerate(spoilt):
        for table in either.tables:
            table.commit(key, table.head(key).version, data, owner=0)
        short += either.put(register("<sip:bob@h.example>;+sip.instance=a", cseq=str(number + 2)))
    assert short > 100, "some bytes change nothing that matters"


@pytest.mark.parametrize("shared", [False, True])
def test_any_sequence_of_registers_ends_in_the_same_tables(shared, tmp_path):
    random = Random(11)
    short = 0
    for turn in range(30):
        place = tmp_path / str(turn) if shared else None
        if place is not None:
            place.mkdir()
        desk = Desk(place, max_contacts=random.choice([1, 10]))
        for number in range(40):
            message = random.choice([*PLAIN.values(), *LONG.values(), *PLAIN.values()])
            cseq = b"CSeq: %d " % max(1, number - random.choice([0, 0, 1, 5]))
            short += desk.put(parse(message.raw.replace(b"CSeq: 1 ", cseq)))
            desk.wall += random.choice([0, 0, 1, 30, 400])
    assert short > 100


def test_a_hint_that_is_spoilt_is_written_again_as_in_python(either):
    assert either.put(register())
    key = record_key(b"k" * 16, b"c", b"sip:bob@192.0.2.1")
    whole = either.tables[0].get(key)[1]
    random = Random(3)
    spoilt = [whole[:size] for size in range(len(whole))] + [whole + b"x"]
    for _ in range(300):
        at = random.randrange(len(whole))
        spoilt.append(whole[:at] + bytes([random.randrange(256)]) + whole[at + 1 :])
    for number, data in enumerate(spoilt):
        for table in either.tables:
            table.commit(key, table.head(key).version, data, owner=1)
        assert either.put(register(cseq=str(number + 2)))


def test_a_full_table_and_a_held_record_are_left_to_python(desk):
    key = desk.short._records.key("sip:bob@example.com")
    desk.tables[0].busy.add(key)
    assert desk.short.plain.save(register(), bytes(16), SOURCE, LOCAL, False, None, WALL) is None
    desk.tables[0].busy.clear()
    desk.tables[0]._records = 1
    assert desk.short.plain.save(register(), bytes(16), SOURCE, LOCAL, False, None, WALL) is None
