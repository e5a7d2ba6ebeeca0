"""Dialog records written and removed in C are those of Dialogs, key for key and byte for byte."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from shm.table import Table
from siphon.services.dialogs import Dialogs, Place
from siphon.services.dialogs._plain import PlainDialogs
from siphon.state.memory import MemoryTable

KEY = bytes(range(32))
WALL = 4_000_000_000.0
"""Nothing of it is past."""
CALLER, CALLEE = Place("192.0.2.1", 5060, 0, ""), Place("192.0.2.2", 5070, 1, "192.0.2.9")


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table.create(tmp_path / "dialogs", records=64, blocks=256, slots=8, wall_expiry=True)
    made.slot = 0
    yield made
    made.close()


def place(random: Random) -> Place:
    hosts = ["192.0.2.1", "", "2001:db8:1111:2222:3333:4444:5555:6666", "fe80::1%a-long-interface-name.1234567"]
    port = random.choice([1, 127, 128, 255, 256, 65535])
    return Place(random.choice(hosts), port, random.randrange(300), random.choice(hosts))


def test_the_same_record_under_the_same_key(table: Table) -> None:
    random, other = Random(1), MemoryTable(100)
    plain, known = PlainDialogs(table, KEY, 14400.0), Dialogs(other, KEY, 14400.0)
    for number in range(500):
        tags = [random.randbytes(random.choice([0, 1, 9, 10, 99, 100, 255])) for _ in "ab"]
        if number % 3 == 0:
            tags[1] = tags[0].swapcase() + random.choice([b"", b"x"])[: 255 - len(tags[0])]
        call_id, sides = random.randbytes(random.randrange(1, 200)), (place(random), place(random))
        assert plain.note(call_id, tags[0], tags[1], *sides, WALL + number)
        known.remember(call_id, tags[0], tags[1], *sides, WALL + number)
        (key,), _ = other.keys(1)
        mine, theirs = table.get(key), other.get(key)
        assert isinstance(mine, tuple) and isinstance(theirs, tuple) and mine[1] == theirs[1]
        assert Dialogs(table, KEY, 14400.0).peer(call_id, tags[0], tags[1]) == known.peer(call_id, tags[0], tags[1])
        head = table.head(key)
        assert head is not None and not isinstance(head, int)
        assert (head.owner, head.next_deadline, head.expiry) == (0, WALL + number, WALL + 14400.0 + number)
        assert plain.drop(call_id, tags[1], tags[0])
        known.forget(call_id, tags[1], tags[0])
        assert table.get(key) is None


def test_a_dialog_that_is_there_stays_as_it_is(table: Table) -> None:
    plain, known = PlainDialogs(table, KEY, 14400.0), Dialogs(table, KEY, 14400.0)
    assert plain.note(b"c1", b"a", b"b", CALLER, CALLEE, WALL)
    assert plain.note(b"c1", b"b", b"a", CALLEE, CALLER, WALL + 1)
    assert known.peer(b"c1", b"a", b"b") == CALLEE
    assert known.peer(b"c1", b"b", b"a") == CALLER


@pytest.mark.parametrize(
    ("tag", "side"),
    [
        (b"a" * 256, CALLER),
        (b"a", Place("192.0.2.1", 65536, 0, "")),
        (b"a", Place("192.0.2.1", 5060, -1, "")),
        (b"a", Place("\xe9", 5060, 0, "")),
        (b"a", Place("1" * 100, 5060, 0, "")),
    ],
)
def test_what_does_not_fit_is_left_to_dialogs(table: Table, tag: bytes, side: Place) -> None:
    plain = PlainDialogs(table, KEY, 14400.0)
    assert not plain.note(b"c1", tag, b"b", side, CALLEE, WALL)
    assert not plain.note(b"c" * 2000, b"a", b"b", CALLER, CALLEE, WALL)
    assert table.stats().records == 0


def test_a_full_table_is_left_to_dialogs(table: Table) -> None:
    plain = PlainDialogs(table, KEY, 14400.0)
    noted = [plain.note(b"%d" % number, b"a", b"b", CALLER, CALLEE, WALL) for number in range(300)]
    assert noted[0] and not noted[-1]
    known = Dialogs(table, KEY, 14400.0)
    known.remember(b"299", b"a", b"b", CALLER, CALLEE, WALL)
    assert known.peer(b"299", b"a", b"b") == CALLEE


def test_only_a_table_of_shared_memory_has_the_short_way(table: Table) -> None:
    assert Dialogs(table, KEY, 14400.0).plain is not None
    assert Dialogs(MemoryTable(10), KEY, 14400.0).plain is None
