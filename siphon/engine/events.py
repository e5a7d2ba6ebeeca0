"""The events of one record: each knows its record's key and how to decide.

`decide` gets a private copy of the record (None: there is none) and returns a Step to commit, None when nothing is
to be
done, or a Need: something that must be there before the decision can be made. It changes the record only when it
returns a Step, and it may be called again with a newer record after a version conflict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from siphon.engine import elsewhere
from siphon.engine.answers import tag_for_cancel
from siphon.engine.attempts import names_to_resolve
from siphon.engine.environment import Environment
from siphon.engine.outcomes import failure_done, request_done
from siphon.engine.plan import plan_fork, plan_relay
from siphon.engine.requests import (
    Arrival,
    acknowledged,
    begin,
    cancelled,
    is_ack_of_other,
    is_other_dialog,
    is_over,
    repeated,
    reply_place,
    was_cancelled,
)
from siphon.engine.responses import decide as decide_response
from siphon.engine.responses import heard, judge, match, names_its_sender, needs_reply_handlers, unreachable
from siphon.engine.timers import fire
from siphon.engine.variables import merge_vars
from siphon.forwarding.branch import Branch as OurBranch
from siphon.forwarding.next_hop import Hop
from siphon.script.outcome import Action, Answer, CancelOutcome, FailureOutcome, Outcome, Relay, ReplyOutcome
from siphon.sip.build import response as build_response
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import apply_splices, unpack_splices
from siphon.state.record import Branch, ClaimKind, Record
from siphon.state.store import Send
from siphon.transaction.step import Step

STALE_SECS = 4.0
"""A request that has waited so long for the store, or for this process to go on, begins nothing: the transaction that
it belongs to may have been and gone. As in a socket (workers/loop.py)."""

NO_ROOM = {"full": (503, "Service Unavailable"), "large": (513, "Message Too Large")}


@dataclass(slots=True)
class NeedNames:
    """Hops whose names are to be looked up first."""

    names: set[Hop]


@dataclass(slots=True)
class NeedReply:
    """on_reply handlers to run first, for this branch."""

    branch: Branch


Need = NeedNames | NeedReply


class Event(Protocol):
    """What happens to one record."""

    key: bytes

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None: ...


@dataclass(slots=True)
class RequestEvent:
    """A request that arrived, ACK and CANCEL apart. `new` says that the last decision made a record, `repeat` that
    it found one; who has counted the repeat takes it back. `vouched`: it belongs to a dialog that we know and may use
    the reserve of a full table."""

    key: bytes
    arrival: Arrival
    new: bool = False
    repeat: bool = False
    vouched: bool = False

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        self.new = record is None or is_over(record, now)
        if record is None or self.new:
            if now - self.arrival.arrived > STALE_SECS:
                self.new = False
                return None
            return begin(self.key, self.arrival, env, now)
        if is_other_dialog(record, self.arrival.message):
            return None  # it would need the key of a call that is not over
        self.repeat = True
        return repeated(Step(record, now, env.timing))


@dataclass(slots=True)
class AckEvent:
    """An ACK; `otherwise` takes it when it is not that of a failure of ours."""

    key: bytes
    arrival: Arrival
    otherwise: Callable[[Arrival], None]
    done: bool = False

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None or not record.invite or is_ack_of_other(record, self.arrival.message):
            self.pass_on()
            return None
        if 200 <= record.final_status < 300 and not record.local_2xx:
            self.pass_on()  # RFC 6026 §7.1: an ACK in Accepted is the core's (TXN-05)
            return None
        if not record.final_status and elsewhere.says_final(self.key, self.arrival.message, env):
            return elsewhere.end(Step(record, now, env.timing))
        return acknowledged(Step(record, now, env.timing))

    def pass_on(self) -> None:
        """It is no ACK of ours: once to who takes those."""
        if not self.done:
            self.done = True
            self.otherwise(self.arrival)


@dataclass(slots=True)
class CancelEvent:
    """A CANCEL; `refuse` answers 481 when it matches nothing. `repeat`: as of RequestEvent."""

    key: bytes
    arrival: Arrival
    refuse: Callable[[Arrival], None]
    same_source: bool = True
    repeat: bool = False

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        foreign = record is not None and self.same_source and record.source_ip != self.arrival.source[0]
        if record is None or foreign or (is_over(record, now) and not was_cancelled(record, now, env.timing)):
            self.refuse(self.arrival)
            return None
        self.repeat = bool(record.cancel_at)
        step = Step(record, now, env.timing)
        tag = tag_for_cancel(record, env)
        data = build_response(self.arrival.message, 200, "OK", tag, (), b"", server=env.server)
        place = reply_place(self.arrival.message, self.arrival.source) or self.arrival.source
        step.sends.append(Send(data, place, self.arrival.listener, self.arrival.local_ip))
        return cancelled(step, env, self.arrival.message)


@dataclass(slots=True)
class ResponseEvent:
    """A response to one of our branches; `outcome` is that of on_reply once it has run. `elsewhere`: it fits, and came
    from another address than the request went to; who has counted that clears `source`."""

    key: bytes
    ours: OurBranch
    response: SipMessage
    source: str = ""
    outcome: ReplyOutcome | None = None
    awaits: bool = False
    """Its on_reply has not come to an end."""
    stray: bool = False
    elsewhere: bool = False
    foreign_via: bool = False
    """Its top Via names none of our addresses: it is ours where force_send_via() has named that host."""

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        branch = None if record is None else match(record, self.ours, self.response, now)
        forged = self.foreign_via and not (record and branch and names_its_sender(record, branch, self.response))
        if record is None or branch is None or forged:
            self.stray = True
            return None
        self.elsewhere = bool(self.source) and self.source != branch.ip
        if self.outcome is None and needs_reply_handlers(record, branch, self.response, env):
            return NeedReply(branch)
        return decide_response(Step(record, now, env.timing), env, branch, self.response, self.outcome)


@dataclass(slots=True)
class HeardEvent:
    """A branch has answered and its on_reply awaits: the INVITE is not repeated meanwhile (TXN-08)."""

    key: bytes
    ours: OurBranch
    response: SipMessage

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        branch = None if record is None else match(record, self.ours, self.response, now)
        if record is None or branch is None:
            return None
        step = Step(record, now, env.timing)
        return step if heard(step, branch) else None


@dataclass(slots=True)
class UnreachableEvent:
    """A branch's address cannot be reached: ICMP, or the send failed."""

    key: bytes
    ours: OurBranch

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None or record.salt != self.ours.salt:
            return None
        branch = record.branch(self.ours.index)
        return None if branch is None else unreachable(Step(record, now, env.timing), env, branch)


