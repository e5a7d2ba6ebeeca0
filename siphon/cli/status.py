"""What `siphonctl status` tells: read from the files of the shared directory, without a lock and without writing.

So it works while workers are stuck or dead and while the supervisor restarts them. Numbers are those of one moment
each; they need not fit together to the last one.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shm.marks import Marks
from shm.slots import SlotCondition, Slots
from shm.table import SharedMemoryError, Table
from shm.values import Head
from siphon.cli import directory
from siphon.cli.memory import SLOTS_FILE
from siphon.engine import durations
from siphon.engine.counters import Counter
from siphon.engine.journal import read_status
from siphon.services.bans.bans import SOURCES
from siphon.services.call_records.records import SESSION
from siphon.services.location.records import BOUND, CHANGED
from workers.application import Counter as ProcessCounter
from workers.application import Flag
from workers.net import boottime
from workers.watch import SILENCE_SECS, STALL_SECS

TABLES = (
    *("transactions", "location", "nonces", "dialogs", "timers", "media"),
    *("hints", "limits", "bans", "metrics", "caches", "gateways", "cdrs"),
)


@dataclass(frozen=True, slots=True)
class Process:
    """A worker or helper. Ages are seconds; None where there is no process, or it is not in a handler."""

    name: str
    slot: int
    pid: int | None
    state: str
    beats: bool
    heartbeat_age: float | None
    in_handler: float | None
    restarts: int
    datagrams: int


@dataclass(frozen=True, slots=True)
class Journal:
    """What outlives a reboot. `waiting` records have changed and are not in it yet; `behind_secs` is above zero while
    it cannot be written to, and `error` says why."""

    records: int
    bytes: int
    live_bytes: int
    is_compacting: bool
    waiting: int
    behind_secs: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """An instance at one moment. `durations`: see siphon/engine/durations.py."""

    instance: str
    version: str
    pid: int
    state: str
    flags: int
    uptime_secs: float
    configuration: str
    listen: list[str]
    script_version: int
    all_beat: bool
    processes: list[Process]
    transactions: int
    addresses_of_record: int
    banned_sources: int
    cdr_sessions: int
    tables: dict[str, dict[str, int] | None]
    counters: dict[str, int]
    durations: list[float]
    journal: Journal | None

    def to_json(self) -> dict[str, Any]:
        """For programs; names are only ever added."""
        found = asdict(self)
        processes = found.pop("processes")
        found["workers"] = [p for p in processes if p["name"].startswith("worker")]
        found["helpers"] = [p for p in processes if not p["name"].startswith("worker")]
        return found


def read(path: Path) -> Status | None:
    """The instance that holds a shared directory; None where none does. Raises OSError, SharedMemoryError."""
    facts = directory.description(path)
    if "workers" not in facts:
        return None
    slots = Slots.attach(path / SLOTS_FILE)
    now = boottime()
    processes = [
        process(slots, facts.get("first_slot", 0) + number, f"worker {number + 1}", now)
        for number in range(min(facts["workers"], len(slots)))
    ]
    workers_beat = all(p.beats for p in processes)
    for number, name in enumerate(facts.get("helpers", ["timer"])):
        if name:  # the place of one that is not wanted is kept
            processes.append(process(slots, facts.get("last_slot", len(slots) - 1) - number, name, now))
    tables = {name: view(path / name) for name in TABLES}
    return Status(
        instance=facts["instance"],
        version=facts["version"],
        pid=facts["pid"],
        state=state(slots.flags),
        flags=slots.flags,
        uptime_secs=round(max(0.0, time.time() - slots.started_wall), 1),
        configuration=facts["configuration"],
        listen=facts["listen"],
        script_version=slots.script_version,
        all_beat=workers_beat,
        processes=processes,
        transactions=records(tables["transactions"]),
        addresses_of_record=registered(tables["location"]),
        banned_sources=live(tables["bans"], SOURCES),
        cdr_sessions=live(tables["cdrs"], SESSION),
        tables={name: facts_of(table) for name, table in tables.items()},
        counters=dict(counters(slots)),
        durations=durations.numbers(slots.total),
        journal=journal(path, tables["location"], now),
    )


def state(flags: int) -> str:
    """In one word; what else is up is told by `siphonctl ready`."""
    return "draining" if flags & Flag.DRAINING else "starting" if flags & Flag.STARTING else "running"


def process(slots: Slots, index: int, name: str, now: float) -> Process:
    """One row: an idle process may be silent for long, a busy one may not."""
    row = slots.read(index)
    counted = slots.row(index)
    restarts, datagrams = counted[ProcessCounter.RESTARTS], counted[ProcessCounter.DATAGRAMS]
    if row.state is not SlotCondition.TAKEN or not alive(row.pid):
        gone = "damaged" if row.state is SlotCondition.DAMAGED else "dead"
        return Process(name, index, None, gone, False, None, None, restarts, datagrams)
    age = max(0.0, now - row.heartbeat) if row.heartbeat else None
    handler = max(0.0, now - row.in_handler_since) if row.in_handler_since else None
    beats = age is not None and age <= (STALL_SECS if row.busy else SILENCE_SECS)
    does = "starting" if age is None else "stuck" if not beats else "busy" if row.busy else "idle"
    if handler is not None and not beats:
        does = "in handler"
    return Process(name, index, row.pid, does, beats, rounded(age), rounded(handler), restarts, datagrams)


def journal(path: Path, location: Table | None, now: float) -> Journal | None:
    """From what the helper has written last, which is as much as a second old; the table says what is not in it."""
    facts = read_status(path)
    try:
        since = facts["failing_since"]
        return Journal(
            records=facts["records"],
            bytes=facts["bytes"],
            live_bytes=facts["live_bytes"],
            is_compacting=facts["is_compacting"],
            waiting=Marks(location).waiting() if location is not None else 0,
            behind_secs=0.0 if since is None else round(max(0.0, now - since), 1),
            error=facts["error"],
        )
    except (KeyError, TypeError, ValueError):
        return None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def alive(pid: int) -> bool:
    """Also true of a process that we may not signal."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return directory.start_time(pid) != 0


def view(path: Path) -> Table | None:
    """A table for looking on; None where it is missing or damaged: the rest is worth showing."""
    try:
        return Table.view(path)
    except (OSError, SharedMemoryError):
        return None


def records(table: Table | None) -> int:
    return table.stats().records if table else 0


def registered(table: Table | None) -> int:
    """Addresses of record with a live binding: their records carry the end of the last one as deadline."""
    wall = time.time()
    return sum(until > wall for owner in (BOUND, CHANGED) for _, _, until in table.owned(owner)) if table else 0


def live(table: Table | None, owner: int) -> int:
    """Records of that kind whose time has not come."""
    if table is None:
        return 0
    heads = (table.head(key) for key, _, _ in table.owned(owner))
    wall = time.time()
    return sum(isinstance(head, Head) and not 0 < head.expiry <= wall for head in heads)


def facts_of(table: Table | None) -> dict[str, int] | None:
    return dict(table.stats()._asdict()) if table else None


def counters(slots: Slots) -> Iterator[tuple[str, int]]:
    """Sums over all slots, by name."""
    for name, column in (*ProcessCounter.__members__.items(), *Counter.__members__.items()):
        if name != "FIRST_FREE":
            yield name.lower(), slots.total(column)
