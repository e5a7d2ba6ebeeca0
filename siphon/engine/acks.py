"""The ACK to a 2xx: forwarded without a transaction, a fresh branch a copy, or dropped (API 9.2). Never answered."""

from __future__ import annotations

from siphon.engine.attempts import locate
from siphon.engine.dialogs import peer
from siphon.engine.environment import Environment
from siphon.engine.plan import Plan
from siphon.engine.requests import Arrival, check
from siphon.forwarding.branch import COOKIE
from siphon.forwarding.copy import forward_copy, outgoing_routes, via_value
from siphon.forwarding.next_hop import LocalFailure, next_hop
from siphon.forwarding.routes import RouteFacts, loose_route
from siphon.sip.draft import Draft
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import apply_splices
from siphon.state.record import Record
from siphon.state.store import Send


def forward_ack(arrival: Arrival, env: Environment, token: bytes) -> Send | None:
    """The datagram to send on; None: dropped, because a check fails or no Route of ours vouches for it.

    `token` is random: it makes the branch unique for this copy.
    """
    message = arrival.message
    if check(message, env) is not None:
        return None
    route = loose_route(RouteFacts.of(message), env.identity, env.signer)
    if not route.accepted and peer(env, message.call_id, message.from_tag or b"", message.to_tag or b"") is None:
        return None
    draft = Draft(message)
    route.apply(draft)
    return _send(parse(draft.to_bytes()), arrival, env, token, route.consumed)


def _send(
    message: SipMessage, arrival: Arrival, env: Environment, token: bytes, consumed: tuple[str, ...]
) -> Send | None:
    outgoing = outgoing_routes(message, message.uri, env.identity)
    record = Record(b"", 0)
    record.consumed = "\n".join(consumed).encode("utf-8", "surrogateescape")
    record.listener, record.local_ip = arrival.listener, arrival.local_ip
    record.call_id, record.from_tag, record.to_tag = message.call_id, message.from_tag or b"", message.to_tag or b""
    place = locate(env, record, Plan(message.uri), outgoing)
    if isinstance(place, LocalFailure):
        return None
    splices = forward_copy(
        message,
        uri=outgoing.uri,
        via=via_value(place.sent_by, COOKIE + token),
        route_set=outgoing.route_set,
    )
    return Send(apply_splices(message.raw, splices), (place.ip, place.port), place.listener.index, place.local_ip)


def ack_name(arrival: Arrival, env: Environment) -> str | None:
    """The host name that must be looked up before the ACK can be forwarded; None when there is none."""
    route = loose_route(RouteFacts.of(arrival.message), env.identity, env.signer)
    routes = route.routes if route.routes is not None else tuple(arrival.message.values("Route"))
    hop = next_hop(None, routes, route.uri or arrival.message.uri, env.identity)
    return None if isinstance(hop, LocalFailure) or hop.numeric is not None else hop.host
