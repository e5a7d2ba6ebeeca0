"""What every stored record must be like, whatever has happened before."""

from __future__ import annotations

from siphon.engine.cancelling import is_live
from siphon.state.deadlines import next_deadline
from siphon.state.record import ClaimKind, Record


def wrong(record: Record) -> str:
    """What is wrong with a record; "" when nothing is."""
    if not record.final_status:
        return _pending(record)
    if record.claim(ClaimKind.REQUEST) or record.claim(ClaimKind.FAILURE):
        return "handlers that could still answer, after the final"
    return _branches(record, cancelled=True)


def _pending(record: Record) -> str:
    if not next_deadline(record):
        return "a record without final and without deadline"
    if not record.claims and not record.trying_at and all(branch.result for branch in record.branches):
        return "a record without final that waits for nothing"
    if record.cancelled and all(branch.result and not branch.judging for branch in record.branches):
        return "a cancelled call whose branches have all ended"
    declined = any(600 <= branch.result < 700 and branch.index >= record.attempt_first for branch in record.branches)
    return _branches(record, cancelled=record.cancelled or (declined and not record.claim(ClaimKind.FAILURE)))


def _branches(record: Record, cancelled: bool) -> str:
    if not record.invite:
        return ""
    for branch in record.branches:
        if is_live(branch) and cancelled and not branch.cancel_by:
            return f"branch {branch.index} goes on and nobody cancels it"
        if is_live(branch) and branch.cancel_by and branch.provisional and branch.cancel is None:
            return f"branch {branch.index} is not sent the CANCEL that waited for its provisional"
    return ""
