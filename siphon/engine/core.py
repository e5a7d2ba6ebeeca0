"""Load, decide, commit: one event of one record, on any store, in any process.

The core knows no socket and no process: it is given a store, an environment, handlers, a way to arm deadlines and a
clock. siphon/engine/application.py puts it into a worker, siphon/testing into the simulator.

A step that must wait (a store's answer, a held lock, a name, a handler that awaits) leaves nothing here but the event,
which is taken up again from load. After a commit holds, what it claimed is run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from siphon.engine.away import REFUSALS, REPEATED
from siphon.engine.counters import Counter
from siphon.engine.dialogs import awaited, closed, in_known_dialog, opened
from siphon.engine.environment import Environment, Missing
from siphon.engine.events import (
    AckEvent,
    CancelEvent,
    CancelOutcomeEvent,
    Event,
    FailureOutcomeEvent,
    HeardEvent,
    NeedNames,
    NeedReply,
    ReplyOutcomeEvent,
    RequestEvent,
    RequestOutcomeEvent,
    ResponseEvent,
    TimerEvent,
)
from siphon.engine.failover import rested
from siphon.engine.own import SendEvent
from siphon.engine.rates import PerSecond
from siphon.engine.reliable import PrackEvent
from siphon.engine.retention import compact, shrink
from siphon.forwarding.next_hop import Hop
from siphon.script.outcome import CancelOutcome, FailureOutcome, Outcome, ReplyOutcome
from siphon.sip.message import SipMessage
from siphon.state.codec import BadRecord, decode, encode
from siphon.state.deadlines import expiry, next_deadline
from siphon.state.record import Branch, Claim, ClaimKind, Record
from siphon.state.store import CONFLICT, FULL, Away, Busy, Commit, Loaded, Store, Wait
from siphon.transaction.step import Step

MAX_CONFLICTS = 16
"""Version conflicts in a row after which an event waits for the next turn."""

REPEATS_PER_SECOND = 20
"""Answers to retransmissions of one request a second, in one process."""

_OF_A_CALL = (RequestEvent, AckEvent, CancelEvent)

ROOM_AGAIN_SECS = 0.5
"""A deadline that found no room for its commit is tried again after this long: others have ended meanwhile."""


def is_new(event: Event) -> bool:
    """Whether the step of the event makes a record."""
    return isinstance(event, SendEvent) or (isinstance(event, RequestEvent) and event.new)


class Handlers(Protocol):
    """The script's handlers as the core needs them. `done` is called once: before the call returns, or later."""

    def run_request(self, record: Record, message: SipMessage | None, done: Callable[[Outcome], None]) -> None: ...
    def run_reply(
        self, record: Record, branch: Branch, response: bytes | None, done: Callable[[ReplyOutcome], None]
    ) -> None: ...
    def run_failure(self, record: Record, done: Callable[[FailureOutcome], None]) -> None: ...
    def run_cancel(self, record: Record, done: Callable[[CancelOutcome], None]) -> None: ...


class Resolver(Protocol):
    """Looks names up; what it found is then in the environment's `resolve`."""

    def look_up(self, names: set[Hop], done: Callable[[], None]) -> None: ...


class Reporter(Protocol):
    """Counters and log of this process."""

    def count(self, counter: Counter, number: int = 1) -> None: ...
    def error(self, event: str, record_key: bytes, **facts: object) -> None: ...
    def note(self, event: str, record_key: bytes, **facts: object) -> None:
        """What peers or a slow script bring about: no fault of ours, and few lines a second of each kind."""

    def warn(self, event: str, record_key: bytes, **facts: object) -> None:
        """The same where somebody should change something."""


