"""`nat.fix_contact`: the Contact of a response becomes the address that the response came from (API 16.4).

Before on_reply sees it. Only where the Contact is the sender's own: in a 101-299. A 3xx or 4xx names others in it, and
so does the answer to a REGISTER. The source is the address that the branch was sent to: behind NAT there is no other.
"""

from __future__ import annotations

from siphon.config.settings import Settings
from siphon.script.reply import Reply
from siphon.sip.build import strip_top_via
from siphon.sip.message import SipMessage, parse
from siphon.sip.uri import NameAddr
from siphon.state.record import Branch


def as_received(response: SipMessage, branch: Branch, settings: Settings) -> bytes:
    """The response without our Via, as on_reply handlers get it and as it goes up where nobody edits it."""
    data = strip_top_via(response)
    if not settings.nat.fix_contact or not 100 < response.status < 300 or response.cseq_method == "REGISTER":
        return data
    message = parse(data)
    if not _is_sip(message.first("Contact") or b""):
        return data
    reply = Reply(message, (branch.ip, branch.port))
    reply.fix_nated_contact()
    return reply._bytes()[0]


def _is_sip(contact: bytes) -> bool:
    """Whether it has a host and a port that can be set: not `*`, tel or nonsense."""
    try:
        return NameAddr.parse(contact).uri.scheme.lower() in ("sip", "sips")
    except ValueError:
        return False
