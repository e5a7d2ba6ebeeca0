"""Bindings in a table of shared memory, in this process: what they take, what finding one costs, and their end.

    .venv/bin/python bench/bindings.py [--bindings 1000000] [--few 1000] [--json FILE]

Each is an address of record of its own with one contact. `lookup` is timed in a table of few bindings and in that of
all, in turn, for addresses drawn at random that the process has not seen before: its CPU, and the median of the ratios
of neighbours, so that other work of the machine falls on both alike. Then all expire at once and are swept as the
timer helper does it; each turn is timed by this process's CPU. Needs 1.1 GB of /dev/shm for a million.

Exit status: 1 when a turn took longer than 5 ms of CPU, or a look-up among all more than twice that among few.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from shm.table import Table  # noqa: E402
from siphon.cli.memory import need  # noqa: E402
from siphon.config.settings import Registrar, Shared  # noqa: E402
from siphon.engine.garbage import settle  # noqa: E402
from siphon.engine.sweeping import Sweeping, swept_of  # noqa: E402
from siphon.services.location.binding import AddressRecord  # noqa: E402
from siphon.services.location.facts import RegisterFacts  # noqa: E402
from siphon.services.location.index import Kind  # noqa: E402
from siphon.services.location.location import Location  # noqa: E402
from siphon.sip.uri import Uri  # noqa: E402

LOOKUPS = 5000
"""Of one round in one table."""
ROUNDS = 21
LONGEST_MS = 5.0
MOST_TIMES = 2.0
SECS = 3600
OTHERS = ("transactions", "media", "limits", "caches", "nonces", "dialogs", "cdrs", "hints", "bans")


class Ours:
    """Every domain is ours."""

    def is_local(self, host: str) -> bool:
        return True

    def names_us(self, host: str, port: int | None) -> bool:
        return False


class World:
    """The tables of an instance that is as small as it can be, but for its bindings."""

    def __init__(self, place: Path, bindings: int) -> None:
        sizes: Any = {"path": place, "max_bindings": bindings}
        place.mkdir()
        settings: Any = SimpleNamespace(
            registrar=Registrar.model_validate({}),
            server=SimpleNamespace(instance_id="bench"),
            shared=Shared(**sizes),
            workers=SimpleNamespace(count=2),
        )
        self.settings: Any = settings
        (size,) = (size for size in need(settings) if size.name == "location")
        self.table = Table.create(
            place / "location",
            records=size.records,
            blocks=size.blocks,
            reserve_blocks=size.reserve_blocks,
            wall_expiry=True,
            marked=True,
            block_bytes=size.block_bytes,
        )
        self.others = {name: Table.create(place / name, records=64, blocks=64) for name in OTHERS}
        self.location = self.service()
        self.pattern: AddressRecord | None = None

    def service(self) -> Location:
        """As one more process has it, which has decoded nothing yet."""
        return Location(self.table, Ours(), self.settings, b"k" * 32)

    def register(self, number: int, wall: float) -> None:
        aor = f"sip:u{number:07}@example.com"
        ip, port = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 5060
        facts = RegisterFacts(
            aor=aor,
            aor_user=f"u{number:07}",
            aor_host="example.com",
            aor_is_ours=True,
            call_id=f"{number:08x}-4f2a-11ee@{ip}",
            cseq=1,
            transaction=number.to_bytes(16),
            source=(ip, port),
            local=("192.0.2.1", 5060),
            contacts=(f"<sip:u{number:07}@{ip}:{port}>;expires={SECS}".encode(),),
        )
        assert self.location.save(facts, wall).status == 200

    def copy(self, number: int, wall: float) -> None:
        """As register(), with what it stores put together by hand: that takes a third of the time."""
        records, name = self.location._records, f"u{number:07}"
        ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        aor, uri, call_id = f"sip:{name}@example.com", f"sip:{name}@{ip}:5060", f"{number:08x}-4f2a-11ee@{ip}"
        if self.pattern is None:
            self.pattern = records.load(records.key("sip:u0000000@example.com"))[1]
        assert self.pattern is not None
        (first,) = self.pattern.bindings
        binding = replace(first, uri=uri, call_id=call_id, source=(ip, 5060), transaction=number.to_bytes(16))
        self.location._index.point(Kind.CONTACT, f"sip:{name}@{ip}", aor, wall, binding.expiry, is_new=True)
        record = replace(self.pattern, aor=aor, bindings=(binding,))
        assert records.store(records.key(aor), 0, record, wall, use_reserve=False) > 0

    def sweeping(self, ended: Callable[..., None]) -> Sweeping:
        shared: Any = SimpleNamespace(location=self.table, mirror=None, **self.others)
        return Sweeping(swept_of(shared), lambda: self.location, ended)


def timed(world: World, names: list[str], now: float) -> float:
    """Microseconds of CPU of a look-up, by a process that has neither decoded nor hashed anything yet."""
    service = world.service()
    service._records._decoded = service._records._keys = Never()
    wanted = [Uri.parse(name) for name in names]  # as a handler has it
    began = time.process_time()
    for uri in wanted:
        service.lookup(uri, now)
    return (time.process_time() - began) / len(names) * 1e6


def per_lookup(sides: list[tuple[World, int]]) -> list[list[float]]:
    """Of each world with its number of bindings, in turn: a row a round."""
    draw, now = random.Random(1), time.time()
    rounds: list[list[float]] = []
    for _ in range(ROUNDS):
        rounds.append([])
        for world, bindings in sides:
            names = [f"sip:u{draw.randrange(bindings):07}@example.com" for _ in range(LOOKUPS)]
            rounds[-1].append(timed(world, names, now))
    return rounds


class Never(dict[Any, Any]):
    """Keeps nothing: what a process finds of a million bindings it has hardly ever seen before."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


