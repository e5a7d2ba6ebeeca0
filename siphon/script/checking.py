"""What handlers left must still be a message, and of the same transaction: else the handler has raised."""

from __future__ import annotations

from siphon.sip.errors import BadResponse, NotSip, PeerError
from siphon.sip.message import SipMessage, parse


def parsed(data: bytes) -> SipMessage:
    """The edited message; ValueError when it cannot be parsed."""
    try:
        return parse(data)
    except (PeerError, BadResponse, NotSip) as error:
        raise ValueError(f"the edits leave no valid message: {error or type(error).__name__}") from None


def checked(data: bytes, before: SipMessage) -> SipMessage:
    """The edited message, parsed. ValueError when it cannot be, or when an edit changed what names its transaction:
    Call-ID, From tag, CSeq (RFC 3261 §17.1.3). Answers to it would belong to nobody. The To tag of a response names
    its dialog: a proxy never changes it."""
    after = parsed(data)
    for name, old, new in (
        ("Call-ID", before.call_id, after.call_id),
        ("From tag", before.from_tag, after.from_tag),
        ("CSeq", (before.cseq, before.cseq_method), (after.cseq, after.cseq_method)),
        ("To tag", before.is_request or before.to_tag, before.is_request or after.to_tag),
    ):
        if old != new:
            raise ValueError(f"the {name} names the transaction or dialog and cannot be changed")
    return after
