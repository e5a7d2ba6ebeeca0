"""What the processes of one instance share: the slots, the tables and the secret. Made before fork, used after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from shm.slots import Slots
from shm.table import SlotTaken, Table
from siphon.engine.wakes import Wake, Wakes
from siphon.services.bans.bans import EVICT as BANS
from siphon.services.dialogs.dialogs import EVICT as DIALOGS
from siphon.services.limits.windows import EVICT as SOURCES
from siphon.services.location.mirror_state import MirrorState
from siphon.services.store import evict_of

TRIES = 50
PAUSE_SECS = 0.01


@dataclass(slots=True)
class Shared:
    """The supervisor maps all of it; each process then attaches itself to its slot."""

    slots: Slots
    transactions: Table
    location: Table
    nonces: Table
    dialogs: Table
    timers: Table
    media: Table
    """Which media relay has which call."""
    hints: Table
    """What is nice to know and never needed: answers of DNS, addresses that want a rest, requests answered here."""
    limits: Table
    bans: Table
    metrics: Table
    """What scripts count."""
    caches: Table
    gateways: Table
    cdrs: Table
    """Calls that go on and call detail records that wait to be written."""
    secret: bytes
    node_token: bytes
    """What this run of the instance calls itself among the nodes of a store that several share."""
    wakes: Wakes
    """Tells a process of an end that it waits for."""
    changes: Wake
    """Tells the helper that runs on_change which addresses of record have changed."""
    mirror: MirrorState | None = None
    """How far the location table mirrors a Redis; None where it is the truth itself."""

    @property
    def secret_count(self) -> int:
        """How often the secret has changed since the start: a process that began with another one must begin anew."""
        return 0 if self.mirror is None else self.mirror.secret

    def tables(self) -> Iterator[Table]:
        """All tables, the transactions first."""
        yield from (self.transactions, self.location, self.nonces, self.dialogs)
        yield from (self.timers, self.media, self.hints, self.limits, self.bans)
        yield from (self.metrics, self.caches, self.gateways, self.cdrs)

    def attach(self, slot: int) -> None:
        """Take a slot of every table for this process. What the slot's last process left half done is put right first,
        which may have to wait for a record that somebody holds."""
        for table in self.tables():
            for attempt in range(TRIES):
                try:
                    table.slot = slot
                    break
                except SlotTaken:
                    if attempt == TRIES - 1:
                        raise
                    time.sleep(PAUSE_SECS)
            table.watch(self.slots, slot)

    def recover(self, slot: int) -> None:
        """Put right what the dead process of a slot left in the tables. Any process may, again and again."""
        for table in self.tables():
            for _ in range(TRIES):
                report = table.recover(slot)
                if report.complete or report.alive:
                    break

    @property
    def evict_limits(self) -> int:
        """Records of `limits` that go at a time when it is full."""
        return evict_of(self.limits.stats().records_max, SOURCES)

    @property
    def evict_bans(self) -> int:
        """Records of `bans` that go at a time when it is full."""
        return evict_of(self.bans.stats().records_max, BANS)

    @property
    def evict_dialogs(self) -> int:
        """Records of `dialogs` that go at a time when it is full."""
        return evict_of(self.dialogs.stats().records_max, DIALOGS)

    def alive(self, slot: int, generation: int) -> bool:
        """Whether that generation still has the slot."""
        state = self.slots.read(slot)
        return bool(state.pid) and state.generation == generation