@dataclass(slots=True)
class TimerEvent:
    """A deadline of the record has come."""

    key: bytes
    alive: Callable[[int, int], bool]

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None:
            return None
        step = Step(record, now, env.timing)
        return step if fire(step, env, self.alive) else None


@dataclass(slots=True)
class RequestOutcomeEvent:
    """The on_request handlers have returned."""

    key: bytes
    outcome: Outcome | None = None
    asked: bool = False
    too_late: int = 0
    """Status of a final that the handlers armed when another had left."""
    gave_in: bool = False

    kind: ClassVar[ClaimKind] = ClaimKind.REQUEST
    number: ClassVar[int] = 0

    @property
    def did_nothing(self) -> bool:
        """The handlers have returned without an answer, and nothing was to be sent on."""
        outcome = self.outcome
        return outcome is not None and outcome.action is None and outcome.error is None and not outcome.provisionals

    def give_in(self, why: str) -> bool:
        """What the handlers armed finds no room: 513 where a record cannot hold it, 503 where the table is full. False
        when that was tried before."""
        if self.outcome is None or self.gave_in:
            return False
        self.gave_in = True
        self.outcome = Outcome(Answer(*NO_ROOM[why]))
        return True

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None or self.outcome is None:
            return None
        if not awaits(record, ClaimKind.REQUEST):
            self.too_late = second_final(record, self.outcome.action)
            return None
        step = Step(record, now, env.timing)
        if env.plain is not None and env.plain.begin(step, self.outcome):
            return step
        names = set() if self.asked else names_of(env, step, self.outcome.action, self.outcome)
        if names:
            self.asked = True
            return NeedNames(names)
        return request_done(step, env, self.outcome)


