"""A world with a bad network and mortal workers: the simulator's.

Sockets outlive their workers: what comes for a slot without a live worker waits there until a sibling adopts the slot
or a new worker takes it. Who adopts whom is decided by workers/adoption.py, as in siphond.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from siphon.config.settings import Settings
from siphon.engine.application import LOOK_AGAIN_SECS
from siphon.engine.environment import Environment
from siphon.engine.handlers import ScriptHandlers
from siphon.engine.keys import Keys
from siphon.engine.parts import Handlers
from siphon.script.sending import OwnRequest, Sending
from siphon.services.location.records import Records
from siphon.sip.message import SipMessage
from siphon.state.memory import MemoryTable
from siphon.state.memory_store import MemoryStore
from siphon.state.store import Send, Store
from siphon.testing.asks import Asked
from siphon.testing.change_helper import ChangeHelper
from siphon.testing.faults import Faults
from siphon.testing.handlers import CountedHandlers
from siphon.testing.invariants import Checks
from siphon.testing.ladder import Ladder
from siphon.testing.names import SlowNames
from siphon.testing.peer import PROXY, STRANGER
from siphon.testing.sim_store import SimLocation, SimStore
from siphon.testing.wire import Place, Weather, Wire
from siphon.testing.worker import SECRET, Names, VirtualWorker, WorkerDied
from siphon.testing.world import World
from workers.adoption import BEAT_LIMIT, Crew

STALE_SECS = 4.0
RESERVE_BLOCKS = 32
"""A worker's share of the reserve: one record of the largest size."""
LOOK_SECS = 0.02
LOST_HINTS = 0.1
"""Of the hints by which a worker wakes another one."""
SURVIVED_SECS = 3.0
"""An event may be parked, and dies with its worker: a 1xx is as lost then as if the network had lost it."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A slot as workers/adoption.py reads it."""

    pid: int
    busy: bool
    heartbeat: float
    generation: int = 1
    critical_since: float = 0.0
    in_handler_since: float = 0.0
    starts: int = 1


