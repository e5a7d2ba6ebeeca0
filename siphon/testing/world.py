"""Several workers of the real engine in one process: over a table in memory, a virtual network and a virtual clock.

    world = World(script="...")                # or a path
    caller = world.agent("192.0.2.1", 5060)
    caller.send(text)                          # reaches worker 0, or the one named
    callee.last.status ...

A datagram is delivered at once unless `world.hold` is set. Time moves only by `advance`, which fires every deadline on
its way in order. Nothing here is simulated of the engine itself: Core, Ingest, records and decisions are the real ones.
"""

from __future__ import annotations

import heapq
import tempfile
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from siphon.config.settings import Settings
from siphon.config.testing import settings_for_tests
from siphon.engine.core import Core
from siphon.engine.counters import Counter
from siphon.engine.environment import Environment
from siphon.engine.events import TimerEvent
from siphon.engine.facts import ScriptFacts, identity_of, timing_of
from siphon.engine.handlers import ScriptHandlers
from siphon.engine.ingest import Ingest
from siphon.engine.keys import Keys
from siphon.forwarding.signer import RouteSigner
from siphon.script.context import Services
from siphon.script.runtime import Runtime
from siphon.services.digest import DigestVerifier
from siphon.services.location import Location
from siphon.state.codec import decode
from siphon.state.memory import MemoryTable
from siphon.state.memory_store import LateStore, MemoryStore
from siphon.state.record import Record
from siphon.state.store import Send
from siphon.testing.agent import Agent
from siphon.testing.clock import VirtualClock

SECRET = b"a secret that all virtual workers share"


