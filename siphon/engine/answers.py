"""Responses that go upstream: those made here and those that were chosen, through the server transaction's table."""

from __future__ import annotations

from collections.abc import Sequence

from siphon.engine.environment import Environment
from siphon.forwarding.branch import to_tag
from siphon.sip.build import REASONS, response
from siphon.sip.message import parse
from siphon.state.record import Record
from siphon.transaction import invite_server, non_invite_server
from siphon.transaction.step import Step


def reason_of(status: int, reason: str | None = None) -> str:
    """The reason phrase given, else the standard one."""
    return reason if reason is not None else REASONS.get(status, "")


def answer(
    step: Step,
    env: Environment,
    status: int,
    reason: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> bool:
    """Make a response to the record's request and send it; False when the transaction takes none any more."""
    data = make(step, env, status, reason, headers)
    return respond(step, status, data)


def make(
    step: Step,
    env: Environment,
    status: int,
    reason: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """The response's bytes: Vias, From, To, Call-ID, CSeq of the request, our To tag (not in 100)."""
    tag = tag_of(step.record, env)
    return response(step.request(), status, reason_of(status, reason), tag, headers, body, server=env.server)


def tag_of(record: Record, env: Environment) -> bytes:
    """The To tag of answers made here: the script's, else an encryption of the record's key, the same each time."""
    return record.reply_to_tag or to_tag(record.key, env.tag_key)


def tag_for_cancel(record: Record, env: Environment) -> bytes:
    """The To tag of the 200 to a CANCEL (RFC 3261 §9.2): that of the final that had gone up before, also a branch's;
    else that of our answers. Of a forwarded 2xx to an INVITE nothing is kept, so that one has ours too."""
    was_pending = record.cancelled or 0.0 < record.cancel_at < record.final_sent_at
    if record.final_status and record.last_response and not was_pending:
        return parse(record.last_response).to_tag or tag_of(record, env)
    return tag_of(record, env)


def respond(step: Step, status: int, data: bytes) -> bool:
    """Feed a response to the server transaction; False when its table has no row for it (TXN-23)."""
    r = step.record
    if r.invite:
        event = invite_server.Event.FINAL_300
        if status < 200:
            event = invite_server.Event.PROVISIONAL
        elif status < 300:
            event = invite_server.Event.FINAL_2XX
        sent = invite_server.apply(step, event, data)
    else:
        final = non_invite_server.Event.FINAL
        sent = non_invite_server.apply(step, final if status >= 200 else non_invite_server.Event.PROVISIONAL, data)
    if sent and status >= 200 and not r.final_status:
        r.final_status = status
        r.final_sent_at = step.now
    return sent


def trying(step: Step, env: Environment) -> None:
    """The automatic 100: to an INVITE before anything else was answered, to others when they took 3.5 s (TXN-21)."""
    step.record.trying_at = 0.0
    if not step.record.last_response and not step.record.final_status:
        answer(step, env, 100)


def overdue(step: Step, env: Environment) -> None:
    """The caller must hear something: the 100; after a provisional with no branch to follow it, 500 (API 6.4)."""
    if step.record.last_response:
        step.record.trying_at = 0.0
        answer(step, env, 500)
    else:
        trying(step, env)
