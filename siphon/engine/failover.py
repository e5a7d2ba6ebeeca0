"""The next address of the same target, inside the same slot of the attempt (RFC 3263 §4.3, RFC 3261 §16.7 item 6).

After a 503, an ICMP or send error, or silence until Timer B or F. The copy for the next address is a branch of its own,
with a new branch parameter; the one before has `moved`: it is no candidate for the best response and nobody waits for
it, but its record stays, so that repeats are acknowledged and a provisional that comes late is cancelled.
"""

from __future__ import annotations

import re

from siphon.engine.attempts import attempt_base, start_branch
from siphon.engine.environment import Environment
from siphon.engine.plan import unpack_plans
from siphon.sip.message import SipMessage
from siphon.state.record import Branch
from siphon.transaction.step import Step

_SECONDS = re.compile(rb"\s*([0-9]{1,9})")


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


def wants_rest(step: Step, branch: Branch, response: SipMessage) -> None:
    """Take note of the Retry-After of a 503 where the target has more addresses than this one (DNS-06)."""
    several = branch.others or any(b.moved and b.uri == branch.uri for b in step.record.branches)
    seconds = retry_after(response) if response.status == 503 and several else 0.0
    if seconds:
        step.rest = ((branch.ip, branch.port), seconds)


def retry_after(response: SipMessage) -> float:
    """The seconds of Retry-After; 0.0 where there is none that can be read."""
    found = _SECONDS.match(response.first("Retry-After") or b"")
    return float(found[1]) if found else 0.0


def rested(step: Step, env: Environment) -> None:
    """Tell all workers of the address that wants a rest, once the step has been committed."""
    if step.rest is not None and env.rests is not None:
        r = step.record
        env.rests.note(*step.rest, r.wall + max(0.0, step.now - r.created))
