"""Branches begin here: from plans to copies of the request on their way (RFC 3261 §16.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from siphon.engine.answers import answer
from siphon.engine.cancelling import attempt_bytes, forwarded, is_live
from siphon.engine.dialogs import peer
from siphon.engine.environment import Environment, Missing
from siphon.engine.plan import NO_LISTENER, Plan, pack_plans, unpack_plans
from siphon.engine.results import fail_branch
from siphon.forwarding.branch import branch_token, loop_value
from siphon.forwarding.copy import Outgoing, forward_copy, outgoing_routes, own_copy, via_value
from siphon.forwarding.next_hop import LOOP_DETECTED, UNSUPPORTED_SCHEME, Hop, LocalFailure, next_hop, refused_address
from siphon.forwarding.own_routes import record_routes
from siphon.forwarding.targets import MAX_BREADTH_EXCEEDED, received_breadth, share_breadth
from siphon.script.flow import split_address
from siphon.services.dns import Address
from siphon.sip.identity import Listener
from siphon.sip.message import SipMessage, parse
from siphon.sip.splices import Splices, pack_splices
from siphon.sip.uri import Uri
from siphon.state.record import Branch, Record
from siphon.transaction import invite_client, non_invite_client
from siphon.transaction.step import Step

UNREACHABLE = LocalFailure(503, "Service Unavailable")
TOO_LARGE = LocalFailure(513, "Message Too Large")
WHY = {416: "the URI cannot be sent over UDP", 482: "the target is this instance"}
"""Nothing is sent to a target of that status."""
MAX_ADDRESSES = 8
"""Addresses of one target that are tried."""
NO_LOOP = b"00000000"
"""Loop value of a request of our own: it has not been routed here, so when it comes it is no loop."""
LARGEST_DATAGRAM = 65507
"""What UDP carries over IPv4 (NAT-09)."""
IPV4_BYTES, IPV6_BYTES = 28, 48
"""IP and UDP headers."""


@dataclass(slots=True)
class Place:
    """Where a branch goes: a numeric address, the listener whose socket sends, its local address and our sent-by."""

    ip: str
    port: int
    listener: Listener
    local_ip: str
    sent_by: str
    others: tuple[Address, ...] = ()
    """Further addresses of the same target, to be tried when this one fails (RFC 3263 §4.3)."""


def start_next(step: Step, env: Environment) -> None:
    """Start the next group of the attempt; targets beyond Max-Breadth stay for later (RFC 5393 §5.3)."""
    r = step.record
    groups = unpack_plans(r.targets)
    if not groups:
        return
    base = attempt_base(step)
    group = groups.pop(0)
    shares = share_breadth(received_breadth(base, env.settings.limits.breadth), len(group))
    now, later = group[: len(shares)], [replace(plan, breadth=1) for plan in group[len(shares) :]]
    r.targets = pack_plans([later, *groups] if later and shares else groups if shares else [])
    if not shares:
        answer(step, env, *MAX_BREADTH_EXCEEDED)
    for plan, share in zip(now, shares, strict=True):
        start_branch(step, env, base, plan, share)


def start_waiting(step: Step, env: Environment) -> bool:
    """Start targets beyond Max-Breadth for the shares that ended branches have given back; False when there are none.
    As long as one waits each branch has a share of one."""
    r = step.record
    groups = unpack_plans(r.targets)
    if r.cancelled or not groups or not groups[0][0].breadth:
        return False
    base = attempt_base(step)
    running = [b for b in r.branches if b.index >= r.attempt_first and (not b.result or (r.invite and is_live(b)))]
    free = received_breadth(base, env.settings.limits.breadth) - len(running)
    now, later = groups[0][: max(free, 0)], groups[0][max(free, 0) :]
    r.targets = pack_plans([later, *groups[1:]] if later else groups[1:])
    for plan in now:
        start_branch(step, env, base, plan, plan.breadth)
    return bool(now)


def attempt_base(step: Step) -> SipMessage:
    """The request as the handlers of the running attempt left it."""
    if step.base is None:
        step.base = parse(attempt_bytes(step.record)) if step.record.attempt_edits else step.request()
    return step.base


def start_branch(
    step: Step, env: Environment, base: SipMessage, plan: Plan, breadth: int, ring_at: float = 0.0
) -> None:
    """Make one branch and send its copy; what cannot be sent is a branch that has failed already (API 7.2). `ring_at`:
    the ring time of its slot has begun with an earlier branch."""
    r = step.record
    branch = Branch(r.next_index)
    r.next_index += 1
    r.branches.append(branch)
    branch.uri = plan.uri
    branch.state = invite_client.State.CALLING if r.invite else non_invite_client.State.TRYING
    outgoing = outgoing_routes(
        base, plan.uri, env.identity, path=plan.path, steered=not plan.fork and not plan.next_hop and plan.place is None
    )
    place = locate(env, r, plan, outgoing)
    if isinstance(place, LocalFailure):
        _never_sent(step, env, branch, place, _why(env, plan, outgoing))
        return
    branch.ip, branch.port = place.ip, place.port
    branch.listener, branch.local_ip = place.listener.index, place.local_ip
    if place.others:
        branch.others = pack_plans([[replace(plan, addresses=place.others, breadth=breadth)]])
    branch.splices = pack_splices(_splices(step, env, base, branch, place, outgoing, breadth))
    data = forwarded(r, branch)
    if len(data) > LARGEST_DATAGRAM:
        _never_sent(step, env, branch, TOO_LARGE, f"{len(data)} bytes are more than a datagram takes")
    else:
        if _exceeds_mtu(env, branch, data):
            step.oversize = max(step.oversize, len(data))
        _send(step, branch, data, ring_at)


def _exceeds_mtu(env: Environment, branch: Branch, data: bytes) -> bool:
    """Whether the datagram will be fragmented. It goes by UDP all the same: there is no TCP (NAT-09)."""
    mtu = env.settings.listen.mtu
    return mtu is not None and len(data) + (IPV6_BYTES if ":" in branch.ip else IPV4_BYTES) > mtu


def _never_sent(step: Step, env: Environment, branch: Branch, failure: LocalFailure, why: str) -> None:
    step.unsent = [*(step.unsent or ()), (branch.uri, failure.status, WHY.get(failure.status, why))]
    branch.splices = b""
    branch.state = invite_client.State.TERMINATED if step.record.invite else non_invite_client.State.TERMINATED
    fail_branch(step, env, branch, failure.status)


def _send(step: Step, branch: Branch, data: bytes, ring_at: float) -> None:
    r = step.record
    if r.ring_timeout:
        branch.ring_at = ring_at or step.now + r.ring_timeout
    if r.invite:
        branch.timer_c_at = step.now + step.timing.timer_c
        invite_client.apply(step, branch, invite_client.Event.START, data)
    else:
        non_invite_client.apply(step, branch, branch, non_invite_client.Event.START, data)


def _splices(
    step: Step, env: Environment, base: SipMessage, branch: Branch, place: Place, outgoing: Outgoing, breadth: int
) -> Splices:
    """The copy relative to what the attempt's handlers left, so that the record alone rebuilds it."""
    r = step.record
    if r.own:
        via = via_value(place.sent_by, branch_token(r.key, r.salt, branch.index, NO_LOOP))
        return own_copy(base, uri=outgoing.uri, via=via, route_set=outgoing.route_set)
    loop = loop_value(step.request(), env.loop_key)
    via = via_value(place.sent_by, branch_token(r.key, r.salt, branch.index, loop))
    rrs: list[bytes] = []
    if r.record_route and r.method != "REGISTER":
        rrs = record_routes(_arrived_at(env, r) or place.sent_by, place.sent_by, r.call_id, env.signer)
    return forward_copy(
        base, uri=outgoing.uri, via=via, record_routes=rrs, route_set=outgoing.route_set, max_breadth=breadth
    )


