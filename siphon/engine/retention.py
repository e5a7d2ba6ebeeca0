"""What a record need not keep any longer (DESIGN: "What a record keeps").

`compact` goes with every commit and loses nothing that can still be asked for. `shrink` is for a table without room: it
loses what only makes answers better.
"""

from __future__ import annotations

from siphon.sip.draft import Draft
from siphon.sip.message import parse
from siphon.state.record import Record
from siphon.transaction import invite_client, non_invite_client

LEAN_BYTES = 2048
"""A response that is kept in a lean record."""

_NEEDED = frozenset(
    ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "content-length", "l")
    + ("www-authenticate", "proxy-authenticate", "contact", "m")
)

_ENDED = (
    invite_client.State.TERMINATED,
    non_invite_client.State.COMPLETED,
    non_invite_client.State.TERMINATED,
)


def compact(record: Record) -> None:
    """An answered request without live branches shrinks to key, answer and To tag: only repeats can still come.

    An INVITE that was forwarded keeps its request: a late 2xx runs on_reply, a CANCEL may still be repeated.
    """
    if not record.final_status or record.claims or not record.request:
        return
    if record.invite and record.branches:
        return
    if any(branch.state not in _ENDED for branch in record.branches):
        return
    record.request = record.edits = record.attempt_edits = record.vars = record.consumed = record.targets = b""
    for branch in record.branches:
        branch.splices = branch.uri = branch.others = b""
        if not record.own:  # the answer to a request of ours is fetched by who waits for it
            branch.response = b""


def shrink(record: Record) -> None:
    """The lean form: without variables and without the bodies of stored responses, and what is long even so goes.

    What leaves now has been made already; only repeats are shorter. A provisional that went is not repeated.
    """
    record.vars = b""
    for branch in record.branches:
        branch.others = b""
        if branch.response and (branch.result >= 300 or record.own):
            branch.response = _lean(branch.response)
    if len(record.last_response) > LEAN_BYTES:
        record.last_response = _lean(record.last_response) if record.final_status else b""


def _lean(response: bytes) -> bytes:
    """The response without its body, and when it is long even so, with nothing but what its receiver must have."""
    if len(response) <= LEAN_BYTES:
        return response
    message = parse(response)
    draft = Draft(message)
    draft.set_body(b"")
    draft.remove("Content-Type")
    if len(draft.to_bytes()) <= LEAN_BYTES:
        return draft.to_bytes()
    for name in {message.line(number)[0].decode("latin-1").lower() for number in range(message.lines)}:
        if name not in _NEEDED:
            draft.remove(name)
    return draft.to_bytes()
