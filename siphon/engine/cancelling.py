"""CANCELs that we send, and why (RFC 3261 §9.1, §16.10).

A CANCEL waits until its branch has had a provisional; until then the INVITE goes on (CAN-03). It is built from that
branch's INVITE and is a non-INVITE client transaction of its own, kept in the branch.
"""

from __future__ import annotations

from siphon.sip.build import cancel_for
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import apply_splices, diff_splices, pack_splices, unpack_splices
from siphon.state.record import Branch, CancelCause, Client, Record
from siphon.transaction import invite_client, non_invite_client
from siphon.transaction.step import Step

ANSWERED_ELSEWHERE = b"SIP;cause=200"
_LIVE = (invite_client.State.CALLING, invite_client.State.PROCEEDING)


def forwarded(record: Record, branch: Branch) -> bytes:
    """The branch's copy of the request, byte for byte as it was first sent.

    A branch of the running attempt is kept relative to what the handlers left for that attempt, so that their edits
    lie in the record once and not in every branch.
    """
    base = attempt_bytes(record) if branch.index >= record.attempt_first else record.request
    return apply_splices(base, unpack_splices(branch.splices))


def attempt_bytes(record: Record) -> bytes:
    """The request as the handlers of the running attempt left it."""
    if not record.attempt_edits:
        return record.request
    return apply_splices(record.request, unpack_splices(record.attempt_edits))


def settle_splices(record: Record) -> None:
    """A new attempt begins: branches of the last one become relative to the request as received."""
    if not record.attempt_edits:
        return
    for branch in record.branches:
        if branch.index >= record.attempt_first and branch.splices:
            branch.splices = pack_splices(diff_splices(record.request, forwarded(record, branch)))


def is_live(branch: Branch) -> bool:
    """An INVITE branch that has had no final."""
    return branch.state in _LIVE


def cancel_branches(step: Step, cause: CancelCause, reason: bytes = b"", but: Branch | None = None) -> None:
    """Cancel every live branch except `but`, of all attempts."""
    if not step.record.invite:
        return
    for branch in step.record.branches:
        if branch is not but and is_live(branch):
            cancel_branch(step, branch, cause, reason)


def cancel_branch(step: Step, branch: Branch, cause: CancelCause, reason: bytes = b"") -> None:
    """Send the branch a CANCEL, or hold it until a provisional comes. Repeating it changes only who asked."""
    if branch.cancel_by == CancelCause.NONE or cause == CancelCause.CALLER:
        branch.cancel_by = cause
        branch.cancel_reason = reason
    branch.ring_at = 0.0
    if branch.provisional:
        send_cancel(step, branch)
    elif cause == CancelCause.RING:
        branch.resend_at = 0.0


def send_cancel(step: Step, branch: Branch) -> None:
    """Start the CANCEL's own transaction, once."""
    if branch.cancel is not None:
        return
    branch.cancel = Client()
    branch.cancel.state = non_invite_client.State.TRYING
    branch.give_up_at = step.now + step.timing.long
    branch.timer_c_at = 0.0
    data = cancel_bytes(step.record, branch)
    non_invite_client.apply(step, branch, branch.cancel, non_invite_client.Event.START, data)


def cancel_bytes(record: Record, branch: Branch) -> bytes:
    """The CANCEL of that branch; equal bytes each time (CAN-02)."""
    reasons = branch.cancel_reason.split(b"\r\n") if branch.cancel_reason else []
    return cancel_for(sent_invite(record, branch), reasons)


def sent_invite(record: Record, branch: Branch) -> SipMessage:
    """The branch's request, parsed."""
    return parse(forwarded(record, branch))
