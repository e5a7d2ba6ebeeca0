"""The forwarded copy of a request, as splices on the bytes it came in (RFC 3261 §16.6 items 1-5 and 8).

In: the message as the handlers left it, and the values of this branch. Out: splices relative to `message.raw`; what
no splice names goes out byte for byte, body included. Our own lines stand together before the first header line, so
ours are on top of every list whatever the order of the message's lines; they cost one splice. Nothing raises: the
values are ours.

The Route set and Request-URI of the rare cases (Path, strict router, routes of ours that nobody consumed) come from
`outgoing_routes`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from siphon.forwarding.routes import own_routes
from siphon.forwarding.trim import clean_target
from siphon.sip.identity import Identity
from siphon.sip.message import SipMessage
from siphon.sip.splices import Splices
from siphon.sip.uri import NameAddr

INITIAL_MAX_FORWARDS = 70
_LARGEST_MAX_FORWARDS = 255


def via_value(sent_by: str, branch: bytes, transport: str = "UDP") -> bytes:
    """Our Via: `SIP/2.0/UDP host:port;branch=…;rport` (RFC 3261 §16.6 item 8, RFC 3581 §3)."""
    return b"SIP/2.0/%b %b;branch=%b;rport" % (transport.encode(), sent_by.encode(), branch)


def forward_copy(
    message: SipMessage,
    *,
    uri: bytes,
    via: bytes,
    record_routes: Sequence[bytes] = (),
    route_set: Sequence[bytes] | None = None,
    max_breadth: int | None = None,
) -> Splices:
    """Splices, in order and not overlapping, that make the copy for one branch.

    `uri` is its Request-URI, `via` our Via value, `record_routes` our values topmost first, `route_set` the Route
    values that replace those of the message (None: they stay), `max_breadth` this branch's share (None: the header
    stays).
    """
    head = [b"Record-Route: %b\r\n" % value for value in record_routes]
    edits: Splices = []
    _set_number(message, "Max-Forwards", lowered(message.max_forwards), head, edits)
    if max_breadth is not None:
        _set_number(message, "Max-Breadth", max_breadth, head, edits)
    if route_set is not None:
        edits += _without_routes(message)
        head += [b"Route: %b\r\n" % value for value in route_set]
    if message.content_length < 0:
        head.append(b"Content-Length: %d\r\n" % len(message.body))
    head.append(b"Via: %b\r\n" % via)
    first = message.span(0)[0]
    edits.append((first, first, b"".join(head)))
    if uri != message.uri:
        edits.append((message.uri_start, message.uri_end, uri))
    edits.sort(key=_place)
    return edits


def own_copy(message: SipMessage, *, uri: bytes, via: bytes, route_set: Sequence[bytes] | None = None) -> Splices:
    """Splices that make one copy of a request of our own: `via` instead of the one value that it has; the rest as
    forward_copy(). Max-Forwards is as given: nobody has forwarded it yet.
    """
    _, start, end, _ = message.span(message.find("Via"))
    edits: Splices = [(start, end, via)]
    if route_set is not None:
        edits += _without_routes(message)
        first = message.span(0)[0]
        edits.append((first, first, b"".join(b"Route: %b\r\n" % value for value in route_set)))
    if uri != message.uri:
        edits.append((message.uri_start, message.uri_end, uri))
    edits.sort(key=_place)
    return edits


def lowered(max_forwards: int) -> int:
    """Max-Forwards of the copy: one less; 70 where it is absent (-1) or above what the header can say (RFC 3261
    §20.22).

    0 stays 0: such a request was refused before (483).
    """
    return max(0, max_forwards - 1) if 0 <= max_forwards <= _LARGEST_MAX_FORWARDS else INITIAL_MAX_FORWARDS


def _place(splice: tuple[int, int, bytes]) -> tuple[int, int]:
    """An insertion comes before what replaces the line at the same place."""
    return splice[0], splice[1]


def _set_number(message: SipMessage, name: str, number: int, head: list[bytes], edits: Splices) -> None:
    """Put the number where the first line of that name has its value, or add a line to the head."""
    index = message.find(name)
    if index < 0:
        head.append(b"%b: %d\r\n" % (name.encode(), number))
        return
    _, start, end, _ = message.span(index)
    edits.append((start, end, b"%d" % number))


def _without_routes(message: SipMessage) -> Splices:
    edits: Splices = []
    index = message.find("Route")
    while index >= 0:
        start, _, _, end = message.span(index)
        edits.append((start, end, b""))
        index = message.find("Route", index + 1)
    return edits


# -- the rare cases --------------------------------------------------------------------------------------------------


class Outgoing(NamedTuple):
    """Request-URI and Route values of a copy. `routes`: what the next hop is chosen from. `route_set`: the same, or
    None when the message has them already. `next_hop`: the URI to send to where the topmost Route is a strict router,
    else None.
    """

    uri: bytes
    routes: tuple[bytes, ...]
    route_set: tuple[bytes, ...] | None
    next_hop: bytes | None = None


def outgoing_routes(
    message: SipMessage, uri: bytes, identity: Identity, *, path: Sequence[bytes] = (), steered: bool = True
) -> Outgoing:
    """Request-URI and Route set of the copy for the target `uri`.

    A `path` replaces the Route set. Else, on a request without To tag, the topmost Routes that name us are removed
    (RFC 3261 §16.4). Then, where the Routes steer (no explicit next hop, no fork), a topmost Route without `lr`
    becomes the Request-URI and the Request-URI the last Route (§16.6 item 6).
    """
    if path:
        return _to_strict_router(uri, tuple(path), changed=True)
    if not message.has("Route"):
        return Outgoing(uri, (), None)
    routes = tuple(message.values("Route"))
    own = 0 if message.to_tag else own_routes(routes, identity)
    routes = routes[own:]
    if not steered:
        return Outgoing(uri, routes, routes if own else None)
    return _to_strict_router(uri, routes, changed=own > 0)


def _to_strict_router(uri: bytes, routes: tuple[bytes, ...], *, changed: bool) -> Outgoing:
    unchanged = Outgoing(uri, routes, routes if changed else None)
    if not routes:
        return unchanged
    try:
        first = NameAddr.parse(routes[0]).uri
    except ValueError:
        return unchanged
    if first.has_param("lr"):
        return unchanged
    strict = clean_target(first.to_bytes())
    rest = (*routes[1:], b"<%b>" % uri)
    return Outgoing(strict, rest, rest, next_hop=strict)
