"""Which deadline of a record comes next, and how long the record must stay readable.

Both follow from the record alone, so that any worker that reads it knows when to act: the last committer arms the
earliest deadline of the whole record (siphon/engine/engine.py), the table expires what is past its last one.
"""

from __future__ import annotations

from collections.abc import Iterator

from siphon.state.record import Branch, Record

PENDING_GRACE = 240.0
"""Seconds that a record without a final outlives its last deadline: longer than any handler or Timer C may take."""


def deadlines(record: Record) -> Iterator[float]:
    """Every armed deadline at which something must be done."""
    yield record.trying_at
    yield record.resend_at
    for branch in record.branches:
        yield from _of_branch(branch)
    for claim in record.claims:
        yield claim.deadline


def _of_branch(branch: Branch) -> Iterator[float]:
    yield branch.resend_at
    yield branch.timeout_at
    yield branch.ring_at
    yield branch.timer_c_at
    yield branch.give_up_at
    if branch.cancel is not None:
        yield branch.cancel.resend_at
        yield branch.cancel.timeout_at


def next_deadline(record: Record) -> float:
    """The earliest armed deadline; 0.0 when nothing is to be done."""
    return min((at for at in deadlines(record) if at > 0.0), default=0.0)


def expiry(record: Record, linger: float, timer_j: float) -> float:
    """When the record may go: `linger` after its last timer (TXN-25), Timer J longer after a CANCEL or a PRACK."""
    last = max(record.end_at, record.created, record.prack_until, *deadlines(record))
    for branch in record.branches:
        last = max(last, branch.end_at)
        if branch.cancel is not None:
            last = max(last, branch.cancel.end_at)
    if not record.final_status:
        return last + PENDING_GRACE
    if record.cancel_at:
        last = max(last, record.cancel_at + timer_j)
    return last + linger
