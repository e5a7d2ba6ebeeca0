"""Load, decide, commit: one event of one record, on any store, in any process.

The core knows no socket and no process: it is given a store, an environment, handlers, a way to arm deadlines and a
clock. siphon/engine/application.py puts it into a worker, siphon/testing into the simulator.

A step that must wait (a store's answer, a held lock, a name, a handler that awaits) leaves nothing here but the event,
which is taken up again from load. While it waits for the store, what else comes for its record or its call stands in
line (siphon/engine/order.py). After a commit holds, what it claimed is run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from siphon.engine.away import REFUSALS, REPEATED
from siphon.engine.counters import Counter
from siphon.engine.dialogs import awaited, closed, in_known_dialog, opened
from siphon.engine.elsewhere import says_final
from siphon.engine.environment import CLAIM_SECS, Environment, Missing
from siphon.engine.events import (
    OUTCOMES,
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
from siphon.engine.lines import LONGEST_LINE, LONGEST_LINE_OF_ACKS, beside, lines_of
from siphon.engine.order import Order
from siphon.engine.orphans import AtWork, LookEvent, OrphanEvent
from siphon.engine.own import SendEvent
from siphon.engine.parts import Handlers, Reporter, Resolver
from siphon.engine.rates import PerSecond
from siphon.engine.reliable import PrackEvent
from siphon.engine.retention import compact, shrink
from siphon.script.outcome import Outcome, ReplyOutcome
from siphon.sip.message import SipMessage
from siphon.state.codec import BadRecord, decode, encode
from siphon.state.deadlines import expiry, next_deadline
from siphon.state.record import NO_SLOT, Branch, Claim, ClaimKind, Record
from siphon.state.store import CONFLICT, FULL, Away, Busy, Commit, Loaded, Store, Wait
from siphon.transaction.step import Step

MAX_CONFLICTS = 16
"""Version conflicts in a row after which an event waits for the next turn."""

REPEATS_PER_SECOND = 20
"""Answers to retransmissions of one request a second, in one process."""

MOST_ACKS_WAITING = 500
"""Of one process. The first count most: what is refused later is seldom a copy of a call that runs elsewhere."""

ROOM_AGAIN_SECS = 0.5
"""A deadline that found no room for its commit is tried again after this long: others have ended meanwhile."""


def is_new(event: Event) -> bool:
    """Whether the step of the event makes a record."""
    return isinstance(event, SendEvent) or (isinstance(event, RequestEvent) and event.new)


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
    refuse: Callable[[Event, str], None]
    """New work that was not taken: 'full', 'large' or 'away'. Answers statelessly."""
    own_ended: Callable[[Record], None] = lambda record: None
    """A request of our own has had its final, or will have none."""
    retry: deque[Event] = field(default_factory=deque)
    """Events that found a lock held; taken up again at the next turn."""
    order: Order[Event] = field(default_factory=Order)
    """What waits for the store, and what stands in line behind it."""
    at_work: AtWork | None = None
    """Given where the store may lose an answer, or a write: then a claim of ours may be in a record unknown to us."""
    remind: Callable[[int, bytes], None] | None = None
    """Given where a claimant may not know of its claim: tells the process in that slot, of any node, to `look`."""
    repeats: PerSecond = field(default_factory=lambda: PerSecond(REPEATS_PER_SECOND))
    """Retransmissions that are answered (SEC-12): a client sends one each T1 at most, whoever replays sends more."""
    acks_waiting: int = 0
    """ACKs to failures that wait for a store that is away."""
    running: dict[tuple[bytes, int], deque[ResponseEvent]] = field(default_factory=dict)
    """Responses of a branch, in order: the first one's handlers run in this process, or its outcome is committed."""

    # -- load ---------------------------------------------------------------------------------------------------------

    def process(self, event: Event) -> None:
        """Take an event from load to commit, or park it; in its turn."""
        if not self.order.lines or self.order.may_begin(event, lines_of(event), beside(event)):
            self._go(event)

    def _go(self, event: Event) -> None:
        for _ in range(MAX_CONFLICTS):
            loaded = self.store.load(event.key)
            if isinstance(loaded, Wait):
                self._park(event, loaded)
                break
            if self._decide_on(event, loaded):
                break
            self.reporter.count(Counter.CONFLICTS)
        else:
            self._park(event, Busy())
        self._replied(event)

    def insert(self, event: RequestEvent | SendEvent) -> None:
        """A request that is most likely new, or ours: try to insert before looking."""
        if not self.decide(event, 0, None):
            self._go(event)

    def take(self, event: RequestEvent | AckEvent | CancelEvent) -> None:
        """A request that has come: in its turn, which is behind those of its call that wait."""
        if self.order.lines:
            lines = lines_of(event)
            most = LONGEST_LINE_OF_ACKS if isinstance(event, AckEvent) else LONGEST_LINE
            if self.order.length(lines[1]) >= most:
                self._turn_away(event)
                return
            if not self.order.may_begin(event, lines, beside(event)):
                return
        if isinstance(event, RequestEvent):
            self.insert(event)
        else:
            self._go(event)

    def _turn_away(self, event: RequestEvent | AckEvent | CancelEvent) -> None:
        """Its line is full. New work hears of it; a repeat does not: what it repeats stands in line, or is known."""
        if isinstance(event, AckEvent):
            self.reporter.count(Counter.ACKS_DROPPED)
        elif isinstance(event, RequestEvent) and not (event.key in self.order.lines or self._is_known(event.key)):
            self.reporter.count(Counter.AWAY)
            self.refuse(event, "away")

    def retry_parked(self) -> None:
        """Take up what waited for a lock; once a turn."""
        for _ in range(len(self.retry)):
            event = self.retry.popleft()
            self._resume(event, self._go, event)

    def _park(self, event: Event, wait: Wait) -> None:
        self.reporter.count(Counter.PARKED)
        if isinstance(wait, Away):
            self._away(event, wait)
        else:
            self._hold(event, wait, self._loaded_late)

    def _hold(self, event: Event, wait: Wait, then: Callable[..., None], *facts: object) -> None:
        """The event keeps its place until `then(event, answer, *facts)` has been called and it does not wait again."""
        self.order.hold(event, lines_of(event), beside(event))
        if isinstance(wait, Busy):
            self.retry.append(event)
        else:
            wait.then(lambda answer: self._resume(event, then, event, answer, *facts))

    def _resume(self, event: Event, step: Callable[..., None], *facts: object) -> None:
        """What an event waited for is there; then those follow that stood in line behind it."""
        try:
            self._turn(event, step, *facts)
            while self.order.ready:
                other = self.order.ready.popleft()
                self._turn(other, self._go, other)
        finally:
            self.retry.extend(self.order.ready)  # where an exception is on its way up
            self.order.ready.clear()

    def _turn(self, event: Event, step: Callable[..., None], *facts: object) -> None:
        self.order.begin(event)
        try:
            step(*facts)
            self._replied(event)
        finally:
            self.order.end(event)

    def _loaded_late(self, event: Event, loaded: object) -> None:
        """A load that came late; on a conflict the event starts again."""
        if isinstance(loaded, Wait):
            self._park(event, loaded)
            return
        assert loaded is None or isinstance(loaded, Loaded)
        if not self._decide_on(event, loaded):
            self._go(event)

    def _put_off(self, event: Event, step: Step, wait: Busy | Away) -> None:
        """A commit of which nothing has happened."""
        if isinstance(wait, Busy):
            self._hold(event, wait, self._loaded_late)
        elif not is_new(event):
            self._away(event, wait)
        elif not self._is_known(event.key):  # else a repeat: its sender hears of what it repeats
            self._no_room(event, step, 0, True, "away")

    def _is_known(self, key: bytes) -> bool:
        """Whether this node has seen a version of the record."""
        head = self.store.head(key)
        return isinstance(head, tuple) and head[0] > 0

    def _away(self, event: Event, wait: Away) -> None:
        """The store cannot be reached: what nobody would bring again waits for it, the rest is lost like a datagram."""
        self.reporter.count(Counter.AWAY)
        if isinstance(event, AckEvent):
            self._ack_away(event, wait)
        elif not isinstance(event, REPEATED):
            wait.then(lambda _: self.process(event))

    def _ack_away(self, event: AckEvent, wait: Away) -> None:
        """One to a failure of ours waits: it may be all that tells that a call is over (siphon/engine/elsewhere.py)."""
        if self.acks_waiting >= MOST_ACKS_WAITING or not says_final(event.key, event.arrival.message, self.env):
            event.pass_on()
            return
        self.acks_waiting += 1
        wait.then(lambda _: self._ack_back(event))

    def _ack_back(self, event: AckEvent) -> None:
        self.acks_waiting -= 1
        self.process(event)

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
        if self.at_work is not None and record.claims and self.at_work.orphans(record, self.env):
            self.process(OrphanEvent(event.key, self.at_work))
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
            self._ended(event)
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
        closed(step, self.env)
        result = self.store.commit(commit)
        if isinstance(result, Busy | Away):
            self._put_off(event, step, result)
            return True
        if isinstance(result, Wait):
            self._hold(event, result, self._committed_late, step, commit, shrunk)
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

    def _committed_late(self, event: Event, answer: object, step: Step, commit: Commit, shrunk: bool) -> None:
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
            self._go(event)

    def _no_room(self, event: Event, step: Step, expected: int, shrunk: bool, why: str) -> bool:
        """New work is refused, unless it belongs to a running call and the reserve will do; a running call is
        committed in a lean form."""
        if isinstance(event, RequestEvent) and event.new:
            if why == "full" and not event.vouched and in_known_dialog(self.env, event.arrival.message):
                event.vouched = True
                return self._commit(event, step, expected)
            self.reporter.count(REFUSALS[why])
            self.refuse(event, why)
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

    def refuse_late(self, key: bytes) -> None:
        """New work that has been refused for want of an answer may stand in the store all the same."""
        if self.at_work is not None:
            self.process(OrphanEvent(key, self.at_work, refused=True))

    def look(self, key: bytes) -> None:
        """Another process looks after claims of ours in that record: run them, unless they run."""
        self.process(LookEvent(key))

    def _remind(self, step: Step) -> None:
        """Claims of others have been renewed: each claimant lives, but may have been given its claim back unknown to it
        (by a failover of the store). Nobody but itself can tell."""
        assert self.remind is not None
        until = step.now + CLAIM_SECS
        for claim in step.record.claims:
            if claim.deadline == until and claim.slot not in (NO_SLOT, self.env.slot):
                self.remind(claim.slot, step.record.key)

    def _ended(self, event: Event) -> None:
        """The outcome of handlers is committed, or counts no more."""
        if self.at_work is not None and isinstance(event, OUTCOMES):
            self.at_work.end((event.key, event.kind, event.number))

    def _committed(self, event: Event, step: Step, commit: Commit, version: int) -> None:
        self._ended(event)
        if is_new(event):
            self.reporter.count(Counter.TRANSACTIONS)
        if step.sends:
            self.reporter.count(Counter.SENT, len(step.sends))
        if step.oversize:
            self.reporter.warn("request.above_mtu", commit.key, bytes=step.oversize)
        for target, status, why in step.unsent or ():
            self.reporter.note("target.not_tried", commit.key, target=target, status=status, why=why)
        if isinstance(event, RequestOutcomeEvent) and event.did_nothing:
            self._tell_of_nothing(commit, step.record)
        if commit.next_deadline:
            self.arm(commit.next_deadline, commit.key, version)
        if step.record.final_sent_at == step.now and step.record.touched.bit_count() >= 3:
            self.reporter.count(Counter.MULTI_WORKER)
        rested(step, self.env)
        if isinstance(event, SendEvent):
            event.left()
        if step.record.own and step.record.final_status:
            self.own_ended(step.record)
        if self.remind is not None and isinstance(event, TimerEvent) and step.record.claims:
            self._remind(step)
        for claim in step.work:
            self.run_claim(claim, version, step.record, step.parsed)

    def _tell_of_nothing(self, commit: Commit, record: Record) -> None:
        """Who drops a request on purpose knows; who has forgotten a branch of his script sees why nobody answers."""
        self.reporter.note(
            "script.did_nothing",
            commit.key,
            method=record.method,
            answer="none" if commit.value is None else "500 No Action",
            of=record.call_id,
            source=record.source_ip,
        )

    # -- handlers -----------------------------------------------------------------------------------------------------

    def run_claim(self, claim: Claim, version: int, record: Record, message: SipMessage | None) -> None:
        """Run the handlers that this process has claimed; their outcome is the next event of the record."""
        kind = ClaimKind(claim.kind)
        if claim.runs:
            self.reporter.count(Counter.CLAIMS_RERUN)
        if self.at_work is not None:
            self.at_work.begin(record, claim)
        if kind == ClaimKind.REQUEST:
            self._run(RequestOutcomeEvent(record.key), version, record, self._request_runner(message))
        elif kind == ClaimKind.REPLY:
            self._run(ReplyOutcomeEvent(record.key, claim.branch), version, record, self._reply_runner(claim.branch))
        elif kind == ClaimKind.FAILURE:
            event = FailureOutcomeEvent(record.key, record.attempts)
            self._run(event, version, record, self.handlers.run_failure)
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
        queue = self.running.setdefault((event.key, branch.index), deque())
        if queue and queue[0] is not event:
            queue.append(event)
            return True
        if not queue:
            queue.append(event)

        def done(outcome: ReplyOutcome) -> None:
            event.outcome = outcome
            if event.awaits:
                event.awaits = False
                self.process(event)

        self.handlers.run_reply(record, branch, event.response.raw, done)
        if event.outcome is None:
            event.awaits = True
            self.process(HeardEvent(event.key, event.ours, event.response))
            return True
        return self.decide(event, version, record)

    def _replied(self, event: Event) -> None:
        """The next response of the branch has its turn when this one is through, handlers and commit."""
        if not self.running or not isinstance(event, ResponseEvent):
            return
        place = (event.key, event.ours.index)
        queue = self.running.get(place)
        if not queue or queue[0] is not event or event.awaits or self.order.is_held(event):
            return
        queue.popleft()
        if queue:
            self.process(queue[0])
        else:
            del self.running[place]
