"""The routes that a request brings (RFC 3261 §16.4). What we put into them ourselves is in own_routes.py.

In: Request-URI and Route values as they stand now, Call-ID, whether there is a To tag. Out: what the route set
becomes, as values; nothing is edited here except by `LooseRoute.apply`. A value that cannot be parsed is simply not
ours.

A URI *names us* when its host and port are ours (Identity.names_us). It *is ours* when it also carries a token of
our signer: `rrs` in a Record-Route value, or `pts` in a Path value, which counts only on requests without a To tag.
So a Route made up by somebody else opens nothing. Without a signer (proxy.sign_record_route = false) naming us is
enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from siphon.forwarding.signer import RouteSigner as RouteSigner
from siphon.forwarding.trim import clean_target, without_parameters, without_port
from siphon.sip.draft import Draft
from siphon.sip.identity import Identity
from siphon.sip.message import SipMessage
from siphon.sip.uri import NameAddr, Uri

RECORD_ROUTE_TOKEN = "rrs"
PATH_TOKEN = "pts"
_DEFAULT_PORT = {"sip": 5060, "sips": 5061}
_OURS_BY_MADDR = frozenset((b"maddr", b"transport"))


# -- what names us, what is ours -------------------------------------------------------------------------------------


def names_us(uri: Uri, identity: Identity) -> bool:
    """Whether a sip or sips URI names this instance; an absent port is the scheme's default."""
    return uri.is_sip and identity.names_us(uri.host, uri.port, _DEFAULT_PORT[uri.scheme])


def is_ours(uri: Uri, facts: "RouteFacts", identity: Identity, signer: RouteSigner | None) -> bool:
    """Whether the URI names us and, with signing on, carries a token of ours that counts on this request."""
    if not names_us(uri, identity):
        return False
    return signer is None or _has_token(uri, facts, signer)


def _has_token(uri: Uri, facts: "RouteFacts", signer: RouteSigner) -> bool:
    port = port_of(uri)
    if token := token_of(uri, RECORD_ROUTE_TOKEN):
        return signer.verify_record_route(token, facts.call_id, uri.host, port)
    token = token_of(uri, PATH_TOKEN)
    return bool(token) and not facts.to_tag and signer.verify_path(token, uri.user, uri.host, port)


def port_of(uri: Uri) -> int:
    """The port of a sip or sips URI, its scheme's default where it names none."""
    return uri.port or _DEFAULT_PORT[uri.scheme]


def token_of(uri: Uri, name: str) -> bytes:
    """The value of a URI parameter, empty when it has none."""
    return (uri.param(name) or "").encode("utf-8", "surrogateescape")


def route_uri(value: bytes) -> Uri | None:
    """The URI of a Route value; None for what is none."""
    try:
        return NameAddr.parse(value).uri
    except ValueError:
        return None


# -- loose routing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """What the decision reads: Request-URI, Route values in order, Call-ID, whether the To header has a tag."""

    uri: bytes
    routes: tuple[bytes, ...]
    call_id: bytes
    to_tag: bool

    @classmethod
    def of(cls, message: SipMessage) -> "RouteFacts":
        return cls(message.uri, tuple(message.values("Route")), message.call_id or b"", bool(message.to_tag))


@dataclass(frozen=True, slots=True)
class LooseRoute:
    """What loose_route() found. `uri` and `routes` are None where they stay as they are.

    accepted  the topmost route was ours: the result that the script sees
    consumed  the URIs accepted as ours, in order, without angle brackets
    unsigned  the topmost route names us without a valid token: to be counted
    """

    accepted: bool
    consumed: tuple[str, ...] = ()
    uri: bytes | None = None
    routes: tuple[bytes, ...] | None = None
    unsigned: bool = False

    def apply(self, draft: Draft) -> None:
        """Write the outcome into a draft: the Request-URI and the Route lines."""
        if self.uri is not None:
            draft.set_uri(self.uri)
        if self.routes is not None:
            set_routes(draft, self.routes)


NOT_ROUTED = LooseRoute(False)
ALL_CONSUMED = LooseRoute(True, routes=())
"""The Route values were ours, all of them. Which they were is not in it."""


