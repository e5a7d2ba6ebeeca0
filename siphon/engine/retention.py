"""What a record need not keep any longer (DESIGN: "What a record keeps").

`compact` goes with every commit and loses nothing that can still be asked for. `shrink` is for a table without room: it
loses what only makes answers better.
"""

from __future__ import annotations

from siphon.state.record import Record
from siphon.transaction import invite_client, non_invite_client

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
        branch.splices = branch.response = branch.uri = b""


def shrink(record: Record) -> None:
    """The lean form: without bodies of stored failures and variables."""
    record.vars = b""
    for branch in record.branches:
        if branch.response and branch.result >= 300:
            branch.response, branch.local = b"", True
    if record.final_status and len(record.last_response) > 1024:
        record.last_response = b""
