"""Several nodes that share the transactions: what seeds have found, and that each kind of trouble is really tried.

Random runs of one node and of several are in test_random_runs.py; ./dev sim runs more.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from siphon.engine import elsewhere
from siphon.engine.core import Core
from siphon.state.redis import store
from siphon.state.redis.remote import Write
from siphon.testing.nodes.far_model import FarModel
from siphon.testing.nodes.far_side import FarFaults
from siphon.testing.nodes.plan import NodePlan, draw_nodes
from siphon.testing.run import Run, has_nodes, run_nodes
from siphon.testing.scenario import Scenario
from siphon.testing.worker import VirtualWorker

FOUND = {
    16: "a helper became the owner of a record, and renewed for ever the claim that it left for a worker",
    184: "handlers whose claim was stored by a commit whose answer was lost never ran",
    190: "a claim that a failover of the store had brought back was renewed for ever",
    314: "a record whose first worker had died was armed by one process and owned by another",
    589: "an INVITE that had waited in a stopped process began anew when its call was over",
    769: "new work whose first commit got no answer was met with silence",
    1020: "a worker died with what it had just taken over; nobody else knew that the node had it",
    1243: "new work that had been refused stood all the same, with a claim that nobody ran",
    1297: "a worker died in a commit of a record whose deadline another owned, who was not told",
    2139: "a BYE stood behind ACKs of its call that asked a store that was away one after the other, and heard nothing",
    2205: "a store that came back empty gave a node the number of another, which had just written by it",
    4787: "a repeat of an INVITE that another node serves got 503 while the store hung, and the call went on",
    4917: "new work that had been refused was not deleted, since the store had gone again, and nobody ran its claim",
    6783: "a 100 whose commit was before that of another node's 200 left after it, within the round trip",
    7675: "a waiter's None came 1e-11 s before its time, by the clock of a machine that had been up for 36 hours",
    10003581: "of eleven 2xx four went up, in whose way, or in that of their ACKs, was a network that loses",
    10004213: "a node that had stood still for 20 s inserted its refused INVITE anew, whose call another had ended",
    30001589: "a process without a lease counted as one that had taken the provisional that it read",
    30002917: "what on_failure had left of one attempt was taken for that of the next: its node had been cut off",
    9001125: "a deadline stood in line for six seconds: each datagram came four times, each a step of a slow store",
    72124: "a node's only worker died in the commit of a take-over, and once more: the bound did not count that",
}


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_seed_has_found(seed: int) -> None:
    found = run_nodes(seed)
    assert not found.problems, str(found)


def forced(
    seed: int, further: Callable[[Scenario, NodePlan], None] = lambda scenario, plan: None, **facts: object
) -> Run:
    """A seed with faults of one kind only; `facts` are fields of its NodePlan, `further` changes what else is to be."""

    def change(scenario: Scenario, plan: NodePlan) -> None:
        plan.deaths, plan.pauses, plan.cuts, plan.far = [], [], [], FarFaults()
        plan.deaths_at_points, plan.pauses_at_points = (), {}
        for name, value in facts.items():
            setattr(plan, name, value)
        scenario.faults.doubt = 0.0 if plan.calm else 40.0
        scenario.faults.slow = 2 * plan.far.slowest
        further(scenario, plan)

    return run_nodes(seed, change)


def test_shared_31_any_node_serves_any_message() -> None:
    for seed in range(12):
        found = forced(seed, front="spread")
        assert not found.problems, str(found)


def test_shared_32_another_node_ends_what_a_dead_one_has_begun() -> None:
    for seed in range(12):
        found = forced(seed, deaths=[(0.3 + 0.2 * seed, 60.0, seed % 2)])
        assert not found.problems, str(found)


def test_shared_32_a_node_that_stood_still_sends_nothing_for_what_was_taken() -> None:
    for seed in range(12):
        found = forced(seed, front="flow", pauses=[(0.2 + 0.2 * seed, 6.0, seed % 2)])
        assert not found.problems, str(found)


def test_shared_33_a_node_that_is_cut_off_from_the_store_refuses_new_work() -> None:
    for seed in range(12):
        found = forced(seed, front="spread", cuts=[(0.1 * seed, 5.0, seed % 2)])
        assert not found.problems, str(found)


def test_shared_34_wall_clocks_apart_and_set_change_no_transaction() -> None:
    for seed in range(8):
        found = forced(seed, skews=[30.0, -30.0, 0.0], steps=[(1.0, 3600.0, 0), (2.0, -3600.0, 1)])
        assert not found.problems, str(found)


def test_every_kind_of_trouble_is_drawn_in_the_seeds_of_the_tests() -> None:
    plans = [draw_nodes(seed)[1] for seed in range(2500) if has_nodes(seed)]
    for name in ("deaths", "deaths_at_points", "pauses", "pauses_at_points", "cuts", "moves", "steps"):
        assert any(getattr(plan, name) for plan in plans), name
    for name in ("hangs", "refuses", "lost", "empties", "fails_over"):
        assert any(getattr(plan.far, name) for plan in plans), name


def test_the_fence_sees_a_node_that_sends_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The invariant itself can fail: a store that sends whenever its answer comes."""
    monkeypatch.setattr(store, "SEND_MARGIN_SECS", 100.0)
    assert any(found.problems for found in map(late, range(40)))


