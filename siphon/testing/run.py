"""One run of the simulator: from a seed to what was wrong, with the ladder of its messages."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import cast

from siphon.testing.asker import Asker
from siphon.testing.callee import Callee
from siphon.testing.caller import Caller
from siphon.testing.invariants import Violation
from siphon.testing.ladder import Ladder
from siphon.testing.nodes.cluster import Cluster
from siphon.testing.nodes.plan import NodePlan, draw_nodes
from siphon.testing.registrant import Registrant
from siphon.testing.routing import begin
from siphon.testing.scenario import ROUTER, Question, Scenario, draw
from siphon.testing.simulated import SimulatedWorld
from siphon.testing.stranger import Stranger
from siphon.testing.strict import StrictRouter
from siphon.testing.verdict import verdict

LONGEST_SECS = 900.0
MOST_MOMENTS = 40_000

AnyWorld = SimulatedWorld | Cluster


@dataclass(slots=True)
class Run:
    """What became of a seed."""

    seed: int
    problems: list[str]
    ladder: Ladder
    scenario: Scenario
    plan: NodePlan | None = None

    def __str__(self) -> str:
        """What was wrong, how it came about, and how to see it again."""
        s = self.scenario
        links = "".join(f"\n  {ip}: {weather}" for ip, weather in s.links.items())
        calls = "\n".join(f"  {plan}" for plan in [*s.calls, *s.questions, *s.phones, *s.registrations])
        nodes = f"  {self.plan}\n" if self.plan is not None else ""
        return (
            f"seed {self.seed}: {'; '.join(self.problems) or 'nothing wrong'}\n"
            f"  {s.workers} workers, spread={s.spread}, {s.script.name}, {s.weather}{links}\n"
            f"  {s.faults}\n{nodes}{calls}\n"
            f"{self.ladder}\nreplay: ./dev sim --from {self.seed} --seeds 1 --show{' --nodes' if nodes else ''}\n"
        )


def has_nodes(seed: int) -> bool:
    """Whether a seed runs on several nodes: one in eight does."""
    return seed % 8 == 5


def run(seed: int, change: Callable[[Scenario], None] = lambda scenario: None) -> Run:
    """Run a seed to its end, or to the first violation. `change` may edit the scenario first."""
    if has_nodes(seed):
        return run_nodes(seed)
    scenario = draw(seed)
    change(scenario)
    begin()
    return _run(_world(scenario), scenario)


def run_nodes(seed: int, change: Callable[[Scenario, NodePlan], None] = lambda scenario, plan: None) -> Run:
    """The same on several nodes that share the transactions."""
    scenario, plan = draw_nodes(seed)
    change(scenario, plan)
    begin()
    cluster = Cluster(scenario, plan, Random(seed))
    _people(cluster, scenario)
    return _run(cluster, scenario, plan)


def _run(world: AnyWorld, scenario: Scenario, plan: NodePlan | None = None) -> Run:
    problems: list[str] = []
    try:
        _rest(world)
        problems = verdict(cast(SimulatedWorld, world))  # a cluster has what it asks for
    except Violation as violation:
        problems = [str(violation)]
    except Exception:
        problems = [traceback.format_exc()]
    finally:
        world.close()
    return Run(scenario.seed, problems, world.ladder, scenario, plan)


def _world(s: Scenario) -> SimulatedWorld:
    world = SimulatedWorld(s.script, s.workers, Random(s.seed), s.weather, s.faults, s.spread, s.settings, s.names)
    _people(world, s)
    if s.registrations:
        world.begin_registering(Random(f"changes {s.seed}"))
    for number, registration in enumerate(s.registrations):
        Registrant(world.wire, "203.0.113.1", 8000 + number, registration)
    return world


def _people(world: AnyWorld, s: Scenario) -> None:
    """Everybody outside."""
    world.wire.links.update(s.links)
    StrictRouter(world.wire, ROUTER)
    if s.shots:
        Stranger(world.wire, s.shots, Random(s.seed + 1))
    for phone in s.phones:
        Callee(world.wire, phone.ip, 5060, phone.invite, phone.other)
        if phone.dead:
            world.wire.dead.append((phone.ip, 5060))
    for number, call in enumerate(s.calls):
        Caller(world.wire, "192.0.2.1", 6000 + number, call)
    for number, q in enumerate(s.questions):
        _ask(world, 7000 + number, q)
        if q.merged >= 0:
            _ask(world, 7100 + number, replace(q, start=q.start + q.merged), path="-other")


def _ask(world: AnyWorld, port: int, q: Question, path: str = "") -> None:
    Asker(
        world.wire,
        "192.0.2.2",
        port,
        name=q.name,
        start=q.start,
        directions=q.directions,
        method=q.method,
        again=q.again,
        path=path,
    )


def _rest(world: AnyWorld) -> None:
    """Let time pass until nothing happens any more and every record has expired."""
    start = world.clock()
    for _ in range(MOST_MOMENTS):
        when = world.next_when()
        if when is None:
            break
        if when > start + LONGEST_SECS:
            raise Violation("it does not come to rest")
        world.clock.now = max(world.clock.now, when)
        world.run_due()
    else:
        raise Violation(f"too much happens: {MOST_MOMENTS} moments until {world.clock() - start:.1f} s")
    world.advance(2 * 64 + world.settings.transaction.linger + 33)