def _arrived_at(env: Environment, record: Record) -> str:
    """Our sent-by where the request came in; "" where that listener is gone and the kernel knows no route back."""
    listener = env.identity.listener(record.listener, record.source_ip)
    local_ip = record.local_ip or env.local_ip(listener.index, record.source_ip)
    return env.identity.known_by(listener, local_ip)


def locate(env: Environment, record: Record, plan: Plan, outgoing: Outgoing) -> Place | LocalFailure:
    """Address and socket of a branch, or why it has none. Raises Missing."""
    if not plan.valid or plan.transport not in ("", "udp"):
        return UNREACHABLE
    if outgoing.uri[:5].lower() == b"sips:":  # whatever names the place: never over UDP
        return UNSUPPORTED_SCHEME
    found = plan.addresses or ((plan.place,) if plan.place is not None else _resolve(env, plan, outgoing))
    if not isinstance(found, LocalFailure):
        found = _others_than_us(env, found)
    if isinstance(found, LocalFailure):
        return found if found == UNSUPPORTED_SCHEME else _recorded_peer(env, record) or found
    for number, address in enumerate(found, 1):
        place = _place(env, record, plan, *address)
        if place is not None:
            place.others = tuple(found[number:])
            return place
    return UNREACHABLE


def _why(env: Environment, plan: Plan, outgoing: Outgoing) -> str:
    """Why a target has no place that could be sent to, for the log."""
    if not plan.valid:
        return "no URI, or a flow that is gone"
    if plan.place is None:
        hop = _hop(env, plan, outgoing)
        if isinstance(hop, LocalFailure):
            return "a URI, a transport or an address that cannot be sent to by UDP"
        if hop.numeric is None and not env.resolve(hop):
            return f"{hop.host} does not resolve"
    return "no listener can send there"


def _others_than_us(env: Environment, addresses: Sequence[Address]) -> Sequence[Address] | LocalFailure:
    """Without addresses of this instance: a name, a flow or the source of a REGISTER may lead here as well."""
    others = [address for address in addresses if env.identity.listener_at(*address) is None]
    return others if others or not addresses else LOOP_DETECTED


