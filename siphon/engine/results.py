"""How a branch ends, and which of the failures goes up (RFC 3261 §16.7)."""

from __future__ import annotations

from siphon.engine.answers import answer, respond
from siphon.engine.environment import Environment
from siphon.forwarding.aggregate import (
    SEND_NOTHING,
    Candidate,
    Origin,
    best_response,
    merge_challenges,
    upstream_form,
    upstream_status,
)
from siphon.sip.message import parse
from siphon.state.record import Branch, CancelCause, ClaimKind, Record
from siphon.transaction import non_invite_server
from siphon.transaction.step import Step

REQUEST_TERMINATED = 487
REQUEST_TIMEOUT = 408
_ABSORBED = (CancelCause.ANSWERED, CancelCause.REJECTED)


def fail_branch(step: Step, env: Environment, branch: Branch, status: int, response: bytes = b"") -> None:
    """A branch has its result: `response` without our Via, empty when the failure was made here. The first one counts.

    What our own timer caused is a 408, whatever the branch says in the end; a branch that never answered the caller's
    CANCEL is a 487 (CAN-04).
    """
    branch.ring_at = branch.timer_c_at = branch.give_up_at = 0.0
    branch.others = b""
    if branch.result:
        return
    r = step.record
    if branch.cancel_by == CancelCause.TIMER_C:
        status, response = REQUEST_TIMEOUT, b""
    elif r.cancelled and not response:
        status = REQUEST_TERMINATED
    branch.result = status
    branch.local = not response
    branch.order = 1 + max(b.order for b in r.branches)
    if r.final_status or branch.cancel_by in _ABSORBED:
        return
    branch.response = response
    if not r.cancelled and not r.rejected and not r.own and env.script.has_reply(r):
        branch.judging = True
        env.claim(step, ClaimKind.REPLY, branch.index)


def best_branch(record: Record) -> Branch | None:
    """The branch whose failure goes up; failures of earlier attempts are candidates too."""
    failed = {b.index: b for b in record.branches if b.result >= 300 and not b.moved and b.cancel_by not in _ABSORBED}
    candidates = [_Judged(Candidate(b.result, origin_of(record, b), b.order), b.index) for b in failed.values()]
    best = best_response(candidates)
    return None if best is None else failed[best.index]


class _Judged:
    """A candidate that remembers its branch."""

    __slots__ = ("index", "order", "origin", "status")

    def __init__(self, candidate: Candidate, index: int) -> None:
        self.status, self.origin, self.order = candidate
        self.index = index


def origin_of(record: Record, branch: Branch) -> Origin:
    """Received, made here, or Timer F: a non-INVITE without any final (RFC 4320 §4.2)."""
    if not branch.local:
        return Origin.RECEIVED
    silent = branch.result == REQUEST_TIMEOUT and not record.invite and branch.cancel_by == CancelCause.NONE
    return Origin.TIMER_F if silent else Origin.LOCAL


def send_best(step: Step, env: Environment, edited: bytes | None = None) -> None:
    """Send the best failure, or `edited`, what on_failure made of it. None at all: 487 after a CANCEL, else 500."""
    r = step.record
    best = best_branch(r)
    if best is None:
        answer(step, env, REQUEST_TERMINATED if r.cancelled else 500)
        return
    if edited is None and not best.response:
        _send_local(step, env, best)
        return
    chosen = parse(edited if edited is not None else merged(r, best))
    form = upstream_form(chosen, origin_of(r, best), r.method)
    if form is None:
        end_silently(step)
    else:
        respond(step, parse(form).status, form)


def merged(record: Record, best: Branch) -> bytes:
    """The best failure with the challenges of all others (PRX-48)."""
    if best.result not in (401, 407):
        return best.response
    others = [b.response for b in record.branches if b is not best and b.result in (401, 407) and b.response]
    return merge_challenges(best.response, others)


def _send_local(step: Step, env: Environment, best: Branch) -> None:
    r = step.record
    status, reason = upstream_status(best.result, origin_of(r, best), r.method)
    if status == SEND_NOTHING:
        end_silently(step)
    else:
        answer(step, env, status, reason or None)


def end_silently(step: Step) -> None:
    """A non-INVITE that nobody answered: no final is sent (TXN-20). Its last repeats may still be on their way (T4)."""
    r = step.record
    r.state = non_invite_server.State.TERMINATED
    r.final_status = REQUEST_TIMEOUT
    r.trying_at = 0.0
    r.final_sent_at = step.now
    r.end_at = step.now + step.timing.t4
