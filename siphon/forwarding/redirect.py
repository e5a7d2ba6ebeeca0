"""What is left of a 3xx whose Contacts are followed (RFC 3261 §16.7 item 4).

In: the stored response, our Via already removed, and the URIs that are tried now. Out: the response without the
Contacts that equal one of them; None when that leaves none, for a 3xx that leads nowhere is no candidate for the best
response. Nothing raises: a Contact that cannot be parsed stays.
"""

from collections.abc import Sequence

from siphon.forwarding.trim import clean_target
from siphon.sip.draft import Draft
from siphon.sip.message import SipMessage
from siphon.sip.uri import NameAddr, Uri, same_uri


def without_followed(response: SipMessage, tried: Sequence[bytes]) -> bytes | None:
    """The bytes of the response that stays; those it has when nothing in it is tried."""
    contacts = response.values("Contact")
    uris = [uri for uri in map(_parsed, tried) if uri is not None]
    kept = [value for value in contacts if not _is_followed(value, uris)]
    if len(kept) == len(contacts):
        return response.raw
    if not kept:
        return None
    draft = Draft(response)
    draft.set("Contact", b", ".join(kept))
    return draft.to_bytes()


def _is_followed(value: bytes, uris: Sequence[Uri]) -> bool:
    try:
        contact = _parsed(NameAddr.parse(value).uri.to_bytes())
    except ValueError:
        return False
    return contact is not None and any(same_uri(contact, uri) for uri in uris)


def _parsed(target: bytes) -> Uri | None:
    """A URI as it stands in a Request-URI; None when it is none."""
    try:
        return Uri.parse(clean_target(target))
    except ValueError:
        return None
