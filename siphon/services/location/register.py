"""A REGISTER applied to an address of record: a pure function (RFC 3261 §10.3, RFC 3327, RFC 5626 in part).

    prepare(facts, settings) -> Prepared, or the refusal      checks that need no record, in the script API's order
    change(record, prepared, settings, wall) -> result        checks against the bindings, and the new record

Whoever stores it repeats only `change` when somebody else was faster. A refused request changes nothing; a request
with several contacts is applied whole or not at all.

Chosen where the RFC leaves room: a contact that equals one binding by instance and another by URI takes the place of
both. With `force` every binding counts as touched for the CSeq rule, as with `*`. An instance that is a UUID is
compared without case. `auth_user` may carry the host of the address of record or the realm after an @.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import unquote

from siphon.config.settings import Registrar
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.changes import Event
from siphon.services.location.facts import RegisterFacts
from siphon.sip.uri import NameAddr, Uri, same_uri

SUPPORTED = ("path",)
MALFORMED_EXPIRES = 3600
LONGEST_EXPIRES = 2**32 - 1
_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """The answer to a REGISTER. `record` is the record to store, None when nothing changes.

    `contacts` are the bindings after it, `written` those of them that it has made or refreshed; `events` what happened
    to whom, for `on_change`; `adds` says that the record grew by a binding, which a nearly full store may refuse.
    `later`, a Wait of another RegisterResult, is there where the store has still to confirm: that one holds.
    """

    status: int
    reason: str
    headers: Headers = ()
    record: AddressRecord | None = None
    contacts: tuple[Binding, ...] = ()
    events: tuple[tuple[Event, Binding], ...] = ()
    written: tuple[Binding, ...] = ()
    adds: bool = False
    later: object = None

    @property
    def ok(self) -> bool:
        return self.status < 300


@dataclass(frozen=True, slots=True)
class Wanted:
    """One Contact value, understood. `lifetime` in seconds, 0 removes."""

    uri: Uri
    q: float
    params: tuple[tuple[str, str | None], ...]
    instance: str | None
    reg_id: str | None
    lifetime: int
    too_brief: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """A REGISTER whose own contents are in order."""

    facts: RegisterFacts
    wanted: tuple[Wanted, ...]
    everything: bool  # Contact: *


@dataclass(slots=True)
class _Change:
    """The bindings while the contacts of a request are applied one by one."""

    bindings: list[Binding]
    events: list[tuple[Event, Binding]] = field(default_factory=list)
    written: list[Binding] = field(default_factory=list)
    added: list[Binding] = field(default_factory=list)
    parsed: dict[str, Uri] = field(default_factory=dict)  # URIs of bindings, each parsed once a request


def apply_register(
    record: AddressRecord | None, facts: RegisterFacts, settings: Registrar, wall: float, epoch: str = ""
) -> RegisterResult:
    """The answer to this REGISTER and the record after it; `wall` is the time of its arrival."""
    prepared = prepare(facts, settings)
    if isinstance(prepared, RegisterResult):
        return prepared
    return change(record, prepared, settings, wall, epoch)


def prepare(facts: RegisterFacts, settings: Registrar) -> Prepared | RegisterResult:
    """The checks that need no record, in the order of the script API (11.1, items 1 to 8)."""
    unsupported = [option for option in facts.requires if option.lower() not in SUPPORTED]
    if unsupported:
        return RegisterResult(420, "Bad Extension", (("Unsupported", ", ".join(unsupported)),))
    if settings.enforce_auth_aor_match and facts.auth_user is not None and not _is_own(facts, facts.auth_user):
        return RegisterResult(403, "Forbidden")
    if not facts.aor:
        return RegisterResult(400, "To Is No SIP Address")
    if not facts.aor_is_ours:
        return RegisterResult(404, "Not Found")
    everything = any(value.strip() == b"*" for value in facts.contacts)
    try:
        wanted = tuple(
            read_contact(value, facts.expires, settings) for value in facts.contacts if value.strip() != b"*"
        )
    except ValueError:
        return RegisterResult(400, "Malformed Contact")
    if everything and (len(facts.contacts) > 1 or seconds(facts.expires) != 0):
        return RegisterResult(400, "Contact * Needs Expires 0 And No Other")
    if sum(contact.lifetime > 0 for contact in wanted) > settings.max_contacts:
        return RegisterResult(503, "Too Many Contacts")
    if any(contact.too_brief for contact in wanted):
        return RegisterResult(423, "Interval Too Brief", (("Min-Expires", str(settings.min_expires)),))
    return Prepared(facts, wanted, everything)


def change(
    record: AddressRecord | None,
    prepared: Prepared,
    settings: Registrar,
    wall: float,
    epoch: str = "",
    *,
    capped: bool = True,
) -> RegisterResult:
    """The rest: the bindings that are touched, their number, and the 200 (items 9 and 10). Not `capped`: another
    registrar has counted them."""
    facts = prepared.facts
    old = record if record is not None else AddressRecord(facts.aor)
    live = [b for b in old.bindings if b.is_live(wall)]
    if not facts.contacts:
        return _success(None, live, facts, wall)
    state = _Change([] if prepared.everything or facts.force else list(live))
    if prepared.everything or facts.force:
        if _is_out_of_order(live, facts):
            return OUT_OF_ORDER
        if prepared.everything:
            state.events = [(Event.DEREGISTERED, b) for b in live]
    for contact in prepared.wanted:
        touched = _matching(state.bindings, contact, state.parsed)
        if _is_out_of_order(touched, facts):
            return OUT_OF_ORDER
        _apply(state, contact, touched, _binding(contact, facts, wall, epoch), live if facts.force else ())
    if capped and state.added and len(state.bindings) > settings.max_contacts:
        if settings.max_contacts_action == "reject":
            return RegisterResult(503, "Too Many Contacts")
        _evict(state, settings.max_contacts)
    aliases = (facts.aliases or old.aliases) if state.bindings else ()
    new = replace(old, bindings=tuple(state.bindings), aliases=aliases)
    return _success(new, state.bindings, facts, wall, state)


OUT_OF_ORDER = RegisterResult(500, "CSeq Out Of Order")


def _is_own(facts: RegisterFacts, auth_user: str) -> bool:
    user = unquote(facts.aor_user)
    if auth_user == user:
        return True
    name, _, domain = auth_user.rpartition("@")
    return name == user and domain.lower() in (facts.aor_host.lower(), (facts.auth_realm or facts.aor_host).lower())


def read_contact(value: bytes, expires: bytes | None, settings: Registrar) -> Wanted:
    """ValueError when the value does not parse or its q is out of range."""
    contact = NameAddr.parse(value)
    known: dict[str, str | None] = {}
    others: list[tuple[str, str | None]] = []
    for name, text in contact.params:
        known.setdefault(name.lower(), text)
        if name.lower() not in ("q", "expires"):
            others.append((name, text))
    asked = seconds((known["expires"] or "").encode()) if "expires" in known else seconds(expires)
    lifetime = settings.default_expires if asked is None else asked
    return Wanted(
        uri=contact.uri,
        q=_q(known["q"] or "") if "q" in known else 1.0,
        params=tuple(others),
        instance=_unquoted(known.get("+sip.instance")),
        reg_id=_unquoted(known.get("reg-id")),
        lifetime=min(lifetime, settings.max_expires),
        too_brief=asked is not None and 0 < asked < settings.min_expires,
    )


def seconds(value: bytes | None) -> int | None:
    """A lifetime as sent; what is not a number counts as 3600, None when there is none."""
    if value is None:
        return None
    digits = value.strip()
    if not digits.isdigit():
        return MALFORMED_EXPIRES
    return min(int(digits), LONGEST_EXPIRES) if len(digits) < 20 else LONGEST_EXPIRES


def _q(text: str) -> float:
    if not _Q.fullmatch(text):
        raise ValueError(f"q {text!r}")
    return float(text)


def _unquoted(value: str | None) -> str | None:
    if value is None:
        return None
    text = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return text.lower() if text[:10].lower() == "<urn:uuid:" else text


def _matching(bindings: Iterable[Binding], contact: Wanted, parsed: dict[str, Uri]) -> list[Binding]:
    """The bindings that this contact stands for: by instance and reg-id first, then by URI."""
    same_instance: list[Binding] = []
    equal_uri: list[Binding] = []
    for binding in bindings:
        if contact.instance is not None and (binding.instance, binding.reg_id) == (contact.instance, contact.reg_id):
            same_instance.append(binding)
        elif _is_equal(binding.uri, contact.uri, parsed):
            equal_uri.append(binding)
    return same_instance + equal_uri


def is_same(one: Wanted, other: Wanted) -> bool:
    """Whether two Contacts stand for the same binding."""
    if one.instance is not None and (one.instance, one.reg_id) == (other.instance, other.reg_id):
        return True
    return same_uri(one.uri, other.uri)


def _is_equal(stored: str, uri: Uri, parsed: dict[str, Uri]) -> bool:
    """Equality of RFC 3261 §19.1.4; a stored URI that no longer parses equals only its own text."""
    if stored == str(uri):
        return True
    known = parsed.get(stored)
    if known is None:
        try:
            known = parsed[stored] = Uri.parse(stored)
        except ValueError:
            return False
    return same_uri(known, uri)


def _is_out_of_order(bindings: Iterable[Binding], facts: RegisterFacts) -> bool:
    """Whether one of them was stored by this Call-ID with a CSeq not lower, and not by this very transaction."""
    return any(
        b.call_id == facts.call_id and b.cseq >= facts.cseq and not _is_written_by(b, facts.transaction)
        for b in bindings
    )


def _is_written_by(binding: Binding, transaction: bytes) -> bool:
    """Whether this very transaction has written it: a repeated save(), or a re-run after a worker's death."""
    return bool(transaction) and binding.transaction == transaction


