"""The ACK to a 2xx: forwarded without a transaction, a fresh branch a copy, or dropped (API 9.2). Never answered."""

from __future__ import annotations

from dataclasses import dataclass

from siphon.engine.attempts import locate
from siphon.engine.dialogs import peer
from siphon.engine.environment import Environment, Missing
from siphon.engine.plan import Plan
from siphon.engine.requests import Arrival, check
from siphon.forwarding.branch import COOKIE
from siphon.forwarding.copy import forward_copy, outgoing_routes, via_value
from siphon.forwarding.next_hop import Hop, LocalFailure, next_hop
from siphon.forwarding.routes import RouteFacts, loose_route, own_routes, set_routes
from siphon.sip.draft import Draft
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import apply_splices
from siphon.state.record import Record
from siphon.state.store import Send


@dataclass(slots=True)
class RoutedAck:
    """An ACK that a Route of ours or a known dialog vouches for, with our own Routes taken out."""

    message: SipMessage
    consumed: tuple[str, ...]
    arrival: Arrival


def route_ack(arrival: Arrival, env: Environment) -> RoutedAck | None:
    """The ACK as it is to be forwarded; None: dropped, because a check fails or nothing vouches for it."""
    message = arrival.message
    if check(message, env) is not None:
        return None
    facts = RouteFacts.of(message)
    route = loose_route(facts, env.identity, env.signer)
    draft = Draft(message)
    if route.accepted:
        route.apply(draft)
    elif peer(env, message.call_id, message.from_tag or b"", message.to_tag or b"") is None:
        return None
    elif unsigned := own_routes(facts.routes, env.identity):  # they vouch for nothing, and would lead back here
        set_routes(draft, facts.routes[unsigned:])
    return RoutedAck(parse(draft.to_bytes()) if draft.changed else message, route.consumed, arrival)


def name_to_resolve(ack: RoutedAck, env: Environment) -> Hop | None:
    """The hop whose name must be looked up before the ACK can be sent on; None when there is none."""
    outgoing = outgoing_routes(ack.message, ack.message.uri, env.identity)
    hop = next_hop(outgoing.next_hop, outgoing.routes, outgoing.uri, env.identity)
    return None if isinstance(hop, LocalFailure) or hop.numeric is not None else hop


def ack_datagram(ack: RoutedAck, env: Environment, token: bytes) -> Send | None:
    """The datagram; None when the next hop cannot be sent to. `token` is random: the branch of this copy."""
    message, arrival = ack.message, ack.arrival
    outgoing = outgoing_routes(message, message.uri, env.identity)
    record = Record(b"", 0)
    record.consumed = "\n".join(ack.consumed).encode("utf-8", "surrogateescape")
    record.listener, record.local_ip = arrival.listener, arrival.local_ip
    record.call_id, record.from_tag, record.to_tag = message.call_id, message.from_tag or b"", message.to_tag or b""
    try:
        place = locate(env, record, Plan(message.uri), outgoing)
    except Missing:
        return None
    if isinstance(place, LocalFailure):
        return None
    splices = forward_copy(
        message,
        uri=outgoing.uri,
        via=via_value(place.sent_by, COOKIE + token),
        route_set=outgoing.route_set,
    )
    return Send(apply_splices(message.raw, splices), (place.ip, place.port), place.listener.index, place.local_ip)
