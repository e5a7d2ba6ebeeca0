"""A request that arrives: a new record, a retransmission, an ACK or a CANCEL (RFC 3261 §16.3, §17.2, §9.2)."""

from __future__ import annotations

from dataclasses import dataclass

from siphon.engine.answers import answer, trying
from siphon.engine.cancelling import cancel_branches, is_live
from siphon.engine.environment import Environment
from siphon.forwarding.branch import BRANCH_LENGTH, loop_value, looped, matched_by_2543_rules
from siphon.forwarding.next_hop import refused_address
from siphon.forwarding.validate import Refusal, check_request
from siphon.sip.message import SipMessage, parse
from siphon.state.record import CancelCause, ClaimKind, Record
from siphon.transaction import invite_server, non_invite_server
from siphon.transaction.step import Step
from siphon.transaction.timing import Timing

NON_INVITE_TRYING_SECS = 3.5
"""RFC 4320 §4.1: no 100 to a non-INVITE over UDP before Timer E has reached T2."""


@dataclass(slots=True)
class Arrival:
    """A request as received: parsed, our received/rport in its top Via, and where it came in."""

    message: SipMessage
    source: tuple[str, int]
    listener: int
    local_ip: str
    arrived: float
    wall: float
    salt: int
    script_version: int


def reply_place(message: SipMessage, source: tuple[str, int]) -> tuple[str, int] | None:
    """Where responses go (RFC 3261 §18.2.2, RFC 3581 §4); None: to an address that nothing is ever sent to."""
    via = message.via
    if via.maddr is not None:
        host, port = via.maddr.decode("latin-1").strip("[]"), via.port or 5060
        return None if refused_address(host, port) else (host, port)
    if via.rport is not None or via.transport != "UDP":
        return source  # a sent-by of another transport is no UDP port (NAT-14)
    return source[0], via.port or 5060


def new_record(key: bytes, arrival: Arrival, env: Environment, now: float) -> Record:
    """The record in state `handling`: everything known of a request before any handler runs."""
    m = arrival.message
    r = Record(key, arrival.salt)
    r.method, r.invite = m.method, m.method == "INVITE"
    r.state = invite_server.State.PROCEEDING if r.invite else non_invite_server.State.TRYING
    r.created, r.wall, r.script_version = now, arrival.wall, arrival.script_version
    r.request, r.call_id, r.cseq = m.raw, m.call_id, m.cseq
    r.from_tag, r.to_tag = m.from_tag or b"", m.to_tag or b""
    r.listener, r.local_ip = arrival.listener, arrival.local_ip
    r.source_ip, r.source_port = arrival.source
    place = reply_place(m, arrival.source)
    r.reply_ip, r.reply_port = place if place is not None else arrival.source
    if env.settings.transaction.auto_emit_100_trying:
        delay = env.settings.transaction.auto_emit_100_trying_delay_ms / 1000
        r.trying_at = arrival.arrived + (delay if r.invite else NON_INVITE_TRYING_SECS)
    return r


def begin(key: bytes, arrival: Arrival, env: Environment, now: float) -> Step:
    """A new transaction: refused by the checks of §16.3, or claimed for its handlers."""
    record = new_record(key, arrival, env, now)
    step = Step(record, now, env.timing, parsed=arrival.message)
    refusal = check(arrival.message, env)
    if refusal is not None:
        answer(step, env, refusal.status, refusal.reason, refusal.headers)
    else:
        if record.invite and 0.0 < record.trying_at <= now:
            trying(step, env)  # it has waited for this worker: the handlers may let it wait even longer (TXN-01)
        env.claim(step, ClaimKind.REQUEST)
    return step


def check(message: SipMessage, env: Environment) -> Refusal | None:
    """The first of 400, 416, 483, 482, 420 that applies (PRX-01)."""
    return check_request(message, env.settings, looped=lambda: came_back(message, env))


def came_back(message: SipMessage, env: Environment) -> bool:
    """Whether the request was here before, unchanged (RFC 5393 §4.2)."""
    if message.via_count == 1 and len(message.via.branch) != BRANCH_LENGTH:
        return False  # no branch of ours: the value that is dear to make need not be compared
    return looped(message, loop_value(message, env.loop_key), env.identity)


def is_over(record: Record, now: float) -> bool:
    """The server transaction has ended: the same request again is a new one (TXN-13). Not while one of its branches
    still has to be cancelled or acknowledged: the new one would take its record's place."""
    return (
        bool(record.final_status)
        and now >= record.end_at
        and not (record.invite and any(map(is_live, record.branches)))
    )


def was_cancelled(record: Record, now: float, timing: Timing) -> bool:
    """A CANCEL has come and is not over (Timer J): its repeats get the same 200 (CAN-09)."""
    return bool(record.cancel_at) and now < record.cancel_at + timing.long


def is_other_dialog(record: Record, message: SipMessage) -> bool:
    """Under the rules of RFC 2543 the To tag is not part of the id and is compared here (TXN-16)."""
    return matched_by_2543_rules(message) and (message.to_tag or b"").lower() != record.to_tag.lower()


def is_ack_of_other(record: Record, message: SipMessage) -> bool:
    """Under the rules of RFC 2543 an ACK is that of our failure only when it has its To tag (RFC 3261 §17.2.3)."""
    if not matched_by_2543_rules(message) or record.final_status < 300 or not record.last_response:
        return False
    return (message.to_tag or b"").lower() != (parse(record.last_response).to_tag or b"").lower()


def repeated(step: Step) -> Step | None:
    """A retransmission: the last response again, or nothing."""
    if step.record.invite:
        invite_server.apply(step, invite_server.Event.REQUEST)
    else:
        non_invite_server.apply(step, non_invite_server.Event.REQUEST)
    return step if step.sends else None


def acknowledged(step: Step) -> Step | None:
    """An ACK that belongs to this INVITE; None when it changes nothing."""
    before = (step.record.state, step.record.resend_at)
    invite_server.apply(step, invite_server.Event.ACK)
    return step if before != (step.record.state, step.record.resend_at) else None


def cancelled(step: Step, env: Environment, cancel: SipMessage) -> Step:
    """A CANCEL that matches: 200 at once, then the branches (API 9.1). After a final, or for others: only the 200."""
    r = step.record
    pending = r.invite and not r.final_status
    first = not r.cancelled
    r.cancel_at = r.cancel_at or step.now
    if not pending:
        return step
    r.cancelled = True
    if not first:
        return step
    r.cancel_reason = b"\r\n".join(cancel.all_lines("Reason"))
    r.targets = b""
    cancel_branches(step, CancelCause.CALLER, r.cancel_reason)
    if env.script.has_cancel(r):
        env.claim(step, ClaimKind.CANCEL)
    if all(b.result for b in r.branches):
        for kind in (ClaimKind.REQUEST, ClaimKind.FAILURE):
            r.drop_claim(kind)
        answer(step, env, 487)
    return step
