"""What a registrar must know of one REGISTER, and the reading of it from a message.

`RegisterFacts` is a value: it can be made by hand in a test, kept while a store is waited for, and applied again to
a newer record. `register_facts` reads it from a message as the handlers left it; it raises ValueError only for an
address of record with control characters, everything else that is wrong with the request is answered by `register`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from siphon.services.location.aor import Identity, address_of_record_of
from siphon.sip.hosts import canonical_host
from siphon.sip.uri import NameAddr
from siphon.state.store import Wait

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Via(Protocol):
    """The top Via, as far as it says where the client thinks that it is."""

    @property
    def host(self) -> bytes: ...
    @property
    def port(self) -> int: ...


class Message(Protocol):
    """What is asked of a REGISTER; the parsed message fits it."""

    @property
    def to_value(self) -> bytes: ...
    @property
    def call_id(self) -> bytes: ...
    @property
    def cseq(self) -> int: ...
    @property
    def via(self) -> Via: ...

    def values(self, name: str) -> list[bytes]: ...
    def first(self, name: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class RegisterFacts:
    """One REGISTER. `contacts` are header values as sent; `transaction` is the id of its server transaction. Nothing is
    stored before each Wait of `after` has given True: other nodes have still to agree that its nonce count is new."""

    aor: str  # in the form of `address_of_record_of`; "" when the To is not sip or sips
    aor_user: str
    aor_host: str
    aor_is_ours: bool
    call_id: str
    cseq: int
    transaction: bytes
    source: tuple[str, int]
    local: tuple[str, int]
    contacts: tuple[bytes, ...] = ()
    expires: bytes | None = None
    requires: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    wants_path: bool = False
    behind_nat: bool = False
    transport: str = "udp"
    auth_user: str | None = None
    auth_realm: str | None = None
    aliases: tuple[str, ...] = ()
    flow_token: str | None = None
    force: bool = False
    after: tuple[Wait, ...] = ()


def register_facts(
    message: Message,
    identity: Identity,
    *,
    transaction: bytes,
    source: tuple[str, int],
    local: tuple[str, int],
    transport: str = "udp",
    behind_nat: bool = False,
    auth_user: str | None = None,
    auth_realm: str | None = None,
    aliases: Sequence[str] = (),
    flow_token: str | None = None,
    force: bool = False,
) -> RegisterFacts:
    """The facts of this REGISTER. `behind_nat` True means that the script said so; else the top Via is compared.

    `local` is the address that the datagram was sent to: the listener's, or for a wildcard listener the local one.
    """
    aor, user, host, port = _address(message.to_value)
    return RegisterFacts(
        aor=aor,
        aor_user=user,
        aor_host=host,
        aor_is_ours=bool(host) and (identity.is_local(host) or identity.names_us(host, port)),
        call_id=_text(message.call_id),
        cseq=message.cseq,
        transaction=transaction,
        source=source,
        local=local,
        contacts=tuple(message.values("Contact")) or ((b"",) if message.first("Contact") is not None else ()),
        expires=message.first("Expires"),
        requires=tuple(_text(value) for value in message.values("Require")),
        path=tuple(_text(value) for value in message.values("Path")),
        wants_path=any(value.lower() == b"path" for value in message.values("Supported")),
        behind_nat=behind_nat or not is_sent_by(message.via, source),
        transport=transport.lower(),
        auth_user=auth_user,
        auth_realm=auth_realm,
        aliases=tuple(found for found in map(address_of_record_of, aliases) if found),
        flow_token=flow_token,
        force=force,
    )


def is_sent_by(via: Via, source: tuple[str, int]) -> bool:
    """Whether the client knows its own address: the sent-by is the observed source (port 5060 when absent)."""
    if (via.port or 5060) != source[1]:
        return False
    return canonical_host(via.host.decode("latin-1")) == canonical_host(source[0])


def _address(to: bytes) -> tuple[str, str, str, int | None]:
    if _CONTROL.search(_text(to)):
        raise ValueError("an address of record must not contain control characters")
    try:
        uri = NameAddr.parse(to).uri
    except ValueError:
        return "", "", "", None
    aor = address_of_record_of(uri)
    if aor is None or uri.scheme.lower() not in ("sip", "sips"):
        return "", "", "", None
    return aor, aor.partition(":")[2].rpartition("@")[0], uri.host or "", uri.port or None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
