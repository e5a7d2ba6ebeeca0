"""Several workers of the real engine in one process: over a table in memory, a virtual network and a virtual clock.

    world = World(script="...")                # or a path
    caller = world.agent("192.0.2.1", 5060)
    caller.send(text)                          # reaches worker 0, or the one named
    callee.last.status ...

A datagram is delivered at once unless `world.hold` is set. Time moves only by `advance`, which fires every deadline on
its way in order. Nothing here is simulated of the engine itself: Core, Ingest, records and decisions are the real ones.
siphon/testing/simulated.py makes a world with a bad network and mortal workers of it.
"""

from __future__ import annotations

import tempfile
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.config.testing import settings_for_tests
from siphon.engine.changes import run_change
from siphon.engine.core import Core
from siphon.engine.counters import Counter
from siphon.engine.deliveries import Deliveries
from siphon.engine.environment import Environment
from siphon.engine.facts import identity_of
from siphon.engine.handlers import ScriptHandlers
from siphon.engine.ingest import Checks
from siphon.engine.parts import Handlers
from siphon.forwarding.next_hop import Hop
from siphon.script.context import Services
from siphon.script.runtime import Runtime
from siphon.script.sending import OwnRequest, Sending
from siphon.services.dns import Address
from siphon.services.dns.order import Naptr
from siphon.state.codec import decode
from siphon.state.memory import MemoryTable
from siphon.state.memory_store import LateStore, MemoryStore
from siphon.state.record import Record
from siphon.state.store import Send, Store
from siphon.testing.agent import Agent
from siphon.testing.auth_service import AuthService
from siphon.testing.clock import VirtualClock
from siphon.testing.plain import SameDecision
from siphon.testing.schedule import Schedule
from siphon.testing.worker import Names, ScriptOnce, VirtualWorker, WorkerDied

Gate = Callable[[VirtualWorker, str], None]


class NoResolver:
    """Names of the virtual world: an address is text, or a pair with the port that an SRV record would name. A name in
    `unknown` must be looked up first; `pending` holds who waits for that."""

    def __init__(self) -> None:
        self.names: dict[str, Sequence[str | Address]] = {}
        self.naptrs: dict[str, list[Naptr]] = {}
        self.unknown: set[str] = set()
        self.pending: list[tuple[set[Hop], Callable[[], None]]] = []

    def cached(self, hop: Hop) -> list[Address] | None:
        """Every other name is known at once; those without an entry have no address."""
        name = hop.host.lower()
        if name in self.unknown:
            return None
        port = hop.port or 5060
        return [(place, port) if isinstance(place, str) else place for place in self.names.get(name, [])]

    def look_up(self, names: set[Hop], done: Callable[[], None]) -> None:
        """The answer comes by answer()."""
        self.pending.append((names, done))

    def refresh(self, hop: Hop, done: Callable[[], None]) -> None:
        """DNS is asked again."""
        self.look_up({hop}, done)

    async def naptr(self, name: str) -> tuple[list[Naptr], float]:
        """The NAPTR records of a name, for ENUM."""
        return self.naptrs.get(name.lower(), []), 60.0

    def answer(self) -> None:
        """All look-ups have come to an end; a name without addresses has none."""
        pending, self.pending = self.pending, []
        for hops, done in pending:
            self.unknown -= {hop.host.lower() for hop in hops}
            done()


