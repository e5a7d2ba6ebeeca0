"""Who may read and write over HTTP: pure decisions on a request's facts.

With a token, writes need it, and reads where `protect_reads` says so; health and ready never do, since load balancers
ask them. For reads a browser may give the token as the password of Basic authentication (RFC 7617), with any name; not
for writes, since a browser gives it again with whatever a page of somebody else makes it send.

Without a token only a listener on a loopback address accepts writes, and then only from programs of this machine: a
page in a browser here could be anybody's, so a request that names a foreign origin, or reached us by a name that is
none of loopback, is refused.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one listener."""

    token: str | None
    protect_reads: bool
    loopback: bool
    origins: Collection[str] = ()

    def refusal(self, headers: Mapping[str, str], writes: bool) -> tuple[int, str] | None:
        """Status and text of what is refused; None where it may go on."""
        if self.token is not None:
            if (writes or self.protect_reads) and not self._knows(headers.get("authorization", ""), writes):
                return 401, "this needs the token: Authorization: Bearer ..."
            return None
        if not writes:
            return None
        if not self.loopback:
            return 403, "without admin.auth.token only a loopback address accepts writes"
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            return 403, "a page of another origin may not write"
        if not is_loopback(headers.get("host", "")):
            return 403, "without a token writes must name a loopback address as host"
        return None

    def _knows(self, header: str, writes: bool) -> bool:
        scheme, _, text = header.partition(" ")
        given = text.strip().encode("utf-8", "replace")
        if scheme.lower() == "basic" and not writes:
            given = _password(given)
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given, (self.token or "").encode())


def _password(credentials: bytes) -> bytes:
    """Of Basic credentials; empty where they are none."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        return b""


def is_loopback(authority: str) -> bool:
    """Whether `host[:port]` is this machine by an address or a name that nobody else can give it."""
    host = authority.rpartition(":")[0] if authority.count(":") == 1 or "]:" in authority else authority
    host = host.strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origins_of(cors: Any) -> list[str]:
    """The origins that `cors` names; ["*"] for all."""
    if cors is None or cors is False:
        return []
    if cors is True:
        return ["*"]
    return [cors] if isinstance(cors, str) else list(cors)
