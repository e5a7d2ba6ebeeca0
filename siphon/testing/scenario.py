"""A run drawn from its seed: who calls whom, how they answer, how bad network and workers are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from siphon.config.settings import Settings
from siphon.config.testing import settings_for_tests
from siphon.testing.callee import AnswerPlan
from siphon.testing.caller import CallPlan
from siphon.testing.faults import Faults
from siphon.testing.registrant import RegisterPlan
from siphon.testing.routing import script
from siphon.testing.wire import CALM, Weather

WEATHER = (
    CALM,
    Weather(0.001, 0.1),
    Weather(0.001, 0.3, loss=0.1, duplicate=0.1),
    Weather(0.001, 0.8, loss=0.25, duplicate=0.25),
    Weather(0.2, 0.2, loss=0.0, duplicate=1.0),
    Weather(0.001, 0.1, loss=0.05, stale=0.3),
)
ROUTER = "198.51.100.250"
"""Where the strict router is that some callers have on their way."""
FAILURES = (302, 401, 404, 407, 408, 480, 486, 486, 500, 503, 600, 603)


@dataclass(slots=True)
class Phone:
    """One callee: where it is and how it answers INVITEs and others. `dead`: its machine answers by ICMP."""

    ip: str
    invite: AnswerPlan
    other: AnswerPlan
    dead: bool = False


@dataclass(slots=True)
class Question:
    """One request other than INVITE."""

    name: str
    start: float
    directions: str
    method: str
    again: bool = False
    merged: float = -1.0
    """Seconds after which a copy comes by another path; below 0: none does."""


@dataclass(slots=True)
class Scenario:
    """Everything that a seed decides beforehand."""

    seed: int
    workers: int
    spread: bool
    script: Path
    settings: Settings
    weather: Weather
    faults: Faults
    calls: list[CallPlan] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    phones: list[Phone] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, Weather] = field(default_factory=dict)
    """Weather of single links, by the address at their far end."""
    shots: list[float] = field(default_factory=list)
    """When a stranger sends something."""
    registrations: list[RegisterPlan] = field(default_factory=list)


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    r = Random(seed)
    workers = r.choice((1, 2, 2, 3, 4))
    variant = (r.random() < 0.6, r.random() < 0.5, r.random() < 0.4, r.random() < 0.6)
    path = script(*variant)
    s = Scenario(
        seed,
        workers,
        r.random() < 0.6,
        path,
        settings(path, r.choice((12.0, 40.0))),
        r.choice(WEATHER),
        _faults(r, workers),
    )
    for number in range(r.choice((1, 1, 2, 3))):
        s.calls.append(_call(r, s, number))
    for number in range(r.choice((0, 0, 1, 2))):
        s.questions.append(_question(r, s, number))
    _asks(Random(f"asks of {seed}"), s)
    _merge(Random(f"merged {seed}"), s)
    _registrations(Random(f"registrations {seed}"), s)
    _links(r, s)
    if r.random() < 0.25:
        s.shots = [1000.0 + _when(r) for _ in range(r.randrange(1, 30))]
    return s


def _asks(r: Random, s: Scenario) -> None:
    """Some handlers send a request of their own; drawn apart, so that a seed's calls are what they were before."""
    plans: list[CallPlan | Question] = [*s.calls, *s.questions]
    for plan in plans:
        if r.random() < 0.3:
            plan.directions += f" ask={_target(r, s)} ask_secs={r.choice((0.3, 2.0, 4.0))}"


def _merge(r: Random, s: Scenario) -> None:
    """Some questions come by two paths; most of those are answered at the proxy."""
    for question in s.questions:
        if r.random() < 0.25 and not question.again:
            question.merged = r.choice((0.0, 0.0, 0.1, 3.0))
            if r.random() < 0.7:
                question.directions = r.choice(("answer=200", "answer=202", "wait=0.3 answer=200", "answer=404"))


def _links(r: Random, s: Scenario) -> None:
    """Some links are worse, or better, than the rest."""
    if r.random() < 0.3:
        for ip in ["192.0.2.1", "192.0.2.2", ROUTER, *(phone.ip for phone in s.phones)]:
            if r.random() < 0.5:
                s.links[ip] = r.choice(WEATHER)