@dataclass(slots=True)
class Core:
    """One process's engine over one store."""

    store: Store
    env: Environment
    handlers: Handlers
    resolver: Resolver
    reporter: Reporter
    clock: Callable[[], float]
    arm: Callable[[float, bytes, int], None]
    refuse: Callable[[Event, Step, str], None]
    """New work that was not taken: 'full', 'large' or 'away'. Answers statelessly."""
    own_ended: Callable[[Record], None] = lambda record: None
    """A request of our own has had its final, or will have none."""
    retry: deque[Event] = field(default_factory=deque)
    """Events that found a lock held; taken up again at the next turn."""
    repeats: PerSecond = field(default_factory=lambda: PerSecond(REPEATS_PER_SECOND))
    """Retransmissions that are answered (SEC-12): a client sends one each T1 at most, whoever replays sends more."""
    running: dict[tuple[bytes, int], deque[ResponseEvent]] = field(default_factory=dict)
    """Responses that wait because a handler of their branch runs in this process."""

    # -- load ---------------------------------------------------------------------------------------------------------

    def process(self, event: Event) -> None:
        """Take an event from load to commit, or park it."""
        for _ in range(MAX_CONFLICTS):
            loaded = self.store.load(event.key)
            if isinstance(loaded, Wait):
                self._park(event, loaded)
                return
            if self._decide_on(event, loaded):
                return
            self.reporter.count(Counter.CONFLICTS)
        self.retry.append(event)

    def insert(self, event: RequestEvent | SendEvent) -> None:
        """A request that is most likely new, or ours: try to insert before looking."""
        if not self.decide(event, 0, None):
            self.process(event)

    def take(self, event: RequestEvent | AckEvent | CancelEvent) -> None:
        """A request that has come: in its turn, which is behind those of its call that wait for a lock. So an ACK is
        not overtaken by its BYE, nor an INVITE by its CANCEL."""
        if self._follows(event, 0):
            self.retry.append(event)
        elif isinstance(event, RequestEvent):
            self.insert(event)
        else:
            self.process(event)

    def _follows(self, event: Event, first: int) -> bool:
        """Whether a request of the same call waits, from that place of the queue on."""
        if not self.retry or not isinstance(event, _OF_A_CALL):
            return False
        call = event.arrival.message.call_id
        waiting = islice(self.retry, first, None)
        return any(isinstance(other, _OF_A_CALL) and other.arrival.message.call_id == call for other in waiting)

    def retry_parked(self) -> None:
        """Take up what waited for a lock; once a turn."""
        for left in reversed(range(len(self.retry))):
            event = self.retry.popleft()
            if self._follows(event, left):
                self.retry.append(event)
            else:
                self.process(event)

    def _park(self, event: Event, wait: Wait) -> None:
        self.reporter.count(Counter.PARKED)
        if isinstance(wait, Busy):
            self.retry.append(event)
        elif isinstance(wait, Away):
            self._away(event, wait)
        else:
            wait.then(lambda _answer: self.process_loaded(event, _answer))

    def process_loaded(self, event: Event, loaded: object) -> None:
        """A load that came late; on a conflict the event starts again."""
        if isinstance(loaded, Wait):
            self._park(event, loaded)
            return
        assert loaded is None or isinstance(loaded, Loaded)
        if not self._decide_on(event, loaded):
            self.process(event)

    def _put_off(self, event: Event, step: Step, wait: Busy | Away) -> None:
        """A commit of which nothing has happened."""
        if isinstance(wait, Busy):
            self.retry.append(event)
        elif not is_new(event):
            self._away(event, wait)
        elif self.store.head(event.key) is None:  # else a repeat of what is known here: its sender hears of that
            self._no_room(event, step, 0, True, "away")

    def _away(self, event: Event, wait: Away) -> None:
        """The store cannot be reached: what nobody would bring again waits for it, the rest is lost like a datagram."""
        self.reporter.count(Counter.AWAY)
        if isinstance(event, AckEvent):
            event.pass_on()
        elif not isinstance(event, REPEATED):
            wait.then(lambda _: self.process(event))

    def _decide_on(self, event: Event, loaded: Loaded | None) -> bool:
        """Decide on what the store has; False on a version conflict."""
        if loaded is None:
            return self.decide(event, 0, None)
        try:
            record = decode(event.key, loaded.value)
        except BadRecord as error:
            self.reporter.count(Counter.BAD_RECORDS)
            self.reporter.error("bad_record", event.key, error=str(error))
            return True
        return self.decide(event, loaded.version, record)

    # -- decide -------------------------------------------------------------------------------------------------------

    def decide(self, event: Event, version: int, record: Record | None) -> bool:
        """Decide on a private copy and commit; False on a version conflict: load again."""
        try:
            outcome = event.decide(self.env, record, self.clock())
        except Missing as need:
            outcome = NeedNames({need.hop})
        if isinstance(event, RequestEvent | CancelEvent | PrackEvent) and event.repeat:
            event.repeat = False
            self.reporter.count(Counter.RETRANSMISSIONS)
            if outcome is not None and not self.repeats.allows(event.key, self.clock()):
                return True
        elif isinstance(event, ResponseEvent) and event.elsewhere:
            event.elsewhere, event.source = False, ""
            self.reporter.count(Counter.OTHER_SOURCE)
        if outcome is None:
            if isinstance(event, ResponseEvent) and event.stray:
                self.reporter.count(Counter.STRAYS)
            elif isinstance(event, TimerEvent) and record is not None:
                self._look_again(record, version)
            elif isinstance(event, RequestOutcomeEvent | FailureOutcomeEvent) and event.too_late:
                self.reporter.note("answer.discarded", event.key, status=event.too_late)
            return True
        if isinstance(outcome, NeedNames):
            self.resolver.look_up(outcome.names, lambda: self.process(event))
            if isinstance(event, ResponseEvent):  # of a target whose successor has a name: it has answered all the same
                self.process(HeardEvent(event.key, event.ours, event.response))
            return True
        if isinstance(outcome, NeedReply):
            assert isinstance(event, ResponseEvent) and record is not None
            return self._reply_first(event, version, record, outcome.branch)
        return self._commit(event, outcome, version)

    def _look_again(self, record: Record, version: int) -> None:
        """Nothing was due: the clocks of two machines differ by a hair, or another has committed since."""
        deadline = next_deadline(record)
        if deadline > self.clock():
            self.arm(deadline, record.key, version)

    # -- commit -------------------------------------------------------------------------------------------------------

    def _commit(self, event: Event, step: Step, expected: int, shrunk: bool = False) -> bool:
        commit = self.commit_of(step, expected)
        commit.new_work = is_new(event) and not (isinstance(event, RequestEvent) and event.vouched)
        if commit.value is not None and len(commit.value) > self.env.settings.shared.record_bytes:
            return self._no_room(event, step, expected, shrunk, "large")
        opened(step, self.env)
        awaited(step, self.env)
        result = self.store.commit(commit)
        if isinstance(result, Busy | Away):
            self._put_off(event, step, result)
            return True
        if isinstance(result, Wait):
            result.then(lambda answer: self._committed_late(event, step, commit, answer, shrunk))
            return True
        if result == FULL:
            return self._no_room(event, step, expected, shrunk, "full")
        if result == CONFLICT:
            return False
        self._committed(event, step, commit, result)
        return True

    def commit_of(self, step: Step, expected: int) -> Commit:
        """The compare-and-swap that a step asks for."""
        r = step.record
        if step.remove:
            return Commit(r.key, expected, None, sends=step.sends)
        r.touched |= 1 << (self.env.slot & 63)
        compact(r)
        return Commit(
            r.key,
            expected,
            encode(r),
            owner=self.env.owner,
            next_deadline=next_deadline(r),
            expiry=expiry(r, self.env.timing.linger, self.env.timing.long),
            sends=step.sends,
        )

    def _committed_late(self, event: Event, step: Step, commit: Commit, answer: object, shrunk: bool) -> None:
        if isinstance(answer, Busy | Away):
            self._put_off(event, step, answer)
            return
        assert isinstance(answer, int)
        if answer == FULL:
            done = self._no_room(event, step, commit.expected, shrunk, "full")
        else:
            done = answer != CONFLICT
            if done:
                self._committed(event, step, commit, answer)
        if not done:
            self.process(event)

    def _no_room(self, event: Event, step: Step, expected: int, shrunk: bool, why: str) -> bool:
        """New work is refused, unless it belongs to a running call and the reserve will do; a running call is
        committed in a lean form."""
        if isinstance(event, RequestEvent) and event.new:
            if why == "full" and not event.vouched and in_known_dialog(self.env, event.arrival.message):
                event.vouched = True
                return self._commit(event, step, expected)
            self.reporter.count(REFUSALS[why])
            self.refuse(event, step, why)
            return True
        if isinstance(event, SendEvent):
            self.reporter.count(REFUSALS[why])
            event.no_room(why)
            return True
        if not shrunk:
            shrink(step.record)
            return self._commit(event, step, expected, shrunk=True)
        self.reporter.count(Counter.FULL)
        (self.reporter.note if why == "large" else self.reporter.error)("no_room", event.key, why=why)
        if isinstance(event, RequestOutcomeEvent | FailureOutcomeEvent) and event.give_in(why):
            self.process(event)
        elif isinstance(event, TimerEvent):
            self.arm(self.clock() + ROOM_AGAIN_SECS, event.key, expected)
        return True

    def _committed(self, event: Event, step: Step, commit: Commit, version: int) -> None:
        if is_new(event):
            self.reporter.count(Counter.TRANSACTIONS)
        if step.sends:
            self.reporter.count(Counter.SENT, len(step.sends))
        if step.oversize:
            self.reporter.warn("request.above_mtu", commit.key, bytes=step.oversize)
        if commit.next_deadline:
            self.arm(commit.next_deadline, commit.key, version)
        if step.record.final_sent_at == step.now and step.record.touched.bit_count() >= 3:
            self.reporter.count(Counter.MULTI_WORKER)
        closed(step, self.env)
        rested(step, self.env)
        if isinstance(event, SendEvent):
            event.left()
        if step.record.own and step.record.final_status:
            self.own_ended(step.record)
        for claim in step.work:
            self.run_claim(claim, version, step.record, step.parsed)

    # -- handlers -----------------------------------------------------------------------------------------------------

    def run_claim(self, claim: Claim, version: int, record: Record, message: SipMessage | None) -> None:
        """Run the handlers that this process has claimed; their outcome is the next event of the record."""
        kind = ClaimKind(claim.kind)
        if claim.runs:
            self.reporter.count(Counter.CLAIMS_RERUN)
        if kind == ClaimKind.REQUEST:
            self._run(RequestOutcomeEvent(record.key), version, record, self._request_runner(message))
        elif kind == ClaimKind.REPLY:
            self._run(ReplyOutcomeEvent(record.key, claim.branch), version, record, self._reply_runner(claim.branch))
        elif kind == ClaimKind.FAILURE:
            self._run(FailureOutcomeEvent(record.key), version, record, self.handlers.run_failure)
        else:
            self._run(CancelOutcomeEvent(record.key), version, record, self.handlers.run_cancel)

    def _request_runner(self, message: SipMessage | None) -> Callable[[Record, Callable[[Outcome], None]], None]:
        return lambda record, done: self.handlers.run_request(record, message, done)

    def _reply_runner(self, index: int) -> Callable[[Record, Callable[[ReplyOutcome], None]], None]:
        def run(record: Record, done: Callable[[ReplyOutcome], None]) -> None:
            branch = record.branch(index)
            assert branch is not None
            self.handlers.run_reply(record, branch, None, done)

        return run

    def _run(
        self,
        event: RequestOutcomeEvent | ReplyOutcomeEvent | FailureOutcomeEvent | CancelOutcomeEvent,
        version: int,
        record: Record,
        runner: Callable[..., None],
    ) -> None:
        """Run handlers; when they end at once the record at hand is still the newest that we know."""
        inline = True

        def done(outcome: object) -> None:
            event.outcome = outcome  # type: ignore[assignment]
            if not inline:
                self.process(event)

        runner(record, done)
        inline = False
        if event.outcome is not None and not self.decide(event, version, record):
            self.process(event)

    def _reply_first(self, event: ResponseEvent, version: int, record: Record, branch: Branch) -> bool:
        """on_reply before the commit (1xx, 2xx); responses of one branch wait for each other in this process."""
        place = (event.key, branch.index)
        waiting = self.running.get(place)
        if waiting is not None:
            waiting.append(event)
            return True
        self.running[place] = deque()
        inline = True

        def done(outcome: ReplyOutcome) -> None:
            event.outcome = outcome
            if not inline:
                self.process(event)
                self._next_reply(place)

        self.handlers.run_reply(record, branch, event.response.raw, done)
        inline = False
        if event.outcome is None:
            self.process(HeardEvent(event.key, event.ours, event.response))
            return True
        decided = self.decide(event, version, record)
        if not decided:
            self.process(event)
        self._next_reply(place)
        return True

    def _next_reply(self, place: tuple[bytes, int]) -> None:
        for event in self.running.pop(place, ()):
            self.process(event)
