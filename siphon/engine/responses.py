"""A response to one of our branches: matched, fed to the client transaction, then RFC 3261 §16.7.

In: the record it belongs to and the response. Out: a Step, or None when it is a stray (PRX-40). Where on_reply handlers
must see it first, `needs_reply_handlers` says so and the engine comes back with their outcome.
"""

from __future__ import annotations

from siphon.engine.answers import answer, respond
from siphon.engine.cancelling import ANSWERED_ELSEWHERE, cancel_branches, forwarded, send_cancel, sent_invite
from siphon.engine.contacts import as_received
from siphon.engine.environment import Environment
from siphon.engine.failover import fail_over, wants_rest
from siphon.engine.own import answered
from siphon.engine.results import fail_branch
from siphon.engine.settle import settle
from siphon.engine.variables import merge_vars
from siphon.forwarding.branch import Branch as OurBranch
from siphon.script.outcome import ReplyOutcome
from siphon.sip.build import ack_for
from siphon.sip.message import SipMessage, parse
from siphon.state.record import Branch, CancelCause, ClaimKind, Record
from siphon.transaction import invite_client, non_invite_client
from siphon.transaction.step import Step


def match(record: Record, ours: OurBranch, response: SipMessage, now: float) -> Branch | None:
    """The branch that a response belongs to (RFC 3261 §17.1.3); None: a stray, as is what comes after Timer D, K or M,
    though the record stays readable for a while."""
    if ours.salt != record.salt or response.call_id != record.call_id or response.cseq != record.cseq:
        return None
    if (response.from_tag or b"").lower() != record.from_tag.lower():  # a token (RFC 3261 §7.3.1)
        return None
    branch = record.branch(ours.index)
    if branch is None or response.cseq_method not in (record.method, "CANCEL"):
        return None
    if response.cseq_method == "CANCEL":
        return None if branch.cancel is None else branch
    if record.own and response.via_count > 1:
        return None  # RFC 3261 §8.1.3.3
    return None if 0.0 < branch.end_at <= now else branch


def names_its_sender(record: Record, branch: Branch, response: SipMessage) -> bool:
    """Whether the top Via has the sent-by that the branch was sent with: a script may force a host that is not ours."""
    if not branch.splices:
        return False
    sent, told = parse(forwarded(record, branch)).via, response.via
    return (sent.host.lower(), sent.port) == (told.host.lower(), told.port)


def needs_reply_handlers(record: Record, branch: Branch, response: SipMessage, env: Environment) -> bool:
    """Whether on_reply runs before the commit: a 1xx or 2xx that would go up. Failures are committed first."""
    status = response.status
    if response.cseq_method == "CANCEL" or not 100 < status < 300 or branch.dropped:
        return False
    if not env.script.has_reply(record) or response.via_count < 2:
        return False
    if not record.invite:
        return not record.final_status and _open(branch)
    if status < 200:
        return not record.cancelled and not record.final_status and not branch.cancel_by and _open(branch)
    return invite_client.State(branch.state) != invite_client.State.TERMINATED


def _open(branch: Branch) -> bool:
    return not branch.result


def decide(
    step: Step, env: Environment, branch: Branch, response: SipMessage, outcome: ReplyOutcome | None
) -> Step | None:
    """What a matched response changes and sends; None when it is discarded."""
    if response.cseq_method == "CANCEL":
        return _to_cancel(step, branch, response)
    if not _to_machine(step, branch, response.status):
        return None
    if step.acknowledge:
        step.downstream(branch, ack_for(sent_invite(step.record, branch), response))
    if step.record.own:
        answered(step, env, branch, response)
    elif step.deliver and response.via_count > 1:
        _deliver(step, env, branch, response, outcome)
    return step


def _to_cancel(step: Step, branch: Branch, response: SipMessage) -> Step | None:
    assert branch.cancel is not None
    event = non_invite_client.Event.FINAL if response.status >= 200 else non_invite_client.Event.PROVISIONAL
    return step if non_invite_client.apply(step, branch, branch.cancel, event) else None


def _to_machine(step: Step, branch: Branch, status: int) -> bool:
    r = step.record
    if not r.invite:
        event = non_invite_client.Event.FINAL if status >= 200 else non_invite_client.Event.PROVISIONAL
        if non_invite_client.State(branch.state) == non_invite_client.State.COMPLETED:
            return False  # Timer K: absorbed, and nothing changes
        return non_invite_client.apply(step, branch, branch, event)
    return invite_client.apply(step, branch, _invite_event(status))


def _invite_event(status: int) -> invite_client.Event:
    if status < 200:
        return invite_client.Event.PROVISIONAL
    return invite_client.Event.FINAL_2XX if status < 300 else invite_client.Event.FINAL_300


def _deliver(step: Step, env: Environment, branch: Branch, response: SipMessage, outcome: ReplyOutcome | None) -> None:
    branch.last_status = response.status
    if response.status == 503:
        wants_rest(step, branch, response)
    if outcome is not None:
        merge_vars(step.record, outcome.vars_written, outcome.vars_deleted)
    data = outcome.message if outcome is not None and outcome.edited else as_received(response, branch, env.settings)
    passed = outcome is None or outcome.passed
    if response.status < 200:
        _provisional(step, env, branch, response.status, data, passed, outcome)
    elif response.status < 300:
        _success(step, env, branch, response.status, data, passed, response.to_tag or b"")
    else:
        _failure(step, env, branch, response.status, data)


