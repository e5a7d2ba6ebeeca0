"""When a dialog record is written, read and removed (API 16.5).

Written before the commit that sends the 2xx: a death between the two leaves a record that nobody asks for. Read by
decisions as a fact, as names are. Removed before the commit that sends the BYE's final: a death between the two leaves
none behind, and a BYE that comes again is found by its own record.
"""

from __future__ import annotations

from siphon.engine.environment import Environment
from siphon.forwarding.routes import RouteFacts, loose_route
from siphon.services.dialogs import Place
from siphon.sip.message import SipMessage
from siphon.state.record import Branch, Record
from siphon.transaction.step import Step


def opened(step: Step, env: Environment) -> None:
    """Remember the dialog that this step's 2xx opens, if it opens one."""
    if step.opened is None:
        return
    r = step.record
    tag, branch = step.opened
    if env.cdr is not None:
        env.cdr.answered(r, branch, tag, step.now)
    if env.dialogs is None:
        return
    wall = r.wall + max(0.0, step.now - r.created)
    env.dialogs.remember(r.call_id, r.from_tag, tag, caller_place(r), callee_place(branch), wall)


def awaited(step: Step, env: Environment) -> None:
    """Remember which INVITE this step answers, where the To tag of the answer is not of our making: the ACK or PRACK
    must find its record (a re-INVITE, or set_reply_to_tag)."""
    r = step.record
    tag = r.to_tag or r.reply_to_tag
    if not step.awaited or not tag or env.dialogs is None:
        return
    wall = r.wall + max(0.0, step.now - r.created)
    env.dialogs.remember_answer(r.call_id, r.from_tag, tag, r.key, wall, 2 * step.timing.long + step.timing.linger)


def answered(env: Environment, message: SipMessage) -> bytes | None:
    """The INVITE answered here whose dialog the message is in; None when none was remembered."""
    if env.dialogs is None or not message.to_tag:
        return None
    return env.dialogs.answered(message.call_id, message.from_tag or b"", message.to_tag)


def closed(step: Step, env: Environment) -> None:
    """Forget the dialog whose BYE is answered by this step; a call that ends, or has failed, is written down."""
    r = step.record
    if r.final_sent_at != step.now:
        return
    if env.dialogs is not None and r.method == "BYE" and r.to_tag:
        env.dialogs.forget(r.call_id, r.from_tag, r.to_tag)
    if env.cdr is not None:
        env.cdr.final(r, step.now)


def caller_place(record: Record) -> Place:
    """Where the caller's requests came from."""
    return Place(record.source_ip, record.source_port, record.listener, record.local_ip)


def callee_place(branch: Branch) -> Place:
    """Where the branch that answered was sent to."""
    return Place(branch.ip, branch.port, branch.listener, branch.local_ip)


def in_known_dialog(env: Environment, message: SipMessage) -> bool:
    """Whether a Route that we signed for this Call-ID, or a dialog record, vouches for an in-dialog request. A Route
    that merely names us does not: anybody can write that."""
    if not message.to_tag:
        return False
    if env.signer is not None and loose_route(RouteFacts.of(message), env.identity, env.signer).accepted:
        return True
    return peer(env, message.call_id, message.from_tag or b"", message.to_tag) is not None


def peer(env: Environment, call_id: bytes, from_tag: bytes, to_tag: bytes) -> Place | None:
    """The recorded place of the side that did not send this request; None when no dialog is known."""
    if env.dialogs is None or not to_tag:
        return None
    return env.dialogs.peer(call_id, from_tag, to_tag)
