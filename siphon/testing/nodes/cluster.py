"""Several nodes that share the transactions: the world of the simulator, once more from outside.

One address is shared by all nodes, so user agents see one proxy. A front decides which node a datagram reaches and
learns with some delay which of them are dead. Between the nodes there is nothing but the far store.
"""

from __future__ import annotations

from random import Random
from zlib import crc32

from siphon.state.codec import decode
from siphon.state.redis.remote import Write
from siphon.state.store import Commit
from siphon.testing.asks import Asked
from siphon.testing.clock import VirtualClock
from siphon.testing.invariants import Checks
from siphon.testing.ladder import Ladder
from siphon.testing.nodes.far_side import FarSide
from siphon.testing.nodes.fence import Fence
from siphon.testing.nodes.node import NodeWorld
from siphon.testing.nodes.plan import NodePlan
from siphon.testing.scenario import Scenario
from siphon.testing.schedule import Schedule
from siphon.testing.wire import Place, Wire
from siphon.testing.worker import VirtualWorker

TICK_SECS = 0.5
JOIN_SECS = 1.0
BOOTED = (4096.0, 0.0, 131072.0)
"""How much longer each machine has been up than the world."""


class FarTable:
    """The records of the far store as the invariants read those of a table."""

    def __init__(self, far: FarSide) -> None:
        self._far = far

    def get(self, key: bytes) -> tuple[int, bytes] | None:
        """See MemoryTable.get."""
        found = self._far.model.load(key, self._far.now())
        return None if found is None else (found.version, found.value)

    def keys(self, limit: int) -> tuple[list[bytes], int]:
        """See MemoryTable.keys."""
        return self._far.model.live(self._far.now())[:limit], 0


