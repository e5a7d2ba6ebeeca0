"""The timer helper's sweep over real tables: what has expired goes, in turns, and the end of a binding is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shm.table import Table
from siphon.config.testing import settings_for_tests
from siphon.engine.sweeping import ENDS, EVERY_SECS, Sweeping, swept_of
from siphon.services.location import Event, Location, register_facts
from siphon.services.store import StoreError
from siphon.sip.identity import Identity, Listener
from siphon.sip.message import parse

BOOT = ("transactions", "media", "limits", "caches")
WALL = ("nonces", "dialogs", "cdrs", "hints", "bans")
IDENTITY = Identity([Listener(0, "udp", "127.0.0.1", 5060)], domains=["example.com"])


class Helper:
    """The tables of an instance and who sweeps them. `now` and `wall` begin at this moment; look-ups use the real
    clocks, so what shall be over is made with a time that has passed."""

    def __init__(self, place: Path, *, mirrors: bool = False) -> None:
        tables = {
            name: Table.create(place / name, records=64, blocks=64, wall_expiry=name in WALL) for name in BOOT + WALL
        }
        tables["location"] = Table.create(place / "location", records=1024, blocks=1024, wall_expiry=True, marked=True)
        self.shared: Any = SimpleNamespace(mirror=object() if mirrors else None, **tables)
        self.now, self.wall = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
        settings = settings_for_tests(registrar={"min_expires": 1})
        self.location = Location(tables["location"], IDENTITY, settings, b"k" * 32, epoch="i/1")
        self.told: list[tuple[str, list[Event]]] = []
        self.sweeping = self.another()

    def another(self) -> Sweeping:
        return Sweeping(swept_of(self.shared), lambda: self.location, self.tell)

    def tell(self, aor: str, events: Any, wall: float) -> None:
        self.told.append((aor, [event for event, _ in events]))

    def register(self, user: str, expires: int) -> None:
        message = parse(
            f"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{user}\r\n"
            f"From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: {user}\r\n"
            f"CSeq: 1 REGISTER\r\nContact: <sip:{user}@192.0.2.1>;expires={expires}\r\n\r\n".encode()
        )
        facts = register_facts(
            message,
            IDENTITY,
            transaction=user.encode().ljust(16),
            source=("192.0.2.1", 5060),
            local=("127.0.0.1", 5060),
        )
        assert self.location.save(facts, self.wall).status == 200

    def pass_by(self, seconds: float, sweeping: Sweeping | None = None) -> int:
        """Turns until nothing is left to do at that time, in steps of a second."""
        chosen, turns = sweeping or self.sweeping, 0
        until = self.now + seconds
        while self.now <= until:
            while chosen.next_at <= self.now:
                chosen.tick(self.now, self.wall)
                turns += 1
            step = min(EVERY_SECS, until - self.now) or EVERY_SECS
            self.now, self.wall = self.now + step, self.wall + step
        return turns


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    made = Helper(tmp_path)
    yield made
    made.sweeping.stop()


def test_what_is_over_goes_from_every_table_and_the_rest_stays(helper: Helper) -> None:
    for name in BOOT + WALL:
        clock = helper.wall if name in WALL else helper.now
        table = getattr(helper.shared, name)
        for number, expiry in enumerate((clock + 3, clock + 300, 0.0)):
            assert table.commit(bytes([number]) * 16, 0, b"x", owner=1, expiry=expiry) > 0
    helper.pass_by(1)
    assert all(getattr(helper.shared, name).stats().records == 3 for name in BOOT + WALL)
    helper.pass_by(6)
    assert all(getattr(helper.shared, name).stats().records == 2 for name in BOOT + WALL)
    helper.pass_by(300)
    assert all(getattr(helper.shared, name).stats().records == 1 for name in BOOT + WALL)


def test_the_end_of_a_last_binding_is_told_once_and_its_record_goes(helper: Helper) -> None:
    helper.register("alice", 3)
    helper.register("bob", 600)
    helper.pass_by(2)
    assert helper.told == []
    helper.pass_by(5)
    assert helper.told == [("sip:alice@example.com", [Event.EXPIRED])]
    helper.pass_by(30)
    assert len(helper.told) == 1 and helper.location.count(helper.wall) == 1


def test_what_ends_at_once_ends_in_turns(helper: Helper) -> None:
    users = [f"u{number}" for number in range(300)]
    for user in users:
        helper.register(user, 3)
    most = 0
    while len(helper.told) < len(users):
        before = len(helper.told)
        helper.sweeping.tick(helper.now, helper.wall)
        most = max(most, len(helper.told) - before)
        if helper.sweeping.next_at > helper.now:
            helper.now, helper.wall = helper.now + EVERY_SECS, helper.wall + EVERY_SECS
    assert sorted(aor for aor, _ in helper.told) == sorted(f"sip:{user}@example.com" for user in users)
    assert most <= 2 * ENDS


def test_a_record_that_somebody_holds_comes_again(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    helper.register("alice", 2)
    end, tries = helper.location.end, []

    def held(key: bytes, version: int, wall: float) -> Any:
        tries.append(wall)
        if len(tries) < 3:
            raise StoreError("held")
        return end(key, version, wall)

    monkeypatch.setattr(helper.location, "end", held)
    helper.pass_by(10)
    assert len(tries) == 3 and helper.told == [("sip:alice@example.com", [Event.EXPIRED])]


def test_who_stops_leaves_the_rest_to_who_follows(helper: Helper) -> None:
    helper.register("alice", 2)
    helper.pass_by(1)
    helper.sweeping.tick(helper.now + 1, helper.wall + 1)  # has taken what ends now, and goes
    helper.sweeping.stop()
    following = helper.another()
    helper.pass_by(5, following)
    assert helper.told == [("sip:alice@example.com", [Event.EXPIRED])]


def test_addresses_of_a_mirror_are_ended_elsewhere(tmp_path: Path) -> None:
    helper = Helper(tmp_path, mirrors=True)
    helper.register("alice", 2)
    helper.pass_by(10)
    assert helper.told == [] and helper.shared.location.stats().records > 0


def test_with_nothing_to_do_it_is_called_once_a_second(helper: Helper) -> None:
    assert helper.pass_by(20) <= 22
