"""REGISTERs that wait for `confirm_pending`: kept in the record as they came, applied when they are confirmed.

Not the bindings are kept but the request, since other REGISTERs may change the address of record meanwhile: the checks
against its bindings are made twice, when it is put aside and when it is confirmed. One that is not confirmed within
PENDING_SECS is as if it had never come. MOST may wait at a time, the newest of each Call-ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from siphon.services.location.facts import RegisterFacts
from siphon.services.store import BadRecord

PENDING_SECS = 32.0
MOST = 8


@dataclass(frozen=True, slots=True)
class Pending:
    """A REGISTER and when it came (wall time)."""

    facts: RegisterFacts
    wall: float

    def is_live(self, wall: float) -> bool:
        return abs(wall - self.wall) < PENDING_SECS  # both ways: wall time may be set back

    def flat(self) -> list[Any]:
        """For msgpack."""
        f = self.facts
        places = [*f.source, *f.local]
        texts = [f.aor, f.aor_user, f.aor_host, f.call_id, f.transport]
        maybe = [f.auth_user, f.auth_realm, f.flow_token]
        lists = [f.contacts, f.requires, f.path, f.aliases]
        flags = [f.aor_is_ours, f.wants_path, f.behind_nat, f.force]
        return [self.wall, f.cseq, f.transaction, f.expires, places, texts, maybe, lists, flags]


def pending_of(fields: object) -> Pending:
    """From what `flat` has made; BadRecord for anything else."""
    if type(fields) is not list or len(fields) != 9:
        raise BadRecord("shape of a pending request")
    wall, cseq, transaction, expires, places, texts, maybe, lists, flags = fields
    if type(wall) is not float or type(cseq) is not int or type(transaction) is not bytes:
        raise BadRecord("a pending request")
    if type(expires) not in (bytes, type(None)):
        raise BadRecord("expires of a pending request")
    aor, user, host, call_id, transport = _all(texts, 5, str)
    auth_user, auth_realm, token = _all(maybe, 3, str, type(None))
    contacts, requires, path, aliases = _all(lists, 4, list)
    ours, wants_path, behind_nat, force = _all(flags, 4, bool)
    ip, port, local_ip, local_port = _all(places, 4, str, int)
    source, local = _place(ip, port), _place(local_ip, local_port)
    facts = RegisterFacts(
        aor=aor,
        aor_user=user,
        aor_host=host,
        aor_is_ours=ours,
        call_id=call_id,
        cseq=cseq,
        transaction=transaction,
        source=source,
        local=local,
        contacts=tuple(_all(contacts, len(contacts), bytes)),
        expires=expires,
        requires=tuple(_all(requires, len(requires), str)),
        path=tuple(_all(path, len(path), str)),
        wants_path=wants_path,
        behind_nat=behind_nat,
        transport=transport,
        auth_user=auth_user,
        auth_realm=auth_realm,
        aliases=tuple(_all(aliases, len(aliases), str)),
        flow_token=token,
        force=force,
    )
    return Pending(facts, wall)


def _all(values: object, count: int, *types: type) -> list[Any]:
    if type(values) is not list or len(values) != count or any(type(value) not in types for value in values):
        raise BadRecord("type in a pending request")
    return values


def _place(ip: object, port: object) -> tuple[str, int]:
    if type(ip) is not str or type(port) is not int or not 0 <= port <= 65535:
        raise BadRecord("address of a pending request")
    return ip, port