class Expiry:
    """The turns that follow when everything is over: how many, those that took too long, the longest and all of them,
    seconds of CPU."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sweeping = world.sweeping(self.note)
        self.turns = self.long = self.ended = 0
        self.longest = self.total = 0.0

    def note(self, *_: object) -> None:
        self.ended += 1

    def run(self, wall: float, left: int) -> None:
        """Until so many records are left."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        while self.world.table.stats().records > left:
            before = time.process_time()
            self.sweeping.tick(now, wall)
            took = time.process_time() - before
            self.longest, self.total = max(self.longest, took), self.total + took
            now = max(now, self.sweeping.next_at)
            self.turns += 1
            self.long += took * 1e3 > LONGEST_MS


def bytes_taken(table: Table) -> float:
    """What the records that are there have of a table: headers, marks, buckets, blocks and their states."""
    each = {name: size for name, (_, size, _) in table.sections().items()}
    buckets = table.sections()["buckets"][2] * each["buckets"] / table.stats().records_max
    found = table.verify()
    records = found.records * (each["headers"] + each["marks"] + buckets)
    return records + found.blocks_used * (each["states"] + each["blocks"])


def fill(world: World, bindings: int, wall: float) -> None:
    """Some by the registrar, the others as it would have stored them."""
    registered = min(1000, bindings)
    for number in range(registered):
        world.register(number, wall)
    for number in range(registered, bindings):
        world.copy(number, wall)


def measured(place: Path, few: int, bindings: int) -> dict[str, float]:
    """What is printed, by name."""
    wall = time.time()
    small, world = World(place / "few", few), World(place / "all", bindings)
    fill(small, few, wall)
    fill(world, bindings, wall)
    stats, taken = world.table.stats(), bytes_taken(world.table)
    rounds = per_lookup([(small, few), (world, bindings)])
    expiry = Expiry(world)
    settle()  # as the helper does after its start
    expiry.run(wall + SECS + 1, stats.records - bindings)  # the bindings, then what has led to them
    expiry.run(wall + 2 * SECS, 0)
    assert expiry.ended == bindings
    return {
        "few": few,
        "bindings": bindings,
        "records_a_binding": stats.records / bindings,
        "room_a_binding": stats.records_max / bindings,
        "taken_a_binding": taken / bindings,
        "bytes_a_binding": stats.bytes / bindings,
        "lookup_few_us": median(row[0] for row in rounds),
        "lookup_all_us": median(row[1] for row in rounds),
        "lookup_times": median(row[1] / row[0] for row in rounds),
        "expiry_us": expiry.total / bindings * 1e6,
        "turns": expiry.turns,
        "long_turns": expiry.long,
        "longest_ms": expiry.longest * 1e3,
    }


def show(found: dict[str, float]) -> None:
    print(f"records        {found['records_a_binding']:8.2f} a binding, room for {found['room_a_binding']:.2f}")
    room = f"{found['bytes_a_binding']:.0f} bytes for each of shared.max_bindings"
    print(f"memory         {found['taken_a_binding']:8.0f} bytes a binding, room for {room}")
    print(
        f"lookup         {found['lookup_few_us']:8.2f} us among {found['few']}, {found['lookup_all_us']:.2f} us among "
        f"{found['bindings']}: {found['lookup_times']:.2f} times"
    )
    print(f"expiry         {found['expiry_us']:8.1f} us a binding in {found['turns']} turns")
    print(f"longest turn   {found['longest_ms']:8.2f} ms of CPU, {found['long_turns']} above {LONGEST_MS:.0f} ms")


def main() -> int:
    parser = argparse.ArgumentParser(description="Bindings: memory, look-ups, expiry.")
    parser.add_argument("--bindings", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="the figures go to this file as well")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="siphond-bindings-", dir="/dev/shm") as place:
        found = measured(Path(place), asked.few, asked.bindings)
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(found["longest_ms"] > LONGEST_MS or found["lookup_times"] > MOST_TIMES)


if __name__ == "__main__":
    sys.exit(main())
