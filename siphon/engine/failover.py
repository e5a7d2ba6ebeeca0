"""The next address of the same target, inside the same slot of the attempt (RFC 3263 §4.3, RFC 3261 §16.7 item 6).

After a 503, an ICMP or send error, or silence until Timer B or F. The copy for the next address is a branch of its own,
with a new branch parameter; the one before has `moved`: it is no candidate for the best response and nobody waits for
it, but its record stays, so that repeats are acknowledged and a provisional that comes late is cancelled.
"""

from __future__ import annotations

from siphon.engine.attempts import attempt_base, start_branch
from siphon.engine.environment import Environment
from siphon.engine.plan import unpack_plans
from siphon.state.record import Branch
from siphon.transaction.step import Step


def fail_over(step: Step, env: Environment, branch: Branch, status: int) -> bool:
    """Start the target's next address instead of a branch that has ended with `status`; False when there is none, or
    when nobody wants it any more."""
    r = step.record
    unwanted = r.cancelled or r.final_status or r.rejected or branch.result or branch.cancel_by
    if not branch.others or unwanted or 0.0 < branch.ring_at <= step.now:
        return False
    ((plan,),) = unpack_plans(branch.others)
    ring_at = branch.ring_at
    branch.result, branch.local, branch.moved = status, True, True
    branch.others = b""
    branch.ring_at = branch.timer_c_at = branch.give_up_at = 0.0
    start_branch(step, env, attempt_base(step), plan, plan.breadth, ring_at)
    return True