def _registrations(r: Random, s: Scenario) -> None:
    """Phones that register while others call, in some runs; from a generator of its own."""
    for number in range(r.choice((1, 1, 2)) if r.random() < 0.2 else 0):
        plan = RegisterPlan(f"r{number}", 1000.0 + r.random(), r.choice(("alice", "carol")))
        plan.hasty = r.random() < 0.3
        for _ in range(r.choice((1, 2, 3, 4))):
            delay, wait = r.choice((0.0, 0.1, 3.0 * r.random())), r.choice((0.0, 0.0, 0.2, 1.0))
            plan.steps.append((delay, r.choice((60, 60, 3600, 0)), wait))
        s.registrations.append(plan)


@lru_cache
def settings(path: Path, timer_c: float) -> Settings:
    """The configuration of a run."""
    return settings_for_tests(script={"path": str(path)}, transaction={"timer_c": timer_c})


def _faults(r: Random, workers: int) -> Faults:
    faults = Faults(random=Random(r.random()))
    kind = r.randrange(8)
    if kind in (1, 2):
        faults.deaths_at_points = tuple(r.randrange(1, 160) for _ in range(kind))
    elif kind == 3:
        faults.deaths = tuple((_when(r), r.randrange(workers)) for _ in range(r.randrange(1, 3)))
    elif kind == 4:
        at = _when(r)  # a restart: the helper is gone too
        faults.deaths = tuple((at, slot) for slot in range(workers + 1))
    elif kind == 5:
        faults.pauses = tuple(
            (_when(r), r.choice((0.03, 0.3, 2.0, 3.5)), r.randrange(workers)) for _ in range(r.randrange(1, 4))
        )
    faults.down_for = r.choice((0.02, 0.2, 1.0, 1.8)) if kind != 4 else r.choice((0.2, 1.0, 6.0))
    if r.random() < 0.25:
        faults.conflicts = r.choice((0.05, 0.4))
    if r.random() < 0.2:
        faults.busy = r.choice((0.05, 0.3))
    if r.random() < 0.08:
        faults.room = r.choice((4, 8, 16, 40))
    if r.random() < 0.25:
        faults.slow = r.choice((0.01, 0.1))
        faults.conflicts = min(faults.conflicts, 0.05)  # those that happen by themselves are many already
    return faults


def _when(r: Random) -> float:
    return r.choice((r.random(), 3 * r.random(), 15 * r.random(), 45 * r.random()))


def _call(r: Random, s: Scenario, number: int) -> CallPlan:
    plan = CallPlan(f"c{number}", 1000.0 + r.choice((0.0, 0.0, r.random())), _directions(r, s, invite=True))
    if r.random() < 0.4:
        plan.cancel_after = r.choice((0.05, 0.4, 3.0 * r.random(), 12.0 * r.random()))
    if r.random() < 0.6:
        plan.bye_after = 2.0 * r.random()
    if "reliable=1" in plan.directions:
        plan.prack_after = r.choice((None, None, 0.0, 0.3, 3.0 * r.random(), 26.0 * r.random()))
    plan.old = r.random() < 0.1
    plan.body = r.choice((0, 0, 300, 1200))
    plan.strict = r.random() < 0.15
    if r.random() < 0.1:
        _through_router(r, s, plan)
    return plan


def _through_router(r: Random, s: Scenario, plan: CallPlan) -> None:
    """The call goes by a Route of its own over a strict router to one phone."""
    plan.route = f"<sip:strict@{ROUTER}:5060>"
    plan.uri = _phone(r, s)
    words = [w for w in plan.directions.split() if not w.startswith(("targets=", "strategy=", "timeout=", "retarget="))]
    plan.directions = " ".join([*words, "follow=1"])


def _question(r: Random, s: Scenario, number: int) -> Question:
    directions = _directions(r, s, invite=False)
    return Question(
        f"q{number}", 1000.0 + r.random(), directions, r.choice(("MESSAGE", "OPTIONS", "INFO")), r.random() < 0.2
    )