def _binding(contact: Wanted, facts: RegisterFacts, wall: float, epoch: str) -> Binding:
    return Binding(
        uri=str(contact.uri),
        q=contact.q,
        params=contact.params,
        instance=contact.instance,
        reg_id=contact.reg_id,
        call_id=facts.call_id,
        cseq=facts.cseq,
        expiry=wall + contact.lifetime,
        refreshed=wall,
        path=facts.path,
        transport=facts.transport,
        source=facts.source,
        local=facts.local,
        behind_nat=facts.behind_nat,
        flow_token=facts.flow_token,
        transaction=facts.transaction,
        epoch=epoch,
    )


def _apply(state: _Change, contact: Wanted, touched: list[Binding], new: Binding, before: Iterable[Binding]) -> None:
    """Put the contact into the bindings in the place of those it touches; `before` are those that `force` removed."""
    place = state.bindings.index(touched[0]) if touched else len(state.bindings)
    state.bindings = [b for b in state.bindings if b not in touched]
    state.written = [b for b in state.written if b not in touched]
    was_added = any(b in touched for b in state.added)
    state.added = [b for b in state.added if b not in touched]
    if contact.lifetime == 0:
        state.events += [(Event.DEREGISTERED, b) for b in touched]
        return
    state.bindings.insert(min(place, len(state.bindings)), new)
    state.written.append(new)
    if was_added or not touched:
        state.added.append(new)
    known = touched or _matching(before, contact, state.parsed)
    if not any(_is_written_by(b, new.transaction) for b in known):  # else its event was stored with it
        state.events.append((Event.REFRESHED if known else Event.REGISTERED, new))