class SimulatedWorld(World):
    """`random` decides over the network; `spread` sends each datagram to another worker, else the source decides."""

    name = ""
    """Before the names of its workers, where there are several such worlds (siphon/testing/nodes/)."""

    def __init__(
        self,
        script: Path,
        workers: int,
        random: Random,
        weather: Weather,
        faults: Faults,
        spread: bool,
        settings: Settings,
        names: dict[str, list[str]],
        **options: Any,
    ) -> None:
        self.names = names
        self.name_random = Random(random.random())
        self.faults = faults
        self.workers_wanted = workers
        self.spread = spread
        self.points = 0
        self.checks = Checks(self)
        self.asks: list[Asked] = []
        self.sockets: list[deque[tuple[bytes, Place, float]]] = [deque() for _ in range(workers)]
        self.paused_at: dict[int, float] = {}
        self.retrying: set[int] = set()
        self.edits = script.name.startswith("routing1") and not faults.room  # on_reply exists, no lean records
        super().__init__(script, workers, settings=settings, helper=True, **options)
        self.random = random
        self.changes: ChangeHelper | None = None
        self.crew = Crew(workers, helper=workers)
        self.ladder = Ladder(self.clock)
        self.wire = Wire(self.schedule, self.clock, random, self.ladder, weather, self.arrive, self.refused)
        start = self.clock()
        for at, slot in faults.deaths:
            self.schedule.at(start + at, self.kill, slot)
        for at, secs, slot in faults.pauses:
            self.schedule.at(start + at, self.pause, slot, secs)

    def make_table(self) -> MemoryTable:
        """A table with the room that the run has."""
        if not self.faults.room:
            return super().make_table()
        reserve = self.workers_wanted * RESERVE_BLOCKS
        return MemoryTable(1000, reserve + self.faults.room, reserve_blocks=reserve, clock=self.clock)

    def make_location_table(self) -> MemoryTable:
        """A table whose changes are checked."""
        self.location = SimLocation(clock=self.clock.wall)
        return self.location

    def location_key(self, aor: str) -> bytes:
        """The key of an address of record."""
        return Records(self.location, Keys(SECRET, []).table, 0).key(aor)

    # -- what workers are made of -------------------------------------------------------------------------------------

    def store_of(self, worker: VirtualWorker) -> Store:
        """A store with the faults of the run."""
        inner = MemoryStore(
            self.transactions,
            lambda send: self.transmit(worker.slot, send),
            lambda point: self.pass_gate(worker, point),
        )
        return SimStore(self, worker, inner)

    def resolver_of(self, worker: VirtualWorker) -> Names:
        """Look-ups take time, and each worker has a cache of its own."""
        return SlowNames(self, worker, self.name_random, self.names)

    def handlers_of(self, worker: VirtualWorker, handlers: ScriptHandlers, env: Environment) -> Handlers:
        """Handlers whose runs are counted."""
        handlers.env = env
        return CountedHandlers(handlers, self.checks, worker)

    # -- registrations ------------------------------------------------------------------------------------------------

    def begin_registering(self, random: Random) -> None:
        """From here on changes of the location table are checked, and somebody delivers their events. `random` is that
        one's own, so that runs without registrations are what they were."""
        self.location.begin(self)
        self.changes = ChangeHelper(self, random)

    def tell(self, key: bytes) -> None:
        """See World.tell."""
        if self.changes is not None:
            self.changes.tell(key)

    # -- datagrams ----------------------------------------------------------------------------------------------------

    def transmit(self, slot: int, send: Send, stateful: bool = True) -> None:
        """A datagram leaves a worker; `stateful`: in a commit."""
        if send.to[0] == STRANGER[0]:
            self.wire.peers[STRANGER].receive(send.data)
            return
        self.checks.proxy_sent(send, stateful)
        self.wire.send(PROXY, send.to, send.data, f"{self.name}w{slot}")

    def arrive(self, data: bytes, source: Place) -> None:
        """A datagram has reached the proxy's address: the kernel puts it into one worker's socket."""
        count = self.count_of_workers
        slot = self.random.randrange(count) if self.spread else crc32(repr(source).encode()) % count
        self.sockets[slot].append((data, source, self.clock()))
        self.read(slot)

    def read(self, slot: int) -> None:
        """Whoever reads the socket reads it; a datagram that waited too long is dropped."""
        if slot == self.count_of_workers:
            return  # the helper has no socket
        worker = self.reader(slot)
        queue = self.sockets[slot]
        while worker is not None and worker.alive and not worker.paused and queue:
            data, source, arrived = queue.popleft()
            if self.clock() - arrived < STALE_SECS:
                self.checks.proxy_reads(data, source)
                stale = self.checks.version_if_stale(data)
                worker.turn(worker.ingest.datagram, data, source, 0, "", arrived)
                if stale is not None and self.has_changed(*stale):
                    self.checks.fail("a stale response has changed a later record")
                read = self.checks.reading
                if self.checks.in_time() and self.has_store(worker):
                    self.schedule.at(self.clock() + SURVIVED_SECS, self.survived, worker, read, self.clock())
                self.retry(worker)

    def has_changed(self, key: bytes, version: int) -> bool:
        """Whether a record is another than before the datagram that has just been served."""
        head = self.transactions.head(key)
        return head is not None and head.version != version

    def has_store(self, worker: VirtualWorker) -> bool:
        """Whether it can load records; else a response that it reads is lost, as on the way."""
        return True

    def survived(self, worker: VirtualWorker, read: SipMessage | None, since: float) -> None:
        """A response has been read a while ago."""
        self.checks.proxy_has_read(worker, read)

    def reader(self, slot: int) -> VirtualWorker | None:
        """The live worker of a slot, or its adopter."""
        worker = self.workers[slot]
        if worker.alive and not worker.paused:
            return worker
        return next((w for w in self.workers if slot in w.adopted and w.alive and not w.is_helper), None)

    def refused(self, data: bytes) -> None:
        """An ICMP error: it may wait on any worker's socket."""
        live = [w for w in self.workers if w.alive and not w.paused and not w.is_helper]
        if live:
            worker = self.random.choice(live)
            worker.turn(worker.ingest.unreachable, data)

    def retry(self, worker: VirtualWorker) -> None:
        """What found a lock held is taken up again a turn later."""
        if worker.alive and not worker.paused and worker.core.retry and worker.slot not in self.retrying:
            self.retrying.add(worker.slot)
            self.schedule.at(self.clock() + 0.001, self._retry, worker)

    def _retry(self, worker: VirtualWorker) -> None:
        self.retrying.discard(worker.slot)
        worker.turn(worker.core.retry_parked)
        self.retry(worker)

    def settle(self) -> None:
        """After each moment: parked events are remembered."""
        for worker in self.workers:
            self.retry(worker)

    # -- life and death -----------------------------------------------------------------------------------------------

    def pass_gate(self, worker: VirtualWorker, point: str) -> None:
        """A point at which the worker may die."""
        self.points += 1
        if self.points in self.faults.deaths_at_points and not worker.is_helper:
            self.ladder.note(f"{self.name}w{worker.slot} dies at point {self.points} ({point})")
            self.kill(worker.slot)
            raise WorkerDied

    def kill(self, slot: int) -> None:
        """The worker dies; siblings notice it later, and later still there is a new one."""
        worker = self.workers[slot]
        if not worker.alive:
            return
        self.ladder.note(f"{self.name}w{slot} is dead")
        self.bury(slot)
        self.checks.deaths += 1
        worker.paused = False
        worker.adopted.clear()
        self.schedule.at(self.clock() + BEAT_LIMIT + self.random.random() * LOOK_SECS, self.look)
        self.schedule.at(self.clock() + self.faults.down_for, self.replace, slot)

    def replace(self, slot: int) -> None:
        """A new worker in the slot."""
        self.ladder.note(f"{self.name}w{slot} is new")
        self.workers[slot] = self.new_worker(slot, self.workers[slot].generation + 1)
        self.schedule.at(self.clock() + LOOK_AGAIN_SECS, self.workers[slot].turn, self.workers[slot].arm_owned, slot)
        self.schedule.at(self.clock() + self.random.random() * LOOK_SECS, self.look)
        self.read(slot)

    def pause(self, slot: int, secs: float) -> None:
        """The worker stands still; the kernel stopped it, or a handler blocks."""
        worker = self.workers[slot]
        if not worker.alive or worker.paused:
            return
        self.ladder.note(f"{self.name}w{slot} stands still")
        worker.paused = True
        self.paused_at[slot] = self.clock()
        self.schedule.at(self.clock() + BEAT_LIMIT + self.random.random() * LOOK_SECS, self.look)
        self.schedule.at(self.clock() + secs, self.wake, slot, worker.generation)

    def wake(self, slot: int, generation: int) -> None:
        """It goes on; what was waiting for it comes first, then what others have changed of its records."""
        worker = self.workers[slot]
        if worker.generation != generation or not worker.paused:
            return
        self.ladder.note(f"{self.name}w{slot} goes on")
        worker.paused = False
        waiting, worker.waiting = worker.waiting, []
        for call, args in waiting:
            worker.turn(call, *args)
        if worker.alive:
            worker.arm_owned(slot)
            self.schedule.at(self.clock() + LOOK_AGAIN_SECS, worker.turn, worker.arm_owned, slot)
            self.retry(worker)
        self.schedule.at(self.clock() + self.random.random() * LOOK_SECS, self.look)
        self.read(slot)

    # -- requests of our own ------------------------------------------------------------------------------------------

    def asked(self, worker: VirtualWorker, own: OwnRequest, sending: Sending) -> None:
        """What the waiter gets is noted."""
        self.asks.append(Asked(worker, own, self.clock(), sending, self.clock))

    def hint(self, slot: int, key: bytes) -> None:
        """One in ten is lost."""
        if self.random.random() >= LOST_HINTS:
            super().hint(slot, key)

    def look(self) -> None:
        """Every worker compares whose work should be done by it with whose is."""
        states = {w.slot: self._pulse(w) for w in self.workers}
        found = self.crew.adopters(states, self.clock())
        for worker in self.workers:
            mine = {slot for slot, adopter in found.items() if adopter == worker.slot}
            for slot in sorted(mine - worker.adopted):
                self.ladder.note(f"{self.name}w{worker.slot} adopts w{slot}")
                worker.adopted.add(slot)
                worker.turn(worker.arm_owned, slot)
                self.read(slot)
            worker.adopted &= mine

    def _pulse(self, worker: VirtualWorker) -> Pulse:
        heartbeat = self.paused_at[worker.slot] if worker.paused else self.clock()
        return Pulse(int(worker.alive), worker.paused, heartbeat)

    def interfere(self, key: bytes, worker: VirtualWorker) -> None:
        """A sibling commits the record unchanged, a moment before this worker does."""
        found = self.transactions.get(key)
        head = self.transactions.head(key)
        others = [w for w in self.workers if w.alive and w is not worker and not w.is_helper and not w.paused]
        if not isinstance(found, tuple) or head is None or not others:
            return
        other = self.random.choice(others)
        version = self.transactions.commit(
            key, found[0], found[1], owner=other.slot, next_deadline=head.next_deadline, expiry=head.expiry
        )
        if head.next_deadline:
            other.arm(head.next_deadline, key, version)
