"""What follows when branches have ended: next targets, on_failure, or the best failure (RFC 3261 §16.7, API 8.4)."""

from __future__ import annotations

from siphon.engine.answers import answer
from siphon.engine.attempts import start_next, start_waiting
from siphon.engine.cancelling import cancel_branches
from siphon.engine.environment import Environment
from siphon.engine.own import finish
from siphon.engine.results import best_branch, send_best
from siphon.state.record import Branch, CancelCause, ClaimKind, Record
from siphon.transaction.step import Step


def settle(step: Step, env: Environment) -> None:
    """Bring the attempt forward as far as it goes now; does nothing while a branch or a handler is still awaited."""
    r = step.record
    if r.own:
        finish(step)
        return
    while not _decided(r):
        if any(600 <= b.result < 700 for b in _attempt(r)):
            cancel_branches(step, CancelCause.DECLINED)
            r.targets = b""
        if any(not b.result or b.judging for b in _attempt(r)):
            if not start_waiting(step, env):
                return
        elif not r.targets or r.cancelled:
            finish_attempt(step, env)
            return
        else:
            start_next(step, env)


def _decided(record: Record) -> bool:
    waiting = record.claim(ClaimKind.REQUEST) or record.claim(ClaimKind.FAILURE) or not record.attempts
    return bool(record.final_status or record.rejected or waiting)


def _attempt(record: Record) -> list[Branch]:
    return [b for b in record.branches if b.index >= record.attempt_first]


def finish_attempt(step: Step, env: Environment) -> None:
    """All branches have failed: on_failure decides where there is one, else the best failure goes up."""
    r = step.record
    best = best_branch(r)
    if not r.cancelled and any(b.dropped for b in r.branches):
        answer(step, env, 500, "Response Dropped")
    elif best is None:
        answer(step, env, 487 if r.cancelled else 500)
    elif r.cancelled or best.result == 487 or not env.script.has_failure(r):
        send_best(step, env)
    else:
        env.claim(step, ClaimKind.FAILURE)
