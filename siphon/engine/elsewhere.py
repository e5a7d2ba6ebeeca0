"""A final that an INVITE has had elsewhere: the caller's ACK tells of it (docs/decisions/refused-by-another-node.md).

A node that cannot reach the store, or takes no new work, answers what it does not know with a stateless 503. That may
be a copy of an INVITE which another node serves. The caller takes it for the end of its call, and acknowledges it:

    caller              node 1 (serves the call)        node 2 (has no store)
    INVITE -----------> record, branch: it rings
    INVITE again ---------------------------------------> 503
    ACK --------------> no final of ours: ended here, CANCEL to the branch

An ACK that has the branch of the INVITE and our To tag is for a final that was made of this very request, other than a
2xx. Nobody can make that tag but the nodes.
"""

from __future__ import annotations

from siphon.engine.cancelling import cancel_branches
from siphon.engine.environment import Environment
from siphon.engine.responses import forget_failures
from siphon.forwarding.branch import transaction_id, transaction_of_tag
from siphon.sip.message import SipMessage
from siphon.state.record import CancelCause, ClaimKind
from siphon.transaction import invite_server
from siphon.transaction.step import Step

REFUSED = 503
"""The status that is noted of it: what a node answers that knows no better."""


def says_final(key: bytes, ack: SipMessage, env: Environment) -> bool:
    """Whether an ACK is one to a final of ours to the INVITE with this key, other than a 2xx."""
    return transaction_of_tag(ack.to_tag or b"", env.tag_key) == key == transaction_id(ack, env.id_key)


def end(step: Step) -> Step:
    """The call is over for its caller: the branches are cancelled, and nothing goes up but a 2xx that crosses."""
    r = step.record
    invite_server.apply(step, invite_server.Event.ACK_OF_OTHER)
    r.final_status, r.final_sent_at = REFUSED, step.now
    r.targets = b""
    for kind in (ClaimKind.REQUEST, ClaimKind.FAILURE):
        r.drop_claim(kind)
    cancel_branches(step, CancelCause.ANSWERED)
    forget_failures(r)
    return step