class NoResolver:
    """Names of the virtual world."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def cached(self, name: str) -> list[str] | None:
        """Every name is known at once; unknown ones have no address."""
        return self.names.get(name.lower(), [])

    def look_up(self, names: set[str], done: Any) -> None:
        """Nothing is ever missing from the cache."""
        done()


@dataclass(slots=True)
class VirtualWorker:
    """One worker: its engine, its timers, its counters."""

    world: World
    slot: int
    generation: int
    timers: list[tuple[float, bytes, int]] = field(default_factory=list)
    counters: Tally[Counter] = field(default_factory=Tally)
    errors: list[str] = field(default_factory=list)
    alive: bool = True
    draining: bool = False
    core: Core = field(init=False)
    ingest: Ingest = field(init=False)
    runtime: Runtime = field(init=False)
    store: MemoryStore | LateStore = field(init=False)

    def arm(self, deadline: float, key: bytes, version: int) -> None:
        """As TimerRings.arm."""
        heapq.heappush(self.timers, (deadline, key, version))

    def count(self, counter: Counter, number: int = 1) -> None:
        """As Reporter.count."""
        self.counters[counter] += number

    def error(self, event: str, record_key: bytes, **facts: object) -> None:
        """As Reporter.error."""
        self.errors.append(f"{event} {facts}")

    def enter(self) -> None:
        """As Watch.enter."""

    def leave(self) -> None:
        """As Watch.leave."""

    def fire_due(self, now: float) -> None:
        """Fire the entries that have come."""
        while self.timers and self.timers[0][0] <= now:
            _, key, version = heapq.heappop(self.timers)
            head = self.store.head(key)
            if isinstance(head, tuple) and head[0] == version:
                self.core.process(TimerEvent(key, self.world.is_alive))


class World:
    """A virtual siphond. `script` is the text of a routing script, or the path of one."""

    def __init__(
        self,
        script: str | Path,
        workers: int = 2,
        late: Random | None = None,
        settings: Settings | None = None,
        **overrides: Any,
    ) -> None:
        self.clock = VirtualClock()
        self._directory = tempfile.TemporaryDirectory(prefix="siphon-world-")
        path = script if isinstance(script, Path) else self._write(script)
        self.settings = settings or settings_for_tests(**{"script": {"path": str(path)}, **overrides})
        self.random = Random(1)
        self.late = late
        self.identity = identity_of(self.settings)
        self.transactions = MemoryTable(clock=self.clock)
        self.location_table = MemoryTable(clock=self.clock.wall)
        self.nonces = MemoryTable(clock=self.clock.wall)
        self.resolver = NoResolver()
        self.agents: dict[tuple[str, int], Agent] = {}
        self.sent: list[Send] = []
        self.lost: list[Send] = []
        self.unreachable: set[tuple[str, int]] = set()
        self.hold = False
        self.held: list[tuple[int, Send]] = []
        self.workers = [self._worker(slot) for slot in range(workers)]
        self.next_worker = 0

    def _write(self, text: str) -> Path:
        path = Path(self._directory.name) / "script.py"
        path.write_text(text)
        return path

    def close(self) -> None:
        """Let go of the temporary directory."""
        self._directory.cleanup()

    # -- workers
    # --------------------------------------------------------------------------------------------------------

    def _worker(self, slot: int, generation: int = 1) -> VirtualWorker:
        worker = VirtualWorker(self, slot, generation)
        keys = Keys(SECRET, [])
        signer = RouteSigner(keys.route_secrets) if self.settings.proxy.sign_record_route else None
        services = self._services(keys, signer)
        worker.runtime = Runtime(self.settings, services)
        worker.runtime.load(version=1)
        inner = MemoryStore(self.transactions, lambda send: self.transmit(slot, send))
        worker.store = LateStore(inner, self.late) if self.late is not None else inner
        handlers = ScriptHandlers(worker.runtime, self.settings, services, worker, self.clock)
        env = self._environment(worker, keys, signer)
        handlers.env = env
        worker.core = Core(
            worker.store,
            env,
            handlers,
            self.resolver,
            worker,
            self.clock,
            worker.arm,
            lambda event, step, why: worker.ingest.refuse(event, step, why),
        )
        worker.ingest = Ingest(
            worker.core,
            lambda send: self.transmit(slot, send),
            self.clock.wall,
            self.random.getrandbits,
            lambda: worker.runtime.version,
            lambda: worker.draining,
            lambda: False,
        )
        return worker

    def _services(self, keys: Keys, signer: RouteSigner | None) -> Services:
        digest = DigestVerifier(
            self.settings.auth, keys.nonce_secrets, self.nonces, keys.table, is_local=self.identity.is_local
        )
        return Services(
            location=Location(self.location_table, self.identity, self.settings, keys.table),
            digest=digest,
            signer=signer,
            identity=self.identity,
            wall=self.clock.wall,
        )

    def _environment(self, worker: VirtualWorker, keys: Keys, signer: RouteSigner | None) -> Environment:
        return Environment(
            settings=self.settings,
            identity=self.identity,
            signer=signer,
            timing=timing_of(self.settings),
            id_key=keys.transaction,
            tag_key=keys.tag,
            loop_key=keys.loop,
            script=ScriptFacts(worker.runtime),
            resolve=self.resolver.cached,
            local_ip=lambda listener, ip: "",
            slot=worker.slot,
            generation=worker.generation,
        )

    def kill(self, slot: int) -> None:
        """The worker is gone with all it had not committed; a sibling adopts its records."""
        self.workers[slot].alive = False
        heir = next(worker for worker in self.workers if worker.alive)
        for key, version, deadline in heir.store.owned(slot):
            heir.arm(deadline, key, version)

    def replace(self, slot: int) -> None:
        """A new worker in the slot, as the supervisor starts one."""
        fresh = self._worker(slot, self.workers[slot].generation + 1)
        self.workers[slot] = fresh
        for key, version, deadline in fresh.store.owned(slot):
            fresh.arm(deadline, key, version)

    def is_alive(self, slot: int, generation: int) -> bool:
        """Whether that generation still has the slot."""
        worker = self.workers[slot]
        return worker.alive and worker.generation == generation

    def count(self, counter: Counter) -> int:
        """A counter summed over the workers."""
        return sum(worker.counters[counter] for worker in self.workers)

    # -- network
    # --------------------------------------------------------------------------------------------------------

    def agent(self, ip: str, port: int = 5060) -> Agent:
        """The user agent at an address, made when first asked for."""
        return self.agents.setdefault((ip, port), Agent(self, ip, port))

    def deliver(self, data: bytes, source: tuple[str, int], worker: int | None = None, listener: int = 0) -> None:
        """A datagram reaches a worker: the one named, else the next live one in turn."""
        self._turn(worker).ingest.datagram(data, source, listener, "", self.clock())
        self.settle()

    def _turn(self, worker: int | None) -> VirtualWorker:
        if worker is not None:
            return self.workers[worker]
        live = [w for w in self.workers if w.alive]
        self.next_worker += 1
        return live[self.next_worker % len(live)]

    def settle(self) -> None:
        """Late answers are given and parked events taken up until nothing is left to do."""
        for _ in range(10_000):
            stores = [w.store for w in self.workers if isinstance(w.store, LateStore) and w.store.waiting]
            if not stores:
                return
            self.random.choice(stores).deliver()
        raise AssertionError("late answers without end")

    def transmit(self, slot: int, send: Send) -> None:
        """A datagram leaves a worker."""
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

    # -- time
    # -----------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Move time on; every deadline on the way fires at its own time."""
        end = self.clock.now + seconds
        while True:
            due = [w.timers[0][0] for w in self.workers if w.alive and w.timers]
            if not due or min(due) > end:
                break
            self.clock.now = max(self.clock.now, min(due))
            for worker in self.workers:
                if worker.alive:
                    worker.fire_due(self.clock.now)
            self.settle()
        self.clock.now = end
        self.transactions.expire(end, 100_000)

    def records(self) -> Iterable[Record]:
        """All transaction records that are stored."""
        keys, _ = self.transactions.keys(1_000_000)
        for key in keys:
            found = self.transactions.get(key)
            if isinstance(found, tuple):
                yield decode(key, found[1])