class World:
    """A virtual siphond. `script` is the text of a routing script, or the path of one."""

    def __init__(
        self,
        script: str | Path,
        workers: int = 2,
        late: Random | None = None,
        settings: Settings | None = None,
        helper: bool = False,
        **overrides: Any,
    ) -> None:
        self.clock = self.make_clock()
        self.schedule = self.make_schedule()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        path = script if isinstance(script, Path) else self._write(script)
        self.settings = settings or settings_for_tests(**{"script": {"path": str(path)}, **overrides})
        self.random = self.make_random()
        self.late = late
        self.identity = identity_of(self.settings)
        self.transactions = self.make_table()
        self.location_table = self.make_location_table()
        self.dialogs = MemoryTable(clock=self.clock.wall)
        self.hints = MemoryTable(clock=self.clock.wall)
        self.limits = MemoryTable(clock=self.clock)
        self.bans = MemoryTable(clock=self.clock.wall)
        self.metrics = MemoryTable()
        self.caches = MemoryTable(clock=self.clock)
        self.cdrs = MemoryTable(clock=self.clock.wall)
        self.nonces = MemoryTable(clock=self.clock.wall)
        self.timers = MemoryTable(clock=self.clock)
        self.gateways = MemoryTable(clock=self.clock)
        self.script_version = 1
        self.resolver = NoResolver()
        self.auth_service = AuthService()
        self.agents: dict[tuple[str, int], Agent] = {}
        self.sent: list[Send] = []
        self.lost: list[Send] = []
        self.unreachable: set[tuple[str, int]] = set()
        self.hold = False
        self.held: list[tuple[int, Send]] = []
        self.gate: Gate | None = None
        self.next_worker = 0
        self.in_a_batch = False
        self.count_of_workers = workers
        self.workers: list[VirtualWorker] = []
        self.changed: list[bytes] = []
        self.deliveries: Deliveries | None = None
        for slot in range(workers + helper):
            self.workers.append(self.new_worker(slot, 1))

    def _write(self, text: str) -> Path:
        self._directory = tempfile.TemporaryDirectory(prefix="siphon-world-")
        path = Path(self._directory.name) / "script.py"
        path.write_text(text)
        return path

    def close(self) -> None:
        """Let go of the temporary directory and the loops."""
        for worker in self.workers:
            worker.aio.abandon()
        if self._directory is not None:
            self._directory.cleanup()

    def make_clock(self) -> VirtualClock:
        """The clock that all live by."""
        return VirtualClock()

    def make_schedule(self) -> Schedule:
        """What is to happen."""
        return Schedule()

    def make_log(self, level: str) -> Log:
        """The log of a worker."""
        return Log(level, file="stderr", process="virtual")

    def make_runtime(self, settings: Settings, services: Services, loop: AbstractEventLoop, log: Log) -> Runtime:
        """What loads and runs the script in a worker."""
        return ScriptOnce(settings, services, loop, log)

    def comparison(self, core: Core) -> Checks | None:
        """What compares the short ways of the engine with the long one."""
        return SameDecision(core)

    def local_ip(self, listener: int, ip: str) -> str:
        """The address that a listener sends from to a place; empty where its own is that."""
        return ""

    def make_random(self) -> Random:
        """What workers draw from."""
        return Random(1)

    def make_table(self) -> MemoryTable:
        """The table of transactions."""
        return MemoryTable(clock=self.clock)

    def make_location_table(self) -> MemoryTable:
        """The table of location."""
        return MemoryTable(clock=self.clock.wall)

    # -- what workers are made of -------------------------------------------------------------------------------------

    def new_worker(self, slot: int, generation: int) -> VirtualWorker:
        """A worker that takes up what a former generation of its slot has left; beyond the count it is the helper."""
        worker = VirtualWorker(self, slot, generation, is_helper=slot >= self.count_of_workers)
        worker.build()
        worker.arm_owned(slot)
        return worker

    def store_of(self, worker: VirtualWorker) -> Store:
        """A worker's way to the transactions; `gate` is asked at each point where it may die."""
        inner = MemoryStore(
            self.transactions,
            lambda send: self.transmit(worker.slot, send),
            lambda point: self.gate(worker, point) if self.gate is not None else None,
        )
        return inner if self.late is None else LateStore(inner, self.late)

    def resolver_of(self, worker: VirtualWorker) -> Names:
        """How a worker looks names up."""
        return self.resolver

    def handlers_of(self, worker: VirtualWorker, handlers: ScriptHandlers, env: Environment) -> Handlers:
        """The script's handlers as the worker's core gets them."""
        handlers.env = env
        return handlers

    # -- life and death -----------------------------------------------------------------------------------------------

    def kill(self, slot: int) -> None:
        """The worker is gone with all it had not committed; a sibling adopts its records."""
        self.bury(slot)
        heir = next((worker for worker in self.workers if worker.alive), None)
        if heir is not None:
            heir.adopted.add(slot)
            heir.arm_owned(slot)
            heir.script_timers.look(dead=True)
            heir.keepalive.look()
            heir.gateways.look()

    def bury(self, slot: int) -> None:
        """The worker is gone; nobody has noticed yet."""
        worker = self.workers[slot]
        worker.alive = False
        worker.aio.abandon()
        if isinstance(worker.store, LateStore):
            worker.store.forget()

    def die(self, worker: VirtualWorker) -> None:
        """Kill the worker from within, at the point where it is; a sibling adopts."""
        self.kill(worker.slot)
        raise WorkerDied

    def replace(self, slot: int) -> None:
        """A new worker in the slot, as the supervisor starts one."""
        for worker in self.workers:
            worker.adopted.discard(slot)
        self.workers[slot] = self.new_worker(slot, self.workers[slot].generation + 1)

    def reload(self, script: str) -> None:
        """Another text of the script: all live workers switch to it, new ones begin with it."""
        path = self.settings.script.path
        path.write_text(script)
        self.script_version += 1
        for worker in self.workers:
            if worker.alive:
                worker.reload(self.script_version)

    def is_alive(self, slot: int, generation: int) -> bool:
        """Whether that generation still has the slot."""
        worker = self.workers[slot]
        return worker.alive and worker.generation == generation

    def alive_for(self, worker: VirtualWorker) -> Callable[[int, int], bool]:
        """How a worker finds out whether a claimant lives."""
        return self.is_alive

    def slot_of(self, worker: VirtualWorker) -> int:
        """A worker's slot as records name it."""
        return worker.slot

    def count(self, counter: Counter) -> int:
        """A counter summed over the workers."""
        return sum(worker.counters[counter] for worker in self.workers)

    def asked(self, worker: VirtualWorker, own: OwnRequest, sending: Sending) -> None:
        """A handler of a worker has sent a request of its own."""

    def hint(self, slot: int, key: bytes) -> None:
        """A worker gives another one a hint; that one takes it in a turn of its own."""
        worker = self.workers[slot]
        self.schedule.at(self.clock(), worker.turn, worker.woken, key)

    # -- network ------------------------------------------------------------------------------------------------------

    def agent(self, ip: str, port: int = 5060) -> Agent:
        """The user agent at an address, made when first asked for."""
        return self.agents.setdefault((ip, port), Agent(self, ip, port))

    def deliver(self, data: bytes, source: tuple[str, int], worker: int | None = None, listener: int = 0) -> None:
        """A datagram reaches a worker: the one named, else the next live one in turn."""
        chosen = self._turn(worker)
        chosen.turn(chosen.datagram, data, source, listener, self.local_ip(listener, source[0]), self.clock())
        if not self.in_a_batch:
            self.settle()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is delivered in it is read at once; late answers come afterwards."""
        self.in_a_batch = True
        try:
            yield
        finally:
            self.in_a_batch = False
        self.settle()

    def _turn(self, worker: int | None) -> VirtualWorker:
        if worker is not None:
            return self.workers[worker]
        live = [w for w in self.workers if w.alive and not w.is_helper]
        self.next_worker += 1
        return live[self.next_worker % len(live)]

    def settle(self) -> None:
        """Late answers are given and parked events taken up until nothing is left to do."""
        for _ in range(10_000):
            late = [w for w in self.workers if isinstance(w.store, LateStore) and w.store.waiting]
            if not late:
                self._deliver_changes()
                return
            chosen = self.random.choice(late)
            assert isinstance(chosen.store, LateStore)
            chosen.turn(chosen.store.deliver)
        raise AssertionError("late answers without end")

    def tell(self, key: bytes) -> None:
        """An address of record has changed, and the script wants to know."""
        self.changed.append(key)

    def _deliver_changes(self) -> None:
        """The handlers of on_change run with the first worker's script and loop."""
        if self.deliveries is None:
            runtime = self.workers[0].runtime
            location = runtime.services.location
            self.deliveries = Deliveries(location, lambda *event: run_change(runtime, *event), self.clock.wall)
        changed, self.changed = self.changed, []
        self.deliveries.hint(changed)
        while self.deliveries.busy:
            self.deliveries.step()

    def transmit(self, slot: int, send: Send, stateful: bool = True) -> None:
        """A datagram leaves a worker; `stateful`: in a commit."""
        self.sent.append(send)
        if self.hold:
            self.held.append((slot, send))
            return
        agent = self.agents.get(send.to)
        if send.to in self.unreachable:
            self.workers[slot].ingest.unreachable(send.data)
        elif agent is None:
            self.lost.append(send)
        else:
            agent.receive(send.data)

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move time on; every deadline on the way fires at its own time."""
        end = self.clock.now + seconds
        while (when := self.next_when()) is not None and when <= end:
            self.clock.now = max(self.clock.now, when)
            self.run_due()
        self.clock.now = end
        self.transactions.expire(end, 100_000)

    def next_when(self) -> float | None:
        """When something happens by itself."""
        times = [when for worker in self.workers if (when := worker.next_when()) is not None]
        if (when := self.schedule.next()) is not None:
            times.append(when)
        return min(times, default=None)

    def run_due(self) -> None:
        """All that happens at this moment."""
        while self.schedule.run_due(self.clock.now):
            pass
        for worker in list(self.workers):
            if worker.alive and not worker.paused:
                worker.run_due(self.clock.now)
        self.settle()

    def records(self) -> Iterable[Record]:
        """All transaction records that are stored."""
        keys, _ = self.transactions.keys(1_000_000)
        for key in keys:
            found = self.transactions.get(key)
            if isinstance(found, tuple):
                yield decode(key, found[1])
