"""Deadlines that have come: each is fed to its machine once, whichever worker fires it.

Several may be due at once, after a gap (a dead worker, a restart): each repeats its message once and starts its
interval anew from now, so a gap never ends in a burst.
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.engine.answers import answer, overdue
from siphon.engine.cancelling import cancel_branch, cancel_bytes, forwarded, is_live, send_cancel
from siphon.engine.environment import CLAIM_SECS, Environment
from siphon.engine.failover import fail_over
from siphon.engine.reliable import repeat
from siphon.engine.results import fail_branch
from siphon.engine.settle import settle
from siphon.state.record import NO_SLOT, Branch, CancelCause, Claim, ClaimKind, Client
from siphon.transaction import invite_client, invite_server, non_invite_client
from siphon.transaction.step import Step

MAX_RUNS = 2
"""A claim is re-run at most this often; then the caller gets 500."""

Alive = Callable[[int, int], bool]
"""Whether a slot still runs that generation."""


def due(at: float, now: float) -> bool:
    """An armed deadline that has come."""
    return 0.0 < at <= now


def fire(step: Step, env: Environment, alive: Alive) -> bool:
    """Everything that is due at step.now; False when nothing was."""
    r = step.record
    fired = False
    if due(r.trying_at, step.now):
        overdue(step, env)
        fired = True
    if due(r.resend_at, step.now):
        _resend(step, env)
        fired = True
    for branch in r.branches:
        fired = _branch(step, env, branch) or fired
    for claim in list(r.claims):
        if due(claim.deadline, step.now):
            _claim(step, env, claim, alive)
            fired = True
    if fired:
        settle(step, env)
    return fired


def _resend(step: Step, env: Environment) -> None:
    """An answer of ours is due again: a final that waits for its ACK, a reliable 1xx that waits for its PRACK."""
    r = step.record
    if r.state == invite_server.State.UNACKNOWLEDGED:
        repeat(step, env)
    elif step.now >= r.end_at:
        r.resend_at = 0.0
        return
    else:
        invite_server.apply(step, invite_server.Event.TIMER_G)
    if due(r.resend_at, step.now):
        r.resend_at = step.now + r.interval


def _branch(step: Step, env: Environment, branch: Branch) -> bool:
    now = step.now
    fired = False
    if due(branch.timeout_at, now):  # before the resend: what ends is not repeated
        _timeout(step, env, branch)
        fired = True
    if due(branch.resend_at, now):
        _resend_request(step, branch)
        fired = True
    if due(branch.ring_at, now):
        _ring(step, env, branch)
        fired = True
    if due(branch.timer_c_at, now):
        _timer_c(step, env, branch)
        fired = True
    if due(branch.give_up_at, now):
        branch.give_up_at = 0.0
        fail_branch(step, env, branch, 487 if branch.cancel_by != CancelCause.TIMER_C else 408)
        fired = True
    return _cancel(step, branch, branch.cancel) or fired if branch.cancel is not None else fired


def _resend_request(step: Step, branch: Branch) -> None:
    data = forwarded(step.record, branch)
    if step.record.invite:
        invite_client.apply(step, branch, invite_client.Event.TIMER_A, data)
    else:
        non_invite_client.apply(step, branch, branch, non_invite_client.Event.TIMER_E, data)
    if due(branch.resend_at, step.now):
        branch.resend_at = step.now + branch.interval


def _timeout(step: Step, env: Environment, branch: Branch) -> None:
    branch.timeout_at = 0.0
    if step.record.invite:
        timed_out = invite_client.apply(step, branch, invite_client.Event.TIMER_B)
    else:
        timed_out = non_invite_client.apply(step, branch, branch, non_invite_client.Event.TIMER_F)
    if timed_out and (branch.provisional or not fail_over(step, env, branch, 408)):
        fail_branch(step, env, branch, 408)


def _ring(step: Step, env: Environment, branch: Branch) -> None:
    """timeout= has expired: a local 408 at once; an INVITE branch is cancelled (API 7.7)."""
    branch.ring_at = 0.0
    if branch.result:
        return
    if step.record.invite and is_live(branch):
        cancel_branch(step, branch, CancelCause.RING)
    else:
        branch.cancel_by = CancelCause.RING
        branch.state = non_invite_client.State.TERMINATED
        branch.resend_at = branch.timeout_at = 0.0
    give_up_at = branch.give_up_at
    fail_branch(step, env, branch, 408)
    branch.give_up_at = give_up_at


def _timer_c(step: Step, env: Environment, branch: Branch) -> None:
    """No final within Timer C: cancelled after a provisional, given up without (RFC 3261 §16.8)."""
    branch.timer_c_at = 0.0
    if branch.provisional and is_live(branch):
        branch.cancel_by = CancelCause.TIMER_C
        send_cancel(step, branch)
        return
    branch.state = invite_client.State.TERMINATED
    branch.resend_at = branch.timeout_at = 0.0
    fail_branch(step, env, branch, 408)


def _cancel(step: Step, branch: Branch, cancel: Client) -> bool:
    fired = False
    if due(cancel.timeout_at, step.now):
        non_invite_client.apply(step, branch, cancel, non_invite_client.Event.TIMER_F)
        fired = True
    if due(cancel.resend_at, step.now):
        data = cancel_bytes(step.record, branch)
        non_invite_client.apply(step, branch, cancel, non_invite_client.Event.TIMER_E, data)
        if due(cancel.resend_at, step.now):
            cancel.resend_at = step.now + cancel.interval
        fired = True
    return fired


def _claim(step: Step, env: Environment, claim: Claim, alive: Alive) -> None:
    """Look after a claim: renewed while its claimant lives, claimed again when it died, 500 when that does not help."""
    if claim.slot != NO_SLOT and alive(claim.slot, claim.generation):
        claim.deadline = step.now + CLAIM_SECS
        return
    runs = claim.runs + (claim.slot != NO_SLOT)
    kind = ClaimKind(claim.kind)
    if runs <= MAX_RUNS:
        env.claim(step, kind, claim.branch, runs)
        return
    give_up_claim(step, env, kind, claim.branch)


def give_up_claim(step: Step, env: Environment, kind: ClaimKind, branch_index: int) -> None:
    """Handlers that cannot be run: the answer is 500, what follows a final is dropped."""
    r = step.record
    r.drop_claim(kind, branch_index)
    branch = r.branch(branch_index)
    if kind == ClaimKind.REPLY and branch is not None:
        branch.judging = False
    elif kind in (ClaimKind.REQUEST, ClaimKind.FAILURE) and not r.final_status:
        answer(step, env, 500, "Script Error")
