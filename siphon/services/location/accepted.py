"""A REGISTER that another registrar has accepted, as `save_proxy` remembers it (API 11.2).

How long a contact lives is that registrar's word: the `expires` of the Contact in its response that stands for it, else
the response's Expires. It is neither lowered nor counted here, and kept GRACE_SECS longer, so that the phone's refresh
may take its time through both of us. A contact that the request has taken off is gone, whatever the response says: its
Expires header speaks of those that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from siphon.config.settings import Registrar
from siphon.services.location.facts import RegisterFacts
from siphon.services.location.register import Prepared, Wanted, is_same, read_contact, seconds
from siphon.sip.uri import NameAddr

GRACE_SECS = 32


@dataclass(frozen=True, slots=True)
class Granted:
    """What the response says: its Contact values and its Expires, as sent."""

    contacts: Sequence[bytes] = ()
    expires: bytes | None = None


def prepare_accepted(facts: RegisterFacts, granted: Granted, settings: Registrar) -> Prepared:
    """The request with the lifetimes that were granted; ValueError where the response names none, or for a Contact that
    does not parse."""
    if any(value.strip() == b"*" for value in facts.contacts):
        return Prepared(facts, (), everything=True)
    wanted = [read_contact(value, facts.expires, settings) for value in facts.contacts]
    known = [contact for value in granted.contacts if (contact := _parsed(value, settings)) is not None]
    return Prepared(facts, tuple(replace(w, lifetime=_lifetime(w, known, granted)) for w in wanted), everything=False)


def _parsed(value: bytes, settings: Registrar) -> tuple[Wanted, bytes | None] | None:
    """A Contact of the response and its `expires` parameter; None where it does not parse."""
    try:
        contact = read_contact(value, None, settings)
        params = NameAddr.parse(value).params
    except ValueError:
        return None
    found = next(((text or "").encode() for name, text in params if name.lower() == "expires"), None)
    return contact, found


def _lifetime(wanted: Wanted, known: Sequence[tuple[Wanted, bytes | None]], granted: Granted) -> int:
    """Seconds that the binding is kept."""
    if wanted.lifetime == 0:
        return 0
    named = next((expires for contact, expires in known if is_same(contact, wanted)), None)
    lifetime = seconds(granted.expires if named is None else named)
    if lifetime is None:
        raise ValueError(f"the response names no lifetime for {wanted.uri}")
    return lifetime + GRACE_SECS if lifetime else 0