def loose_route(facts: RouteFacts, identity: Identity, signer: RouteSigner | None) -> LooseRoute:
    """Consume the routes that are ours (RFC 3261 §16.4, §16.12). `signer` None: signing is off.

    no Route               not accepted
    top Route foreign      not accepted, untouched
    top Route ours         accepted; it and those directly following that are ours too are consumed
    Request-URI is ours    accepted (a strict router before us): the last Route becomes the Request-URI, then as above
    names us, no token     not accepted, counted; with a To tag left in place, else removed (a preset outbound proxy)
    """
    if not facts.routes:
        return NOT_ROUTED
    if (own := _own_record_route(facts, identity, signer)) is not None:
        return _after_strict_router(own, facts, identity, signer)
    consumed = _leading_ours(facts.routes, facts, identity, signer)
    if consumed:
        return LooseRoute(True, consumed, routes=facts.routes[len(consumed) :])
    unsigned = own_routes(facts.routes, identity)
    if not unsigned:
        return NOT_ROUTED
    return LooseRoute(False, routes=None if facts.to_tag else facts.routes[unsigned:], unsigned=True)


def _own_record_route(facts: RouteFacts, identity: Identity, signer: RouteSigner | None) -> Uri | None:
    """The Request-URI when it is a value that we put in a Record-Route: ours, `lr`, no user, and not a Path token."""
    if b"lr" not in facts.uri.lower():
        return None
    try:
        uri = Uri.parse(facts.uri)
    except ValueError:
        return None
    ours = uri.user is None and uri.has_param("lr") and is_ours(uri, facts, identity, signer)
    return uri if ours and (signer is None or token_of(uri, RECORD_ROUTE_TOKEN)) else None


def _after_strict_router(own: Uri, facts: RouteFacts, identity: Identity, signer: RouteSigner | None) -> LooseRoute:
    """The last Route is where the request was to go (RFC 3261 §16.4); a last Route without a URI leaves everything
    untouched.
    """
    last = route_uri(facts.routes[-1])
    if last is None:
        return NOT_ROUTED
    routes = facts.routes[:-1]
    consumed = _leading_ours(routes, facts, identity, signer)
    return LooseRoute(True, (str(own), *consumed), uri=clean_target(last.to_bytes()), routes=routes[len(consumed) :])


def _leading_ours(
    routes: Sequence[bytes], facts: RouteFacts, identity: Identity, signer: RouteSigner | None
) -> tuple[str, ...]:
    consumed: list[str] = []
    for value in routes:
        uri = route_uri(value)
        if uri is None or not is_ours(uri, facts, identity, signer):
            break
        consumed.append(str(uri))
    return tuple(consumed)


def own_routes(routes: Sequence[bytes], identity: Identity) -> int:
    """How many of the topmost Route values name us, with or without a token.

    They are removed from a request without To tag before its next hop is chosen (RFC 3261 §16.4).
    """
    for count, value in enumerate(routes):
        uri = route_uri(value)
        if uri is None or not names_us(uri, identity):
            return count
    return len(routes)


def set_routes(draft: Draft, routes: Sequence[bytes]) -> None:
    """Make these the Route values of a draft, a line each."""
    draft.remove("Route")
    for value in reversed(routes):
        draft.prepend("Route", value.decode("utf-8", "surrogateescape"))


# -- maddr -----------------------------------------------------------------------------------------------------------


def strip_own_maddr(uri: Uri, listener_port: int, identity: Identity) -> bytes | None:
    """The Request-URI without a `maddr` that is ours and the port and transport beside it (RFC 3261 §16.4); None when
    it stays as it is.

    Only where the request came in over the port and transport that the URI indicates.
    """
    maddr, transport = uri.param("maddr"), uri.param("transport") or "udp"
    indicated = uri.port or 5060
    if not maddr or uri.scheme != "sip" or transport.lower() != "udp" or indicated != listener_port:
        return None
    if not identity.names_us(maddr, indicated):
        return None
    return without_port(without_parameters(uri.to_bytes(), _OURS_BY_MADDR))