def _directions(r: Random, s: Scenario, invite: bool) -> str:
    words: list[str] = []
    if r.random() < 0.2:
        words.append(f"wait={r.choice((0.1, 0.3, 1.0, 2.5))}")
    what = r.random()
    if what < 0.06:
        return " ".join([*words, f"answer={r.choice((200, 404, 486, 603))}"])
    if what < 0.08 and invite:
        return " ".join([*words, r.choice(("drop=1", "half=1"))])
    if what < 0.11:
        return " ".join([*words, "challenge=1"])
    if what < 0.17 and invite:
        return " ".join([*words, *(["tagged=1"] if r.random() < 0.3 else []), "reliable=1"])
    if what < 0.23 and invite:
        words.append("early=1")
    count = r.choice((1, 1, 2, 3))
    targets = [_target(r, s) for _ in range(count)]
    words.append("targets=" + ",".join(targets))
    words.append("strategy=" + r.choice(("parallel", "sequential", "q")))
    if r.random() < 0.35:
        words.append(f"timeout={r.choice((0.7, 3, 9))}")
    if r.random() < 0.5:
        words.append("own=1")
    words += _reply_words(r) + _failure_words(r, s)
    # nobody may answer: Timer F then ends the transaction in silence (RFC 4320 §4.2)
    silent = not invite and any(not p.other.answers or p.dead for p in s.phones)
    return " ".join([*words, "silent=1"] if silent else words)


def _reply_words(r: Random) -> list[str]:
    words = []
    if r.random() < 0.2:
        words.append(f"reply_wait={r.choice((0.05, 0.6, 2.0))}")
    if r.random() < 0.3:
        words.append("edit=1")
    if r.random() < 0.1:
        words.append("mute=" + r.choice(("180", "486")))
    if r.random() < 0.1:
        words.append("reject=" + r.choice(("480", "603")))
    return words


def _failure_words(r: Random, s: Scenario) -> list[str]:
    what = r.random()
    words = [f"failure_wait={r.choice((0.1, 1.0, 3.0))}"] if r.random() < 0.3 else []
    if what < 0.3:
        words.append("retarget=" + _target(r, s))
    elif what < 0.5:
        words.append("failed=480")
    return words


def _target(r: Random, s: Scenario) -> str:
    uri = _phone(r, s)
    if r.random() < 0.15:
        ip = s.phones[-1].ip
        name = f"phone{len(s.phones)}.test"
        s.names[name] = [ip] if r.random() < 0.8 else []
        return f"sip:bob@{name}:5060"
    return uri


def _phone(r: Random, s: Scenario) -> str:
    """A new phone; its URI."""
    ip = f"198.51.100.{len(s.phones) + 1}"
    s.phones.append(Phone(ip, _invite_plan(r), _other_plan(r), dead=r.random() < 0.05))
    return f"sip:bob@{ip}:5060"


def _invite_plan(r: Random) -> AnswerPlan:
    plan = AnswerPlan(cancelled=r.choice((487, 487, 487, 200, 0)), twin=r.random() < 0.1)
    at = r.choice((0.0, 0.02, 0.4 * r.random(), 2.5 * r.random()))
    for _ in range(r.choice((0, 1, 1, 2))):
        plan.answers.append((at, r.choice((100, 180, 180, 183))))
        at += r.choice((0.0, 0.1, 2.0 * r.random()))
    if r.random() < 0.1:
        plan.late = [(r.choice((0.0, 0.1, 40.0 * r.random())), r.choice((100, 180, 183, 487, 503))) for _ in range(2)]
    what = r.random()
    if what < 0.4:
        plan.answers.append((at + r.choice((0.0, 1.0, 8.0 * r.random())), 200))
    elif what < 0.85:
        plan.answers.append((at + r.choice((0.0, 1.0, 8.0 * r.random())), r.choice(FAILURES)))
    return plan


def _other_plan(r: Random) -> AnswerPlan:
    if r.random() < 0.1:
        return AnswerPlan()
    at = r.choice((0.0, 0.3, 5.0 * r.random()))
    answers = [(0.0, 100)] if r.random() < 0.2 else []
    return AnswerPlan([*answers, (at, r.choice((200, 200, 202, 404, 486, 503, 408)))])