def _provisional(
    step: Step,
    env: Environment,
    branch: Branch,
    status: int,
    data: bytes,
    passed: bool,
    outcome: ReplyOutcome | None,
) -> None:
    r = step.record
    branch.provisional = True
    if status > 100 and branch.timer_c_at:
        branch.timer_c_at = step.now + step.timing.timer_c
    if branch.cancel_by or branch.result:
        send_cancel_late(step, branch)
        return
    if status == 100 or r.cancelled or r.final_status:
        return
    if outcome is not None and outcome.reject is not None:
        reject(step, env, *outcome.reject)
    elif passed and r.invite:  # not to others (RFC 4320 §4.1)
        respond(step, status, data)


def heard(step: Step, branch: Branch) -> bool:
    """Whatever the response says once its handlers are done: the callee has the INVITE. False: that was known."""
    if not step.record.invite or branch.state != invite_client.State.CALLING:
        return False
    invite_client.apply(step, branch, invite_client.Event.PROVISIONAL)
    branch.provisional = True
    if branch.cancel_by or branch.result:
        send_cancel_late(step, branch)
    return True


def send_cancel_late(step: Step, branch: Branch) -> None:
    """A provisional on a branch that was given up: now the CANCEL may go (CAN-03)."""
    if step.record.invite:
        if not branch.cancel_by:
            branch.cancel_by = CancelCause.ANSWERED
        send_cancel(step, branch)


def reject(step: Step, env: Environment, status: int, reason: str) -> None:
    """reply.reject(): the caller is answered, all branches are cancelled, their failures absorbed (API 8.1)."""
    r = step.record
    r.rejected = status
    r.targets = b""
    cancel_branches(step, CancelCause.REJECTED)
    answer(step, env, status, reason)


def _success(step: Step, env: Environment, branch: Branch, status: int, data: bytes, passed: bool, tag: bytes) -> None:
    """The first 2xx ends the others; every 2xx to an INVITE goes up, also after another final (PRX-44)."""
    r = step.record
    first = not branch.result or branch.cancel_by == CancelCause.RING
    branch.ring_at = branch.timer_c_at = branch.give_up_at = 0.0
    branch.response = b""
    if first:
        branch.result, branch.local = status, False
    if branch.dropped or not passed:
        _drop_2xx(step, env, branch)
        return
    if not r.invite and r.final_status:
        return
    r.targets = b""
    if r.invite and tag:
        step.opened = (tag, branch)
    r.drop_claim(ClaimKind.FAILURE)
    respond(step, status, data)
    cancel_branches(step, CancelCause.ANSWERED, ANSWERED_ELSEWHERE, but=branch)
    forget_failures(r)


def forget_failures(record: Record) -> None:
    """The call was answered: stored failures will not be sent any more."""
    for branch in record.branches:
        branch.response = branch.others = b""
        branch.judging = False
    record.claims = [c for c in record.claims if c.kind != ClaimKind.REPLY]


def _drop_2xx(step: Step, env: Environment, branch: Branch) -> None:
    """on_reply dropped a 2xx: the branch is over, the others are cancelled; the last one leaves 500 (API 8.3)."""
    r = step.record
    branch.dropped = True
    cancel_branches(step, CancelCause.ANSWERED, but=branch)
    r.targets = b""
    if not r.final_status and all(b.result for b in r.branches):
        answer(step, env, 500, "Response Dropped")


def _failure(step: Step, env: Environment, branch: Branch, status: int, data: bytes) -> None:
    if status != 503 or not fail_over(step, env, branch, status):
        fail_branch(step, env, branch, status, data)
    settle(step, env)


def unreachable(step: Step, env: Environment, branch: Branch) -> Step | None:
    """ICMP or a send error: as a 503 from that branch (RFC 3261 §16.9), at once."""
    r = step.record
    if r.invite:
        failed = invite_client.apply(step, branch, invite_client.Event.UNREACHABLE)
    else:
        failed = non_invite_client.apply(step, branch, branch, non_invite_client.Event.UNREACHABLE)
    if not failed:
        return _cancel_unreachable(step, branch)
    if branch.provisional or not fail_over(step, env, branch, 503):
        fail_branch(step, env, branch, 503)
    settle(step, env)
    return step


def _cancel_unreachable(step: Step, branch: Branch) -> Step | None:
    cancel = branch.cancel
    if cancel is None or not non_invite_client.apply(step, branch, cancel, non_invite_client.Event.UNREACHABLE):
        return None
    return step


def judge(step: Step, env: Environment, branch: Branch, outcome: ReplyOutcome) -> None:
    """on_reply has seen a failure that was committed before: its edits count, dropping it does not (API 8.3)."""
    r = step.record
    merge_vars(r, outcome.vars_written, outcome.vars_deleted)
    branch.judging = False
    r.drop_claim(ClaimKind.REPLY, branch.index)
    if outcome.edited and outcome.message:
        branch.response = outcome.message
    settle(step, env)