def _evict(state: _Change, most: int) -> None:
    """Let bindings go until `most` are left: those with the instance of a new one first, then the stalest."""
    instances = {b.instance for b in state.added if b.instance is not None}
    candidates = sorted(
        (b for b in state.bindings if b not in state.written), key=lambda b: (b.instance not in instances, b.refreshed)
    )
    gone = candidates[: len(state.bindings) - most]
    state.bindings = [b for b in state.bindings if b not in gone]
    state.events += [(Event.DEREGISTERED, b) for b in gone]


def _success(
    new: AddressRecord | None, live: list[Binding], facts: RegisterFacts, wall: float, state: _Change | None = None
) -> RegisterResult:
    headers = [("Contact", contact_value(b, wall)) for b in live]
    headers.append(("Expires", str(max((b.remaining(wall) for b in live), default=0))))
    headers.append(("Date", date_of(int(wall))))
    if facts.wants_path:
        headers += [("Path", value) for value in facts.path]
    if state is None:
        return RegisterResult(200, "OK", tuple(headers), new, tuple(live))
    events, written = tuple(state.events), tuple(state.written)
    return RegisterResult(200, "OK", tuple(headers), new, tuple(live), events, written, bool(state.added))


@lru_cache(maxsize=2)
def date_of(second: int) -> str:
    """As a Date header has it; seconds since the epoch."""
    return formatdate(second, usegmt=True)


def contact_value(binding: Binding, wall: float) -> str:
    """The binding as a Contact value of a 200: remaining seconds, q when not 1, its other parameters as sent."""
    parts = [f"<{binding.uri}>", f"expires={binding.remaining(wall)}"]
    if binding.q != 1.0:
        parts.append("q=" + (f"{binding.q:.3f}".rstrip("0").rstrip(".") or "0"))
    parts += [name if value is None else f"{name}={value}" for name, value in binding.params]
    return ";".join(parts)
