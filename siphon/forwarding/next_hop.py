"""Where a request goes next (RFC 3261 §16.6 items 6 and 7, RFC 3263 §4), as far as that can be said without asking
anybody.

In: what the script named, the Route values left, the Request-URI, who we are. Out: a Hop (numeric, or a name to be
resolved) or a LocalFailure, which is the branch's result as if the next hop had answered so. Only UDP is available:
any other transport is a failed branch. What was found out about an address is remembered: reading one costs 3 us.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from siphon.sip.identity import Identity
from siphon.sip.uri import NameAddr, Uri

_BROADCAST = IPv4Address("255.255.255.255")
TRANSPORTS = frozenset(("udp",))


class LocalFailure(NamedTuple):
    """A result made here in place of a response."""

    status: int
    reason: str


class Hop(NamedTuple):
    """The next hop. `port` 0: none was named. `numeric`: address and port, ready to send to; None when `host` must be
    resolved.

    `transport_named`: the URI chose the transport, so NAPTR is not asked (RFC 3263 §4.1).
    """

    host: str
    port: int
    transport: str
    transport_named: bool
    numeric: tuple[str, int] | None


UNROUTED_IN_DIALOG = LocalFailure(481, "Call/Transaction Does Not Exist")
LOOP_DETECTED = LocalFailure(482, "Loop Detected")
UNSUPPORTED_SCHEME = LocalFailure(416, "Unsupported URI Scheme")
UNREACHABLE = LocalFailure(503, "Service Unavailable")


def unrouted_in_dialog(
    *, to_tag: bool, consumed: bool, dialog_known: bool, explicit: bool, routed: bool, uri_set: bool, uri_local: bool
) -> bool:
    """Whether a relay() is to be refused with UNROUTED_IN_DIALOG, or a forged To tag would open the relay.

    So it is when the request has a To tag that nothing vouches for (no route of ours `consumed`, no dialog record)
    and its next hop would come from the client: a received Route (`routed`), or a Request-URI that the script did not
    set (`uri_set`) and whose host is not local. An `explicit` next hop, flow or top Route is the script's own choice.
    """
    if not to_tag or consumed or dialog_known or explicit:
        return False
    return routed or not (uri_set or uri_local)


def next_hop(
    explicit: bytes | None, routes: Sequence[bytes], request_uri: bytes, identity: Identity
) -> Hop | LocalFailure:
    """The hop that `explicit` names (a URI, or a bare `ip[:port]`), else the topmost of `routes`, else the Request-URI.

    416: `tel:` with nothing else to follow, and sips, which never goes over UDP. 482: the hop is this instance; a
    caller that has a dialog record goes to the recorded peer instead. 503: whatever cannot be parsed, sent over a
    transport we lack, or sent to at all.
    """
    if request_uri[:5].lower() == b"sips:":
        return UNSUPPORTED_SCHEME
    if explicit is not None:
        return hop_of(_explicit_uri(explicit), identity)
    if routes:
        return hop_of(_route_uri(routes[0]), identity)
    if request_uri[:4].lower() == b"tel:":
        return UNSUPPORTED_SCHEME
    return hop_of(_uri(request_uri), identity)


def hop_of(uri: Uri | None, identity: Identity) -> Hop | LocalFailure:
    """The hop that one URI names: its `maddr` where it has one, else its host (RFC 3263 §4)."""
    if uri is None:
        return UNREACHABLE
    if uri.scheme != "sip":
        return UNSUPPORTED_SCHEME if uri.scheme in ("sips", "tel") else UNREACHABLE
    transport = (uri.param("transport") or "").lower()
    if transport and transport not in TRANSPORTS:
        return UNREACHABLE
    host = uri.param("maddr") or uri.host
    if identity.names_us(host, uri.port):
        return LOOP_DETECTED
    return _hop(host, uri.port or 0, transport)


def _hop(host: str, port: int, transport: str) -> Hop | LocalFailure:
    ip = numeric_host(host)
    if ip is None:
        return Hop(host, port, transport or "udp", bool(transport), None)
    if refused_address(ip, port or 5060):
        return UNREACHABLE
    return Hop(host, port, transport or "udp", bool(transport), (ip, port or 5060))


@lru_cache(maxsize=4096)
def numeric_host(host: str) -> str | None:
    """The address that a host is, as text without brackets; None for a name. An IPv4-mapped address is the IPv4 one
    (RFC 5118 §4.9).
    """
    try:
        address = ip_address(host[1:-1] if host.startswith("[") else host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return None
        address = address.ipv4_mapped or address
    return str(address)


def refused_address(ip: str, port: int) -> bool:
    """Whether nothing is ever sent there: multicast, broadcast, the unspecified address, port 0. Text that is no
    address is refused.

    For next hops, for addresses that a name resolved to, and for where a Via wants its response.
    """
    return not 0 < port < 65536 or _is_refused(ip)


@lru_cache(maxsize=4096)
def _is_refused(ip: str) -> bool:
    text = numeric_host(ip)
    if text is None:
        return True
    address = ip_address(text)
    return address.is_multicast or address.is_unspecified or address == _BROADCAST


def _uri(text: bytes) -> Uri | None:
    try:
        return Uri.parse(text)
    except ValueError:
        return None


def _route_uri(value: bytes) -> Uri | None:
    try:
        return NameAddr.parse(value).uri
    except ValueError:
        return None


def _explicit_uri(text: bytes) -> Uri | None:
    """A script's next hop: a URI, bracketed or not, or a bare `host[:port]`."""
    if text.startswith(b"<"):
        return _route_uri(text)
    named = text.partition(b":")[0].lower() in (b"sip", b"sips", b"tel")
    return _uri(text if named else b"sip:" + text)
