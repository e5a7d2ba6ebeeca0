"""Look-ups in C (siphon/services/location/_finding.pyx): where one says anything, the same as Location.lookup()."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shm.table import Table
from siphon.config.testing import settings_for_tests
from siphon.services.location import Location
from siphon.services.location._finding import Finding
from siphon.services.location.binding import LATEST, AddressRecord, Binding
from siphon.services.location.changes import Changes, Event
from siphon.sip.identity import Identity, Listener
from siphon.state.memory import MemoryTable

WALL = 4_000_000_000.25
AOR = "sip:bob@example.com"
IDENTITY = Identity([Listener(0, "udp", "127.0.0.1", 5060)], domains=["example.com"])
BINDING = Binding(
    *("sip:bob@192.0.2.1:5060", 1.0, (), None, None, "c1", 1, WALL + 600, WALL, (), "udp"),
    *(("192.0.2.1", 5060), ("127.0.0.1", 5060), False, None, b"t" * 16, "i/1"),
)


@pytest.fixture
def location(tmp_path: Path) -> Iterator[Location]:
    table = Table.create(tmp_path / "location", records=64, blocks=256, slots=8, wall_expiry=True)
    table.slot = 0
    made = Location(table, IDENTITY, settings_for_tests(), b"k" * 16, epoch="i/1")
    made.shorten()
    yield made
    table.close()


def put(location: Location, value: bytes, aor: str = AOR) -> None:
    """Whatever was there is replaced."""
    table: Any = location._table
    key = location._records.key(aor)
    head = table.head(key)
    assert table.commit(key, head.version if head else 0, value, owner=0, next_deadline=1.0, expiry=WALL + 9e5) > 0


def live(location: Location, uri: str = AOR, wall: float = WALL) -> Binding | None:
    """What C says, twice, which is what Python says; None where it says nothing."""
    assert location.finding is not None
    found = location.finding.live(uri, wall)
    if found is not None:
        assert [found] == location.lookup(uri, wall)
        assert repr(found) == repr(location.lookup(uri, wall)[0])
    assert location.finding.live(uri, wall) is found
    return found


def test_a_binding_is_found_as_it_was_stored(location: Location) -> None:
    random = Random(1)
    texts = ["", "a", "sip:ü@example.com", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "\udcff\udc80"]
    numbers, times = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1], [0.0, WALL, WALL + 0.5, LATEST]
    for _ in range(500):
        text = lambda: random.choice(texts)  # noqa: E731
        maybe = lambda: random.choice([None, *texts])  # noqa: E731
        binding = Binding(
            *(
                text(),
                random.choice([0.0, 0.5, 1.0]),
                tuple((text(), maybe()) for _ in range(random.choice([0, 1, 15]))),
            ),
            *(
                maybe(),
                maybe(),
                text(),
                random.choice(numbers),
                random.choice([WALL + 1, LATEST]),
                random.choice(times),
            ),
            *(
                tuple(text() for _ in range(random.choice([0, 1, 3, 15]))),
                text(),
                (text(), random.choice([0, 5060, 65535])),
            ),
            *((text(), random.choice([1, 65535])), random.random() < 0.5, maybe(), random.randbytes(16), text()),
        )
        record = AddressRecord(
            AOR, (binding,), (), ("sip:a@b",) * random.choice([0, 2]), ("<sip:r>",) * random.choice([0, 1])
        )
        put(location, record.to_bytes())
        assert live(location) == binding


def test_each_way_to_write_the_address_finds_it(location: Location) -> None:
    put(location, AddressRecord(AOR, (BINDING,)).to_bytes())
    for uri in (
        AOR,
        "bob@example.com",
        "<sip:bob@EXAMPLE.com:5060;x=y>",
        '"B" <sip:%62ob@example.com>',
        "sip:bob@example.com?a=b",
    ):
        assert live(location, uri) == BINDING
    for uri in ("sip:bob@example.org", "", "sip:", "tel:1", "sip:bob@example.com:5061", "sip:bob\u00fc@example.com"):
        assert live(location, uri) is None


def test_what_was_found_does_not_outlive_its_record(location: Location) -> None:
    put(location, AddressRecord(AOR, (BINDING,)).to_bytes())
    assert live(location) == BINDING
    later = replace(BINDING, uri="sip:bob@192.0.2.77", cseq=2)
    put(location, AddressRecord(AOR, (later,)).to_bytes())
    assert live(location) == later
    assert live(location, wall=WALL + 599.9) == later
    assert live(location, wall=WALL + 600) is None and location.lookup(AOR, WALL + 600) == []
    location._records.delete(location._records.key(AOR), location._records.load(location._records.key(AOR))[0])
    assert live(location) is None and location.lookup(AOR, WALL) == []


def test_what_is_not_usual_is_left_to_python(location: Location) -> None:
    other = replace(BINDING, uri="sip:bob@192.0.2.9", q=0.5)
    whole = AddressRecord(AOR, (BINDING,))
    for record in (
        replace(whole, bindings=()),
        replace(whole, bindings=(BINDING, other)),
        replace(whole, aliases=("sip:robert@example.com",)),
        replace(whole, changes=Changes().add([Event.REGISTERED])),
        replace(whole, stored=7),
    ):
        put(location, record.to_bytes())
        assert live(location) is None
        assert location.lookup(AOR, WALL) == list(record.bindings)
    put(location, whole.to_bytes())
    assert live(location) == BINDING


def test_damage_is_never_read_as_a_binding(location: Location) -> None:
    """Each octet changed, and every end: what C reads, Python reads as well."""
    params = (("x", None), ("y", "z"))
    value = AddressRecord(AOR, (replace(BINDING, params=params, path=("<sip:p;lr>",), flow_token="f"),)).to_bytes()
    random, taken = Random(2), 0
    for place in range(len(value)):
        for octet in {0x00, 0x90, 0xA0, 0xC0, 0xC2, 0xCC, 0xFF, value[place] ^ 1, random.randrange(256)}:
            put(location, value[:place] + bytes([octet]) + value[place + 1 :])
            taken += live(location) is not None
        put(location, value[:place] or b"\0")
        assert live(location) is None
    put(location, value + b"\0")
    assert live(location) is None
    assert taken > 100


def test_a_record_of_another_under_this_key_is_none(location: Location) -> None:
    put(location, AddressRecord("sip:eve@example.com", (BINDING,)).to_bytes())
    assert live(location) is None and location.lookup(AOR, WALL) == []


def test_thousands_of_addresses_are_not_kept(location: Location) -> None:
    put(location, AddressRecord(AOR, (BINDING,)).to_bytes())
    assert all(live(location, f"sip:bob@example.com;n={number}") == BINDING for number in range(2100))
    long = "sip:bob@example.com;n=" + "x" * 300
    assert live(location, long) is None and location.lookup(long, WALL) == [BINDING]


def test_only_a_table_of_shared_memory_is_read_so() -> None:
    location = Location(MemoryTable(clock=lambda: WALL), IDENTITY, settings_for_tests(), b"k" * 16, epoch="i/1")
    location.shorten()
    assert location.finding is None
    with pytest.raises(TypeError):
        Finding(MemoryTable(), location._records)