@dataclass(slots=True)
class FailureOutcomeEvent:
    """The on_failure handlers have returned. `attempt` is the one whose failure they saw: of who was stopped, or was
    without its store, meanwhile another may have run them, and the next attempt too."""

    key: bytes
    attempt: int
    outcome: FailureOutcome | None = None
    asked: bool = False
    too_late: int = 0
    """Status of a final that the handlers armed when another had left."""

    kind: ClassVar[ClaimKind] = ClaimKind.FAILURE

    @property
    def number(self) -> int:
        return self.attempt

    def give_in(self, why: str) -> bool:
        """What the handlers armed finds no room: the failure is forwarded. False when it is already."""
        if self.outcome is None or self.outcome.request is None:
            return False
        self.outcome = FailureOutcome()
        return True

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None or self.outcome is None:
            return None
        if not awaits(record, ClaimKind.FAILURE):
            self.too_late = second_final(record, self.outcome.action)
            return None
        if record.attempts != self.attempt:
            return None
        step = Step(record, now, env.timing)
        if not self.asked and self.outcome.request is not None:
            names = names_of(env, step, self.outcome.action, self.outcome.request)
            if names:
                self.asked = True
                return NeedNames(names)
        return failure_done(step, env, self.outcome)


@dataclass(slots=True)
class ReplyOutcomeEvent:
    """on_reply has seen a failure that was committed before."""

    key: bytes
    branch: int
    outcome: ReplyOutcome | None = None

    kind: ClassVar[ClaimKind] = ClaimKind.REPLY

    @property
    def number(self) -> int:
        return self.branch

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None or self.outcome is None:
            return None
        branch = record.branch(self.branch)
        if branch is None or not branch.judging:
            return None
        step = Step(record, now, env.timing)
        judge(step, env, branch, self.outcome)
        return step


@dataclass(slots=True)
class CancelOutcomeEvent:
    """on_cancel has run: nothing changes but its claim and the variables."""

    key: bytes
    outcome: CancelOutcome | None = None

    kind: ClassVar[ClaimKind] = ClaimKind.CANCEL
    number: ClassVar[int] = 0

    def decide(self, env: Environment, record: Record | None, now: float) -> Step | Need | None:
        if record is None or record.claim(ClaimKind.CANCEL) is None:
            return None
        record.drop_claim(ClaimKind.CANCEL)
        if self.outcome is not None:
            merge_vars(record, self.outcome.vars_written, self.outcome.vars_deleted)
        return Step(record, now, env.timing)


OUTCOMES = (RequestOutcomeEvent, FailureOutcomeEvent, ReplyOutcomeEvent, CancelOutcomeEvent)
"""Each says of which work it is (orphans.py): `kind`, and `number` of the branch or attempt."""


def awaits(record: Record, kind: ClaimKind) -> bool:
    """Whether an outcome still counts: not when the call was answered meanwhile, by a CANCEL or a late 2xx."""
    return record.claim(kind) is not None and not record.final_status


def second_final(record: Record, action: Action | None) -> int:
    """The status of an answer that comes after another final; 0 where there is none (TXN-23)."""
    if not isinstance(action, Answer) or not record.final_status or action.status < 200:
        return 0
    return action.status if action.status != record.final_status else 0


def names_of(env: Environment, step: Step, action: Action | None, outcome: Outcome) -> set[Hop]:
    """Hops that an action needs and the cache does not have."""
    if action is None or isinstance(action, Answer):
        return set()
    message = outcome.parsed or (parse(outcome.message) if outcome.edited else step.request())
    groups = plan_relay(action, message.uri) if isinstance(action, Relay) else plan_fork(action)
    return {hop for hop in names_to_resolve(env, message, groups) if env.resolve(hop) is None}


def handler_request(record: Record) -> bytes:
    """The request as the on_request handlers left it (API 4.4)."""
    return apply_splices(record.request, unpack_splices(record.edits)) if record.edits else record.request