def _place(env: Environment, record: Record, plan: Plan, ip: str, port: int) -> Place | None:
    """How an address is sent to; None when it must not or cannot be."""
    listener = None if refused_address(ip, port) else _listener(env, record, plan, ":" in ip)
    if listener is None:
        return None
    local_ip = split_address(plan.local_addr)[0] if plan.local_addr else env.local_ip(listener.index, ip)
    if listener.wildcard and not local_ip and not plan.sent_by and not env.identity.advertised(listener):
        return None  # the kernel knows no route to it
    return Place(ip, port, listener, local_ip, plan.sent_by or env.identity.sent_by(listener, local_ip))


def _recorded_peer(env: Environment, record: Record) -> Place | None:
    """Where a request in a known dialog goes when its next hop is this instance or does not resolve (API 7.2)."""
    side = peer(env, record.call_id, record.from_tag, record.to_tag)
    if side is None or side.listener >= len(env.identity.listeners):
        return None
    listener = env.identity.listeners[side.listener]
    local_ip = side.local_ip or env.local_ip(listener.index, side.ip)
    if listener.wildcard and not local_ip and not env.identity.advertised(listener):
        return None
    return Place(side.ip, side.port, listener, local_ip, env.identity.sent_by(listener, local_ip))


def _hop(env: Environment, plan: Plan, outgoing: Outgoing) -> Hop | LocalFailure:
    explicit = plan.next_hop.encode("utf-8", "surrogateescape") if plan.next_hop else outgoing.next_hop
    routes = () if plan.fork and not plan.path else outgoing.routes
    return next_hop(explicit, routes, outgoing.uri, env.identity)


def _resolve(env: Environment, plan: Plan, outgoing: Outgoing) -> Sequence[Address] | LocalFailure:
    hop = _hop(env, plan, outgoing)
    if isinstance(hop, LocalFailure):
        return hop
    if hop.numeric is not None:
        return (hop.numeric,)
    addresses = env.resolve(hop)
    if addresses is None:  # a later target whose answer has grown old, or another worker than the one that asked
        raise Missing(hop)
    if env.rests is not None:
        addresses = env.rests.last(addresses)
    return addresses[:MAX_ADDRESSES] or UNREACHABLE


def names_to_resolve(env: Environment, base: SipMessage, groups: list[list[Plan]]) -> set[Hop]:
    """The hops by name that the plans need; looked up before the decision, which then finds them in the cache."""
    names: set[Hop] = set()
    for plan in (p for group in groups for p in group):
        if plan.place is not None or not plan.valid:
            continue
        steered = not plan.fork and not plan.next_hop
        outgoing = outgoing_routes(base, plan.uri, env.identity, path=plan.path, steered=steered)
        hop = _hop(env, plan, outgoing)
        if not isinstance(hop, LocalFailure) and hop.numeric is None:
            names.add(hop)
    return names


def _listener(env: Environment, record: Record, plan: Plan, ipv6: bool) -> Listener | None:
    """The socket that sends: with a flow its own or none. Else the one named, else that of the other side where the
    dialog has two, else the one the request came in on, else the first of the family. One whose address is elsewhere
    leaves its turn to the next of those that were asked for, never to one that is merely here: it may lead nowhere."""
    listeners = env.identity.listeners
    if plan.local_addr and plan.listener == NO_LISTENER:
        captured = env.identity.listener_at(*split_address(plan.local_addr))
        return None if captured is None or (":" in listeners[captured].ip) != ipv6 else listeners[captured]
    wished = [plan.listener, _named(listeners, record.send_socket), _other_side(env, record), record.listener]
    asked_for = [listeners[i] for i in wished if NO_LISTENER < i < len(listeners)]
    asked_for = [listener for listener in asked_for if (":" in listener.ip) == ipv6]
    if len(asked_for) > 1 and asked_for[0] != asked_for[-1]:
        asked_for.sort(key=lambda listener: not env.is_here(listener.index))
    return next((listener for listener in [*asked_for, *listeners] if (":" in listener.ip) == ipv6), None)


def _other_side(env: Environment, record: Record) -> int:
    """Index of the listener that the last of several consumed Routes names: the side that the request has not come in
    on (RFC 5658 §5); NO_LISTENER when there was one Route at most."""
    first, _, last = record.consumed.rpartition(b"\n")
    if not first:
        return NO_LISTENER
    uri = Uri.parse(last)
    found = env.identity.listener_at(uri.host, uri.port)
    return NO_LISTENER if found is None else found


def _named(listeners: list[Listener] | tuple[Listener, ...], text: str) -> int:
    """Index of the listener that `send_socket="udp:ip:port"` names; NO_LISTENER when there is none."""
    transport, _, place = text.partition(":")
    for listener in listeners:
        host = f"[{listener.ip}]" if ":" in listener.ip else listener.ip
        if transport.lower() == listener.transport.lower() and place == f"{host}:{listener.port}":
            return listener.index
    return NO_LISTENER
