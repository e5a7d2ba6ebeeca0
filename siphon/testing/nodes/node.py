"""One node of several: a world of workers with clocks and shared memory of its own, whose transactions lie far away.

The workers run the real store over the far store (siphon/state/redis/store.py). What a node has for itself - the table
of leases, the other tables, sockets - goes with it when it dies whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from siphon.engine.far import START_SECS
from siphon.engine.orphans import AtWork
from siphon.script.sending import OwnRequest, Sending
from siphon.sip.message import SipMessage
from siphon.state.redis.local import Local
from siphon.state.redis.nodes import SLOTS, Membership
from siphon.state.redis.store import FarStore
from siphon.state.redis.takeover import TakeOver
from siphon.state.store import Commit, Send, Store
from siphon.testing.asks import Asked
from siphon.testing.clock import NodeClock, VirtualClock
from siphon.testing.nodes.far_link import FarLink
from siphon.testing.peer import PROXY, STRANGER
from siphon.testing.schedule import Schedule, Shifted
from siphon.testing.simulated import SimulatedWorld
from siphon.testing.worker import VirtualWorker, WorkerDied
from siphon.testing.world import World
from workers.adoption import Crew

READ_AGAIN_SECS = 0.02
ARMED_SECS = 0.5
"""How much later than its deadline a record may be armed: clocks, and a lease that must run out first."""

if TYPE_CHECKING:
    from siphon.testing.nodes.cluster import Cluster


class NodeWorld(SimulatedWorld):
    """A node. `cut`: it cannot reach the far store; `down`: it is dead whole."""

    def __init__(self, cluster: Cluster, number: int, ahead: float, skew: float, random: Random) -> None:
        s = cluster.scenario
        self.cluster = cluster
        self.number, self.name, self.ahead, self.skew = number, f"n{number}", ahead, skew
        self.names, self.name_random = s.names, Random(random.random())
        self.faults, self.checks, self.asks = cluster.faults, cluster.checks, cluster.asks
        self.workers_wanted, self.spread = s.workers, s.spread
        self.sockets = [deque() for _ in range(s.workers)]
        self.paused_at, self.retrying, self.edits = {}, set(), cluster.edits
        self.random = random
        self.cut = self.down = False
        self.lives = 0
        self.troubled_at = 0.0
        """When it last got no answer from the far store, or stood still."""
        self.when_mended: list[Callable[[], None]] = []
        self.members: dict[int, Membership] = {}
        self.links: dict[int, FarLink] = {}
        self.takers: dict[int, TakeOver] = {}
        self.starting_until: dict[int, float] = {}
        World.__init__(self, s.script, s.workers, settings=s.settings, helper=True)
        self.random = random
        self.changes = None
        self.crew = Crew(s.workers, helper=s.workers)
        self.ladder, self.wire = cluster.ladder, cluster.wire

    def make_clock(self) -> VirtualClock:
        """See World.make_clock."""
        return NodeClock(self.cluster.clock, self.ahead, self.skew)

    def make_random(self) -> Random:
        """See World.make_random; no node draws what another draws."""
        return Random(self.number + 1)

    def make_schedule(self) -> Schedule:
        """See World.make_schedule."""
        return Shifted(self.cluster.schedule, self.ahead)  # type: ignore[return-value]

    # -- what workers are made of -------------------------------------------------------------------------------------

    def store_of(self, worker: VirtualWorker) -> Store:
        """The store over the far store."""
        s = self.cluster.plan
        link = self.links[worker.slot] = FarLink(self, worker, self.cluster.far, s.timeout)
        local = Local(
            self.transactions,
            worker.slot,
            worker.generation,
            self.is_alive,
            self.clock,
            0 if worker.is_helper else None,
        )
        token = b"node %d.%d" % (self.number, self.lives)
        member = Membership(
            link, token, self.living, self.clock, lambda number: self.joined(worker, number), super().hint
        )
        self.members[worker.slot] = member
        store = FarStore(
            link,
            local,
            member,
            slot=worker.slot,
            generation=worker.generation,
            hold_secs=s.timeout,
            send=lambda commit: self.send(worker, commit),
            arm=worker.arm,
            clock=self.clock,
            later=lambda secs, call: self.schedule.at(self.clock() + secs, worker.turn, call),
            random_bits=self.random.getrandbits,
        )
        self.takers[worker.slot] = TakeOver(link, member, store.taken)
        return store

    def new_worker(self, slot: int, generation: int) -> VirtualWorker:
        """See World.new_worker."""
        worker = super().new_worker(slot, generation)
        worker.core.at_work = AtWork()
        assert isinstance(worker.store, FarStore)
        worker.store.doubted = worker.core.refuse_late
        worker.core.remind = lambda slot, key: self.remind(self.links[worker.slot], slot, key)
        self.starting_until[slot] = self.clock() + START_SECS
        return worker

    def read(self, slot: int) -> None:
        """See SimulatedWorld.read. A process that has begun a moment ago leaves what has come until it has joined."""
        worker = self.reader(slot)
        if (
            worker is None
            or not isinstance(worker.store, FarStore)
            or worker.store.ready
            or self.clock() >= self.starting_until[worker.slot]
        ):
            super().read(slot)
        elif slot < len(self.sockets) and self.sockets[slot]:
            self.schedule.at(self.clock() + READ_AGAIN_SECS, self.read, slot)

    def living(self) -> list[tuple[int, int]]:
        """(slot, generation) of the processes of this node."""
        return [(w.slot, w.generation) for w in self.workers if w.alive]

    def joined(self, worker: VirtualWorker, number: int) -> None:
        """The node has a number."""
        worker.core.env.slot = self.members[worker.slot].slot(worker.slot)

    def slot_of(self, worker: VirtualWorker) -> int:
        """See World.slot_of."""
        return self.members[worker.slot].slot(worker.slot)

    def alive_for(self, worker: VirtualWorker) -> Callable[[int, int], bool]:
        """See World.alive_for."""
        return lambda slot, generation: self.members[worker.slot].alive(slot, generation, self.is_alive)

    def hint(self, slot: int, key: bytes) -> None:
        """Only a worker of this node can be told."""
        if slot // SLOTS == self.members[0].number:
            super().hint(slot % SLOTS, key)

    def remind(self, link: FarLink, slot: int, key: bytes) -> None:
        """See Far.remind."""
        if slot // SLOTS == self.members[0].number:
            super().hint(slot % SLOTS, key)
        else:
            link.remind(slot // SLOTS, slot % SLOTS, key)

    @property
    def answers(self) -> bool:
        """Whether the front finds it alive."""
        return not self.down and any(worker.alive and not worker.paused for worker in self.workers)

    @property
    def serves(self) -> bool:
        """Whether it can look after transactions."""
        return self.answers and not self.cut

    def arms(self, key: bytes, secs: float) -> bool:
        """Whether a living process will look at a record in `secs` (or has it at work)."""
        latest = max(self.clock(), self.clock() + secs) + ARMED_SECS
        return any(
            worker.alive
            and (
                worker.store.is_asked(key)  # type: ignore[attr-defined]
                or key in worker.core.order.lines
                or any(
                    armed == key and when <= latest and worker.would_fire(key, version)
                    for when, armed, version in worker.timers
                )
            )
            for worker in self.workers
        )

    def asked(self, worker: VirtualWorker, own: OwnRequest, sending: Sending) -> None:
        """See SimulatedWorld.asked; by the world's clock."""
        self.asks.append(Asked(worker, own, self.cluster.clock(), sending, self.cluster.clock))

    # -- membership ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Twice a second: every process renews the lease, workers take over what the dead have left."""
        if self.down:
            return
        for worker in self.workers:
            if worker.alive and not worker.paused:
                worker.turn(self.members[worker.slot].tick, self.clock())
            if worker.alive and not worker.paused and not worker.is_helper:
                worker.turn(self.takers[worker.slot].tick, self.clock())

    # -- datagrams ----------------------------------------------------------------------------------------------------

    def arrive(self, data: bytes, source: tuple[str, int]) -> None:
        """See SimulatedWorld.arrive; to a dead node nothing comes."""
        if not self.down:
            super().arrive(data, source)

    def send(self, worker: VirtualWorker, commit: Commit) -> None:
        """The datagrams of a commit that stands."""
        self.pass_gate(worker, "switched")
        self.cluster.fence.sends(self, self.links[worker.slot].written[commit.key], commit)
        for send in commit.sends:
            self.transmit(worker.slot, send)
            self.pass_gate(worker, "sent")
        self.pass_gate(worker, "committed")

    def transmit(self, slot: int, send: Send, stateful: bool = True) -> None:
        """See SimulatedWorld.transmit."""
        if send.to[0] == STRANGER[0]:
            self.wire.peers[STRANGER].receive(send.data)
            return
        self.checks.node = self.number
        self.checks.proxy_sent(send, stateful)
        self.wire.send(PROXY, send.to, send.data, f"{self.name}w{slot}")
        if not stateful:
            self.cluster.fence.answered(send)

    def has_changed(self, key: bytes, version: int) -> bool:
        """See SimulatedWorld.has_changed; here it could only change later, and others would be at it as well."""
        return False

    def has_store(self, worker: VirtualWorker) -> bool:
        """See SimulatedWorld.has_store: each process has a link and a lease of its own."""
        return isinstance(worker.store, FarStore) and worker.store.ready

    def survived(self, worker: VirtualWorker, read: SipMessage | None, since: float) -> None:
        """See SimulatedWorld.survived; without the far store a response is lost, as on the way."""
        if self.troubled_at < since:
            super().survived(worker, read, since)

    # -- life and death -----------------------------------------------------------------------------------------------

    def trouble(self) -> None:
        """A request to the far store has failed."""
        self.troubled_at = self.clock()
        self.cluster.troubled_at = self.cluster.clock()

    def stops(self, worker: VirtualWorker, point: str) -> bool:
        """A point at which the node may stand still before it goes on."""
        secs = self.cluster.plan.pauses_at_points.get(self.cluster.points + 1, 0.0)
        if secs and not worker.is_helper:
            self.cluster.points += 1
            self.cluster.pause(self, secs)
        return worker.paused

    def pass_gate(self, worker: VirtualWorker, point: str) -> None:
        """A point at which the worker, or its node, may die."""
        cluster = self.cluster
        cluster.points += 1
        if worker.is_helper:
            return
        if cluster.points in cluster.faults.deaths_at_points:
            self.ladder.note(f"{self.name}w{worker.slot} dies at point {cluster.points} ({point})")
            cluster.worker_deaths.append(cluster.clock())
            self.kill(worker.slot)
            raise WorkerDied
        if cluster.points in cluster.plan.deaths_at_points:
            self.ladder.note(f"point {cluster.points} ({point})")
            cluster.kill(self)
            raise WorkerDied

    def halt(self) -> None:
        """Dead whole: what it had in memory is gone."""
        self.down = True
        for worker in self.workers:
            if worker.alive:
                self.bury(worker.slot)
                self.checks.deaths += 1
                worker.paused = False
        for socket in self.sockets:
            socket.clear()

    def start_anew(self) -> None:
        """The machine is back, with nothing in its memory."""
        self.down = False
        self.lives += 1
        for name in ("dialogs", "hints", "nonces", "bans"):
            setattr(self, name, type(self.dialogs)(clock=self.clock.wall))
        for name in ("transactions", "limits", "timers", "gateways"):
            setattr(self, name, type(self.dialogs)(clock=self.clock))
        for slot, worker in enumerate(self.workers):
            self.workers[slot] = self.new_worker(slot, worker.generation + 1)

    def replace(self, slot: int) -> None:
        """See SimulatedWorld.replace; not while the node is down."""
        if not self.down and not self.workers[slot].alive:
            super().replace(slot)

    def halt_all(self, secs: float) -> None:
        """All its processes stand still."""
        self.checks.deaths += 1  # others take its claims for those of the dead
        for worker in self.workers:
            self.pause(worker.slot, secs)

    def wake(self, slot: int, generation: int) -> None:
        """See SimulatedWorld.wake."""
        self.trouble()
        super().wake(slot, generation)

    def mend(self) -> None:
        """It reaches the far store again; what was still on its way arrives."""
        self.cut = False
        late, self.when_mended = self.when_mended, []
        for call in late:
            call()
