"""The helper that runs `on_change`, as a simulated process: slow handlers, deaths, lost hints, the 30 s sweep."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from siphon.engine.changes import LOOK_SECS
from siphon.engine.deliveries import Deliveries
from siphon.engine.keys import Keys
from siphon.services.location import Change, Location, RegisterFacts
from siphon.services.location.changes import MOST_RUNS
from siphon.testing.peer import PROXY
from siphon.testing.sweep import sweep
from siphon.testing.worker import SECRET

if TYPE_CHECKING:
    from siphon.testing.simulated import SimulatedWorld

SLOWNESS = (0.0, 0.0, 0.05, 0.7)
DEATHS = 0.1
"""Of handlers: the helper dies in it."""
SWEEP_SECS = 66.0
"""After a change: when its contact may have run out (Expires 60), and the sweep has come."""
DOWN_SECS = 0.2
GHOST = "ghost"
MOST_GHOSTS = 5


class ChangeHelper:
    """One process after another."""

    def __init__(self, world: SimulatedWorld, random: Random) -> None:
        self.world = world
        self.random = random
        self.generation = 0
        self.ghosts = 0
        self.alive = False
        self._begin()

    def _begin(self) -> None:
        world = self.world
        self.generation += 1
        self.alive = True
        self.location = Location(world.location_table, world.identity, world.settings, Keys(SECRET, []).table)
        self.location.tell = self.tell
        self.deliveries = Deliveries(self.location, self._run, world.clock.wall)

    def tell(self, key: bytes) -> None:
        """A worker says that a record has got events; one in ten such hints is lost."""
        now, at = self.world.clock(), self.world.schedule.at
        if self.random.random() > 0.1:
            at(now + 0.01 * self.random.random(), self._work, [key])
        at(now + LOOK_SECS, self._work, None)
        at(now + SWEEP_SECS, self._sweep)

    def interfere(self, key: bytes) -> None:
        """Another phone of this address of record registers, a moment before a worker commits its change of it."""
        record = self.world.checks.registrations.records.get(key)
        if record is None or self.ghosts >= MOST_GHOSTS:
            return
        self.ghosts += 1
        self.world.ladder.note(f"a ghost registers for {record.aor}")
        self.world.checks.registrations.read.setdefault(GHOST, {})[self.ghosts] = 60
        facts = RegisterFacts(
            aor=record.aor,
            aor_user="",
            aor_host="",
            aor_is_ours=True,
            call_id=GHOST,
            cseq=self.ghosts,
            transaction=b"ghost %10d" % self.ghosts,
            source=("203.0.113.9", 5060),
            local=PROXY,
            contacts=(b"<sip:ghost@203.0.113.9>",),
            expires=b"60",
        )
        self.location.save(facts, self.world.clock.wall())

    def _work(self, keys: list[bytes] | None) -> None:
        if not self.alive:
            return
        if keys is None:
            self.deliveries.look()
        else:
            self.deliveries.hint(keys)
        self._steps()

    def _steps(self) -> None:
        while self.alive and self.deliveries.busy:
            self.deliveries.step()

    def _run(self, change: Change, done: Callable[[], None]) -> None:
        self.world.checks.registrations.delivered(self.world.location_key(change.aor), change)
        self.world.ladder.note(f"on_change {change.aor} {change.event.value} {len(change.bindings)}")
        slow = self.random.choice(SLOWNESS)
        if change.runs > MOST_RUNS:
            done()
        elif self.random.random() < DEATHS:
            self._die()
        elif slow:
            self.world.schedule.at(self.world.clock() + slow, self._finish, done, self.generation)
        else:
            done()

    def _finish(self, done: Callable[[], None], generation: int) -> None:
        if self.alive and generation == self.generation:
            done()
            self._steps()

    def _die(self) -> None:
        self.world.ladder.note("the helper of on_change dies")
        self.alive = False
        self.world.checks.registrations.helper_deaths += 1
        self.world.schedule.at(self.world.clock() + DOWN_SECS, self._replace)

    def _replace(self) -> None:
        self._begin()
        self._work(None)

    def _sweep(self) -> None:
        sweep(self.location, self.world.location_table, self.world.clock.wall())
