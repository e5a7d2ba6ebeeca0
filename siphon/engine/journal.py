"""The helper process that keeps the journal of the location table: an Application that reads no socket and no script.

It looks for changes by itself (`glance`, asked from the loop's compiled wait), so no worker tells it anything, and one
that is killed owes it nothing. What it has not written when it ends is marked in the table: the next one, or the
supervisor at the end, writes it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shm.marks import Marks
from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.engine.shared import Shared
from siphon.services.journal.keeper import CHECK_SECS, Facts, Keeper
from siphon.services.location.index import OWNER as HINTS
from workers.application import WorkerContext
from workers.net import Received, Unreachable, boottime

STATUS = "journal"
"""Its file in the shared directory: what `siphonctl status` shows."""
TELL_SECS = 1.0


def path_of(settings: Settings) -> Path:
    """The journal's own path: instances may have a state directory in common."""
    return settings.server.state_dir / f"location-{settings.server.instance_id}.journal"


def keeps_journal(settings: Settings) -> bool:
    """Not where the state lies beside the tables: what takes these takes the journal as well. Nor with location in
    Redis, which outlives a reboot of this machine."""
    return settings.location_store is None and not settings.server.state_dir.is_relative_to(settings.shared.path)


def marks_of(shared: Shared) -> Marks:
    """Changes of addresses of record. Hints are not kept: they follow from the bindings."""
    return Marks(shared.location, without=HINTS)


class Journal:
    """The Application of the helper."""

    def __init__(self, settings: Settings, shared: Shared, log: Log) -> None:
        self.settings = settings
        self.shared = shared
        self.log = log
        self.told: Facts | None = None
        self.next_tell = 0.0

    # -- workers.Application

    def started(self, context: WorkerContext) -> None:
        """After fork."""
        self.context = context
        self.shared.attach(context.slot)
        table = self.shared.location
        marks = marks_of(self.shared)
        self.glance = marks.any
        self.keeper = Keeper(
            path_of(self.settings),
            self.settings.server.instance_id,
            marks,
            table.birth,
            table.stats().records_max,
            ThreadPoolExecutor(2, "journal"),
            boottime,
            time.time,
            self.log,
        )
        self.keeper.start()

    def tick(self, now: float) -> float:
        """Once a turn. A disk may be slow: what blocks counts as a handler, not as a loop that is stuck."""
        self.context.enter_handler(now)
        try:
            until = self.keeper.turn(now)
        finally:
            self.context.leave_handler()
        if now >= self.next_tell:
            self.next_tell = now + TELL_SECS
            self.tell(self.keeper.facts())
        return now + CHECK_SECS if self.keeper.rests else until

    def reload(self, payload: bytes) -> None:
        """Where it lies cannot change without a restart."""

    def finish(self) -> bool:
        """The marks tell another siphond's helper what has not been written."""
        return True

    def stopping(self) -> None:
        self.keeper.close()

    def receive(self, batch: Sequence[Received], now: float) -> None:
        """It has no sockets."""

    def unreachable(self, errors: list[Unreachable], now: float) -> None:
        """It sends nothing."""

    def due(self, entries: list[tuple[bytes, int]], now: float) -> None:
        """It arms nothing."""

    def adopt(self, slot: int, generation_dead: bool, now: float) -> None:
        """It serves nobody."""

    def release(self, slot: int) -> None:
        """It serves nobody."""

    # -- status

    def tell(self, facts: Facts) -> None:
        """What has changed, for siphonctl."""
        if facts != self.told:
            self.told = facts
            write_status(self.settings.shared.path, facts)


def write_status(place: Path, facts: Facts) -> None:
    """In one step, so that no reader sees half of it. The directory lies in memory."""
    draft = place / f".{STATUS}.new"
    found = {name: getattr(facts, name) for name in Facts.__slots__}
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w") as out:
        json.dump(found, out)
    os.replace(draft, place / STATUS)


def read_status(place: Path) -> dict[str, Any]:
    """What was written last; empty where nothing was."""
    try:
        found = json.loads((place / STATUS).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
