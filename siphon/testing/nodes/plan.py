"""What a seed draws beside its calls when several nodes share the transactions: front, clocks, and their faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from siphon.testing.faults import Faults
from siphon.testing.nodes.far_side import FarFaults
from siphon.testing.scenario import Scenario, draw

Span = tuple[float, float, int]
"""(seconds after the start, how long, node)."""
LEASE_SECS = 3.0
SOON = 6.0
"""Most of what goes wrong does so while calls are being set up."""


@dataclass(slots=True)
class NodePlan:
    """The nodes of one run."""

    nodes: int
    front: str = "vip"
    """vip: one node has the address; flow: the caller's address decides; spread: each datagram another."""
    timeout: float = 0.25
    """Of one request to the far store (shared.timeout_ms)."""
    notices: float = 0.5
    """How long the front sends to a node that is dead, or does not answer."""
    skews: list[float] = field(default_factory=list)
    """Of the wall clocks."""
    steps: list[tuple[float, float, int]] = field(default_factory=list)
    """(when, seconds, node): its wall clock is set."""
    deaths: list[Span] = field(default_factory=list)
    deaths_at_points: tuple[int, ...] = ()
    down_for: float = 8.0
    """After a death at a point."""
    pauses: list[Span] = field(default_factory=list)
    pauses_at_points: dict[int, float] = field(default_factory=dict)
    """How long, by point."""
    cuts: list[Span] = field(default_factory=list)
    moves: list[tuple[float, int]] = field(default_factory=list)
    """(when, to which node) the address moves."""
    far: FarFaults = field(default_factory=FarFaults)

    @property
    def calm(self) -> bool:
        """Whether every node always gets its answers from the far store."""
        f = self.far
        lossy = f.hangs or f.refuses or f.lost or f.forgets
        return not (self.deaths or self.deaths_at_points or self.pauses or self.pauses_at_points or self.cuts or lossy)


def draw_nodes(seed: int) -> tuple[Scenario, NodePlan]:
    """The scenario of a seed, on several nodes."""
    s = draw(seed)
    r = Random(f"nodes of {seed}")
    s.registrations = []
    for question in s.questions:
        question.merged = -1.0  # what has been merged is known to one node only
    for call in s.calls:
        call.directions = call.directions.replace("tagged=1 ", "")  # a To tag of the script's leads to one node only
    deaths = tuple(r.randrange(1, 200) for _ in range(r.choice((0, 0, 1, 2))))
    s.workers = r.choice((1, 2, 3))
    s.faults = Faults(deaths_at_points=deaths, down_for=r.choice((0.05, 0.3, 1.0)), random=Random(r.random()))
    p = NodePlan(r.choice((2, 2, 3)), r.choice(("vip", "flow", "spread")))
    p.skews = [r.choice((0.0, 30.0, -30.0)) for _ in range(p.nodes)]
    p.notices = r.choice((0.1, 0.5, 2.0))
    p.far = FarFaults(r.choice((0.0005, 0.002, 0.02, 0.08)))
    _faults(r, p)
    s.faults.slow = 2 * p.far.slowest
    if not p.calm:
        s.faults.doubt = 40.0
    return s, p


def _faults(r: Random, p: NodePlan) -> None:
    kind = r.randrange(10)
    if kind == 1:
        p.deaths_at_points = (r.randrange(1, 200),)
    elif kind == 2:
        p.deaths = [_span(r, p, (0.5, 2.0, 8.0, 60.0))]
    elif kind == 9:
        p.pauses_at_points = {r.randrange(1, 200): r.choice((0.5, 3.5, 6.0, 12.0)) for _ in range(2)}
    elif kind == 3:
        p.pauses = [_span(r, p, (0.5, 2.5, 3.5, 6.0, 20.0)) for _ in range(r.choice((1, 2)))]
    elif kind == 4:
        p.cuts = [_span(r, p, (0.3, 2.0, 5.0, 20.0)) for _ in range(r.choice((1, 2)))]
    elif kind == 5:
        p.far.hangs = ((_when(r), r.choice((0.2, 1.0, 5.0))),)
    elif kind == 6:
        p.far.refuses = ((_when(r), r.choice((0.2, 1.0, 5.0))),)
    elif kind == 7:
        p.far.lost = r.choice((0.02, 0.15))
    elif kind == 8:
        _forget(r, p)
    p.down_for = r.choice((0.5, 8.0, 60.0))
    if r.random() < 0.3:
        p.moves = [(_when(r), r.randrange(p.nodes)) for _ in range(r.choice((1, 2, 4)))]
    if r.random() < 0.2:
        p.steps = [(_when(r), r.choice((-3600.0, 3600.0, 5.0)), r.randrange(p.nodes))]


def _forget(r: Random, p: NodePlan) -> None:
    if r.random() < 0.3:
        p.far.empties = (_when(r),)
    else:
        p.far.fails_over = ((_when(r), r.choice((0.01, 0.1, 1.0))),)


def _span(r: Random, p: NodePlan, lengths: tuple[float, ...]) -> Span:
    return _when(r), r.choice(lengths), r.randrange(p.nodes)


def _when(r: Random) -> float:
    return r.choice((r.random(), SOON * r.random(), SOON * r.random(), 35 * r.random()))