class Cluster:
    """The nodes of a run; it has what the invariants and the verdict ask a SimulatedWorld for."""

    def __init__(self, scenario: Scenario, plan: NodePlan, random: Random) -> None:
        self.scenario, self.plan, self.random = scenario, plan, random
        self.settings, self.faults = scenario.settings, scenario.faults
        self.edits = scenario.script.name.startswith("routing1")
        self.clock = VirtualClock(1000.0 - JOIN_SECS)
        self.schedule = Schedule()
        self.ladder = Ladder(self.clock)
        self.checks = Checks(self)  # type: ignore[arg-type]
        self.checks.round_trip = plan.timeout
        self.asks: list[Asked] = []
        self.changes = None
        self.points = 0
        self.deaths = 0
        """Of nodes."""
        self.worker_deaths: list[float] = []
        """When workers died that did not die with their node."""
        self.troubled_at = self.clock()
        self.far = FarSide(self.clock, Random(random.random()), plan.far)
        self.transactions = FarTable(self.far)
        self.fence = Fence(self)
        self.wire = Wire(self.schedule, self.clock, random, self.ladder, scenario.weather, self.arrive, self.refused)
        self.address = 0
        """Which node has it, if one has."""
        self.known_down: set[int] = set()
        """What the front has noticed."""
        self.nodes = [
            NodeWorld(self, number, BOOTED[number], plan.skews[number], Random(random.random()))
            for number in range(plan.nodes)
        ]
        self.next_tick = self.clock()
        self._join()
        self._plan_faults()

    @property
    def workers(self) -> list[VirtualWorker]:
        """Of all nodes."""
        return [worker for node in self.nodes for worker in node.workers]

    def _join(self) -> None:
        """All nodes have their numbers before anybody calls."""
        end = self.clock.now + JOIN_SECS
        while (when := self.next_when(waiting=True)) is not None and when < end:
            self.clock.now = max(self.clock.now, when)
            self.run_due()
        self.clock.now = end

    def _plan_faults(self) -> None:
        p, at, start = self.plan, self.schedule.at, self.clock()
        for when, secs, number in p.deaths:
            at(start + when, self._die, number, secs)
        for when, secs, number in p.pauses:
            at(start + when, self._pause, number, secs)
        for when, secs, number in p.cuts:
            at(start + when, self._cut, number, secs)
        for when, number in p.moves:
            at(start + when, self._move, number)
        for when, secs, number in p.steps:
            at(start + when, self._step_clock, number, secs)
        p.far.hangs = tuple((start + when, secs) for when, secs in p.far.hangs)
        p.far.refuses = tuple((start + when, secs) for when, secs in p.far.refuses)
        for when in p.far.empties:
            at(start + when, self._forget, self.far.empty)
        for when, lag in p.far.fails_over:
            at(start + when - min(lag, when), self.far.model.mark)
            at(start + when, self._forget, self.far.fail_over)

    # -- datagrams ----------------------------------------------------------------------------------------------------

    def arrive(self, data: bytes, source: Place) -> None:
        """A datagram has reached the shared address."""
        node = self._front(source)
        if not node.down:
            self.fence.arrived(node, data, source)
            node.arrive(data, source)

    def _front(self, source: Place) -> NodeWorld:
        up = [node for node in self.nodes if node.number not in self.known_down] or self.nodes
        if self.plan.front == "vip":
            return self.nodes[self.address]
        if self.plan.front == "flow":
            return up[crc32(repr(source).encode()) % len(up)]
        return self.random.choice(up)

    def refused(self, data: bytes) -> None:
        """An ICMP error reaches whoever has the address."""
        node = self._front(("", 0))
        if not node.down:
            node.refused(data)

    def write(self, node: NodeWorld, write: Write, now: float) -> bool:
        """The far store is asked to write."""
        stands = self.far.model.write(write, now)
        if stands:
            self.fence.wrote(node, write.key, write.expected, write.version)
            expiry = self.clock() + write.lives_secs
            self.checks.committed(Commit(write.key, write.expected, write.value, expiry=expiry))
        return stands

    # -- faults -------------------------------------------------------------------------------------------------------

    def kill(self, node: NodeWorld) -> None:
        """A node dies at a point; it comes back later."""
        self._die(node.number, self.plan.down_for)

    def _die(self, number: int, secs: float) -> None:
        node = self.nodes[number]
        if node.down:
            return
        self.ladder.note(f"{node.name} is dead")
        self.deaths += 1
        node.halt()
        node.trouble()
        self.schedule.at(self.clock() + self.plan.notices, self._notice)
        self.schedule.at(self.clock() + secs, self._restart, node)

    def _restart(self, node: NodeWorld) -> None:
        self.ladder.note(f"{node.name} starts anew")
        node.start_anew()
        self.schedule.at(self.clock() + self.plan.notices, self._notice)

    def pause(self, node: NodeWorld, secs: float) -> None:
        """A node stands still at a point."""
        self._pause(node.number, secs)

    def _pause(self, number: int, secs: float) -> None:
        node = self.nodes[number]
        if not node.down:
            self.ladder.note(f"{node.name} stands still for {secs} s")
            self.deaths += 1
            node.trouble()
            node.halt_all(secs)
            self.schedule.at(self.clock() + self.plan.notices, self._notice)
            self.schedule.at(self.clock() + secs + self.plan.notices, self._notice)

    def _notice(self) -> None:
        """The front looks who answers; the address moves to one who does."""
        self.known_down = {node.number for node in self.nodes if not node.answers}
        if self.address in self.known_down and len(self.known_down) < len(self.nodes):
            up = [node.number for node in self.nodes if node.number not in self.known_down]
            self._move(self.random.choice(up))

    def _move(self, number: int) -> None:
        if not self.nodes[number].answers:
            return  # nobody gives the address to a node that is dead
        self.ladder.note(f"n{number} gets the address")
        self.address = number

    def _cut(self, number: int, secs: float) -> None:
        node = self.nodes[number]
        self.ladder.note(f"{node.name} is cut off from the store")
        node.cut = True
        node.trouble()
        self.checks.deaths += 1
        self.schedule.at(self.clock() + secs, self._mend, node)

    def _mend(self, node: NodeWorld) -> None:
        self.ladder.note(f"{node.name} reaches the store again")
        node.trouble()
        node.mend()

    def _step_clock(self, number: int, secs: float) -> None:
        clock = self.nodes[number].clock
        clock.skew += secs  # type: ignore[attr-defined]

    def _forget(self, fail_over: object) -> None:
        """Acknowledged writes are lost: of these calls nothing can be demanded any more."""
        before = {key: self.transactions.get(key) for key in self.far.model.live(self.far.now())}
        fail_over()  # type: ignore[operator]
        self.ladder.note("the store has lost its last writes")
        self.troubled_at = self.clock()
        for key in self.far.forgotten:
            for found in (before.get(key), self.transactions.get(key)):
                if found is not None:
                    self.checks.excused.add(decode(key, found[1]).call_id)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_when(self, waiting: bool = False) -> float | None:
        """When something happens by itself; None at rest."""
        times = [when - node.ahead for node in self.nodes for w in node.workers if (when := w.next_when()) is not None]
        if not waiting and not times and not self.schedule.loud and not self.far.model.live(self.far.now()):
            return None
        if (when := self.schedule.next()) is not None:
            times.append(when)
        return min([*times, self.next_tick])

    def run_due(self) -> None:
        """All that happens at this moment."""
        while self.schedule.run_due(self.clock.now):
            pass
        if self.clock.now >= self.next_tick:
            self.next_tick = self.clock.now + TICK_SECS
            for node in self.nodes:
                node.tick()
            self.fence.look()
        for node in self.nodes:
            for worker in list(node.workers):
                if worker.alive and not worker.paused:
                    worker.run_due(node.clock())
            node.settle()

    def advance(self, seconds: float) -> None:
        """Nothing is to happen any more: move time on."""
        self.clock.now += seconds

    def close(self) -> None:
        """See World.close."""
        for node in self.nodes:
            node.close()
