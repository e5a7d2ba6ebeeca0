"""Fixed scenarios for the simulator, and helpers to kill a worker at a named point."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from siphon.testing.callee import AnswerPlan
from siphon.testing.caller import CallPlan
from siphon.testing.faults import Faults
from siphon.testing.routing import script
from siphon.testing.run import Run, run
from siphon.testing.scenario import Phone, Scenario, settings
from siphon.testing.wire import CALM
from siphon.testing.worker import VirtualWorker
from siphon.testing.world import World


def scenario(change: Callable[[Scenario], None], plan: str, phones: list[Phone], faults: Faults) -> Run:
    """One call on a calm network with two workers, one phone a target."""

    def fix(s: Scenario) -> None:
        s.workers, s.spread, s.weather, s.faults = 2, True, CALM, faults
        s.script = script(True, True, True, True)
        s.settings = settings(s.script, 40.0)
        s.questions, s.names, s.phones = [], {}, phones
        targets = ",".join(f"sip:bob@{phone.ip}:5060" for phone in phones)
        s.calls = [CallPlan("call", 1000.0, f"targets={targets} {plan}")]
        change(s)

    return run(1, fix)


def phone(number: int, *answers: tuple[float, int], cancelled: int = 487) -> Phone:
    """A callee with these answers to an INVITE."""
    return Phone(f"198.51.100.{number}", AnswerPlan(list(answers), cancelled), AnswerPlan([(0.0, 200)]))


def unchanged(_: Scenario) -> None:
    """The scenario as it is."""


def die_at(world: World, point: str, slot: int, number: int = 1) -> None:
    """Kill the worker of `slot` when it reaches `point` (see MemoryStore) for the `number`-th time from now."""
    world.gate = partial(_gate, world, [number], point, slot)


def _gate(world: World, left: list[int], point: str, slot: int, worker: VirtualWorker, reached: str) -> None:
    if reached != point or worker.slot != slot:
        return
    left[0] -= 1
    if left[0] == 0:
        world.gate = None
        world.die(worker)