def test_the_fence_sees_what_is_committed_twice_on_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes every write: timers that two processes fire, and conflicts, are not sorted out."""
    write = FarModel.write

    def careless(model: FarModel, wanted: Write, now: float) -> bool:
        found = model.load(wanted.key, now)
        if found is None:
            return write(model, wanted, now)
        return write(model, wanted._replace(expected=found.version), now)

    monkeypatch.setattr(FarModel, "write", careless)
    problems = [problem for seed in range(12) for problem in forced(seed, front="spread").problems]
    assert any("on the same version" in problem for problem in problems), problems


def test_the_fence_sees_a_record_that_nobody_looks_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers die and nobody arms what they have left."""
    monkeypatch.setattr(VirtualWorker, "arm_owned", lambda worker, slot: None)
    problems = [problem for seed in range(24) for problem in forced(seed).problems]
    assert any("has armed" in problem for problem in problems), problems


def nobody_dies(scenario: Scenario, plan: NodePlan) -> None:
    scenario.faults.deaths_at_points = ()


def failed_over(seed: int) -> Run:
    """The store loses the last writes while calls begin."""
    r = Random(f"fo {seed}")
    far = FarFaults(0.02, fails_over=((0.3 + 2 * r.random(), r.choice((0.1, 0.3, 0.6))),))
    return forced(seed, nobody_dies, front="spread", far=far)


def test_shared_30_a_claim_that_a_failover_gave_back_ends_though_only_others_touch_its_record() -> None:
    found = failed_over(341)
    assert not found.problems, str(found)


def test_without_reminders_such_a_claim_is_renewed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "look", lambda core, key: None)
    assert failed_over(341).problems == ["it does not come to rest"]


def hung(seed: int) -> Run:
    """Each datagram goes to another node, and the store hangs while calls begin."""
    far = FarFaults(0.08, hangs=((0.1 + 0.1 * (seed % 20), 1.0 + seed % 3),))
    return forced(seed, nobody_dies, front="spread", far=far)


def test_shared_29_a_call_that_another_node_has_refused_ends() -> None:
    found = hung(21)
    assert not found.problems, str(found)


def test_the_judge_hears_a_phone_that_rings_on_after_the_callers_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "says_final", lambda *_: False)
    assert any("rings on" in problem for problem in hung(21).problems)


def test_a_late_copy_of_a_write_does_not_bring_back_what_was_deleted() -> None:
    found = hung(80)
    assert not found.problems, str(found)


@pytest.mark.parametrize("seed", [187, 197, 384])
def test_the_schedule_of_repeats_begins_with_the_commit_whoever_died_before_the_first_was_sent(seed: int) -> None:
    """Ten workers die; each datagram goes to another node, and each datagram of a node to another worker."""

    def change(scenario: Scenario, plan: NodePlan) -> None:
        scenario.spread, scenario.workers = True, max(2, scenario.workers)
        points = Random(f"ten {seed}").sample(range(1, 200), 10)
        scenario.faults.deaths_at_points = tuple(sorted(points))

    found = forced(seed, change, front="spread")
    assert not found.problems, str(found)


def late(seed: int) -> Run:
    """A node stands still with an answer in its socket."""
    return forced(seed, front="flow", pauses_at_points=dict.fromkeys((12 + seed, 30 + seed), 8.0))
