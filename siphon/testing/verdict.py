"""What must hold when a run has come to rest: judged by what the user agents saw.

Returns texts, none when all is well. What is checked at every moment stands in siphon/testing/invariants.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from siphon.testing.asker import Asker
from siphon.testing.asks import judge
from siphon.testing.callee import Callee, Leg
from siphon.testing.caller import Caller
from siphon.testing.registrant import Registrant
from siphon.testing.simulated import SimulatedWorld
from siphon.testing.strict import BRANCH

BEHIND = BRANCH.lower().encode()
"""What a strict router puts before the branch of the proxy."""

LOOP_DETECTED = 482
HEARD_SECS = 33.0
"""Timer A repeats an INVITE so long: by then a branch has had its provisional, and its CANCEL."""
SURELY_SECS = 30.0
"""Both copies of a request that are answered in this time were decided within one Timer J."""


def verdict(world: SimulatedWorld) -> list[str]:
    """All that is wrong at the end."""
    peers = list(world.wire.peers.values())
    found: list[str] = [world.checks.failed] if world.checks.failed else []
    excused = {call_id.decode() for call_id in world.checks.excused}
    for peer in peers:
        if isinstance(peer, Caller | Asker) and name_of(peer) in excused:
            continue
        if isinstance(peer, Caller):
            found += _caller(world, peer)
        elif isinstance(peer, Asker):
            found += _asker(peer)
            twins = [other for other in peers if isinstance(other, Asker) and other.name == peer.name]
            found += _merged(*twins) if peer.path else []
            if len(twins) == 1 and LOOP_DETECTED in [status for _, status in peer.seen]:
                found.append(f"{peer.name}: a 482 to the only copy")
        elif isinstance(peer, Registrant):
            found += _registrant(peer)
        elif isinstance(peer, Callee):
            callers = [p for p in peers if isinstance(p, Caller)]
            for branch, leg in peer.legs.items():
                if leg.invite.call_id not in world.checks.excused:
                    found += _leg(world, branch, leg, callers)
    for ask in world.asks:
        if ask.call_id not in world.checks.excused:
            found += judge(world, ask)
    return [*found, *world.checks.registrations.verdict(), *_workers(world)]


def name_of(peer: Caller | Asker) -> str:
    """Its Call-ID."""
    return peer.plan.name if isinstance(peer, Caller) else peer.name


def _caller(world: SimulatedWorld, caller: Caller) -> Iterator[str]:
    name = caller.plan.name
    silent = "drop=1" in caller.plan.directions and not caller.seen
    if not caller.final and not silent:
        yield f"{name}: no final"
    if caller.cancel is not None:
        if not caller.cancel.finals:
            yield f"{name}: CANCEL without answer"
        elif (
            caller.final not in (407, 503)
            and world.faults.down_for < 3
            and not world.faults.doubt  # the store may be away until the call is long over
            and not all(data.startswith(b"SIP/2.0 200") for data in caller.cancel.finals)
        ):
            yield f"{name}: CANCEL refused"
    if "edit=1" in caller.plan.directions and world.edits and caller.cancel is None:
        for status, tag in caller.unedited:
            if tag.startswith(b"tag-"):
                yield f"{name}: a {status} that on_reply has not edited"
    yield from world.checks.reliable.verdict(caller)
    lossy_way = bool(caller.plan.route)  # three links each way: Timer F may end it, and then nobody answers (RFC 4320)
    if caller.bye is not None and not caller.bye.finals and not lossy_way:
        yield f"{name}: BYE without answer"
    forwarded = "answer=" not in caller.plan.directions  # what the script answers itself has no route
    if caller.bye is not None and forwarded and any(data.startswith(b"SIP/2.0 481") for data in caller.bye.finals):
        yield f"{name}: BYE refused"


def _asker(asker: Asker) -> Iterator[str]:
    for exchange in asker.exchanges:
        stateless = (b"SIP/2.0 503", b"SIP/2.0 407") if "challenge=1" in asker.directions else b"SIP/2.0 503"
        explained = {data for data in exchange.finals if not data.startswith(stateless)}
        if len(explained) > 1:
            yield f"{asker.name}: several finals"
        if not exchange.finals and "silent=1" not in asker.directions:
            yield f"{asker.name}: no final"


def _merged(one: Asker, other: Asker) -> Iterator[str]:
    """The two copies of a request: one is answered at the proxy by a 2xx, the other gets 482; both are forwarded."""
    finals = [next((seen for seen in asker.seen if seen[1] >= 200), (0.0, 0)) for asker in (one, other)]
    statuses = [status for _, status in finals]
    if "answer=20" not in one.directions:
        if LOOP_DETECTED in statuses:
            yield f"{one.name}: a 482 to a request that is not answered here"
    elif statuses == [LOOP_DETECTED, LOOP_DETECTED]:
        yield f"{one.name}: both copies got 482"
    elif all(200 <= status < 300 for status in statuses) and max(at for at, _ in finals) < one.began + SURELY_SECS:
        yield f"{one.name}: both copies were answered"


def _registrant(phone: Registrant) -> Iterator[str]:
    for number, exchange in enumerate(phone.exchanges, 1):
        stateful = {data for data in exchange.finals if not data.startswith(b"SIP/2.0 503")}
        if len(stateful) > 1:
            yield f"{phone.plan.name}: several finals of REGISTER {number}"
        if not exchange.finals:
            yield f"{phone.plan.name}: no final of REGISTER {number}"


def _leg(world: SimulatedWorld, branch: bytes, leg: Leg, callers: Iterable[Caller]) -> Iterator[str]:
    """A branch as its callee saw it."""
    caller = next(c for c in callers if c.plan.name.encode() == leg.invite.call_id)
    name = f"{caller.plan.name} at {leg.callee.place[0]}"
    read = world.checks.branch_read.get(branch.lower().removeprefix(BEHIND), set())
    if not leg.final and not leg.cancelled and read:
        yield f"{name}: a branch without CANCEL or final"
    if read and _rings_on(world, caller, leg):
        yield f"{name}: rings on after the caller's 503"
    if 200 <= leg.final < 300 and leg.final in read:
        heard = {tag for _, status, tag in caller.seen if 200 <= status < 300}
        if leg.tag not in heard:
            yield f"{name}: a 2xx that never reached the caller"
        elif leg.tag not in leg.acknowledged and not _had_no_time(world, leg):
            yield f"{name}: a 2xx without ACK"
    if leg.final >= 300 and leg.final in read and leg.tag not in leg.acknowledged:
        yield f"{name}: a {leg.final} without ACK"


def _had_no_time(world: SimulatedWorld, leg: Leg) -> bool:
    """Whether the ACK may have been lost as often as the callee could ask for it: the network loses, and meanwhile the
    repeats came to a node that did not serve, or was without its store."""
    troubled_at: float = getattr(world, "troubled_at", 0.0)
    return world.wire.loses and troubled_at > leg.final_at


def _rings_on(world: SimulatedWorld, caller: Caller, leg: Leg) -> bool:
    """Whether a call that a node has refused without its record goes on where it was being served. Its ACK tells of it,
    so that must arrive, and be read by who lives and reaches the store before long."""
    if caller.final != 503 or leg.invite.call_id not in world.checks.refused:
        return False
    if world.checks.deaths or world.wire.loses:
        return False
    troubled_at: float = getattr(world, "troubled_at", 0.0)  # of several nodes
    return leg.over_at > max(caller.final_at, troubled_at) + HEARD_SECS


def _workers(world: SimulatedWorld) -> Iterator[str]:
    keys, _ = world.transactions.keys(100_000)
    if keys:
        yield f"{len(keys)} records are left"
    for worker in world.workers:
        yield from (f"w{worker.slot}: {error}" for error in worker.errors if "no_room" not in error)
        if worker.runtime.errors:
            yield f"w{worker.slot}: the script raised"
        if worker.alive and (worker.core.retry or worker.core.running or worker.core.order.lines):
            yield f"w{worker.slot}: events are left"
