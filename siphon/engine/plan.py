"""What is still to be tried: the targets of an attempt as plain values that the record keeps (msgpack).

From the script's Relay or Fork to groups of plans; a group starts when the one before it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgpack  # type: ignore[import-untyped]

from siphon.forwarding.targets import Target, groups
from siphon.forwarding.trim import clean_target
from siphon.script.flow import split_address
from siphon.script.outcome import Fork, Relay, TargetSpec

NO_LISTENER = -1


@dataclass(slots=True)
class Plan:
    """One branch to be.

    `next_hop` is the script's own choice ("" = Route or Request-URI), `place` a numeric address that needs no look-up,
    `sent_by` the script's text for our Via. `valid` False: a target that cannot be reached at all, a failed branch.
    `addresses` is what is left of those its name resolved to once one has failed, `breadth` its share of Max-Breadth;
    one that waits for a share in the group it belongs to has 1, all others 0 until they start.
    """

    uri: bytes
    path: tuple[bytes, ...] = ()
    next_hop: str = ""
    place: tuple[str, int] | None = None
    listener: int = NO_LISTENER
    local_addr: str = ""
    transport: str = ""
    sent_by: str = ""
    fork: bool = False
    valid: bool = True
    addresses: tuple[tuple[str, int], ...] = ()
    breadth: int = 0


def plan_relay(relay: Relay, uri: bytes) -> list[list[Plan]]:
    """The one group of a relay; `uri` is the Request-URI as the handlers left it."""
    plan = Plan(uri, next_hop=relay.next_hop or "", valid=relay.next_hop != "")
    if relay.address:
        plan.place = split_address(relay.address)
    if relay.flow is not None:
        plan.place, plan.valid = split_address(relay.flow.remote_addr), True
        plan.local_addr, plan.transport = relay.flow.local_addr, relay.flow.transport
    elif relay.via_override is not None:
        plan.transport, plan.sent_by = relay.via_override.transport, relay.via_override.sent_by
    return [[plan]]


def plan_fork(fork: Fork) -> list[list[Plan]]:
    """The groups of a fork by its strategy, equal targets once (PRX-30)."""
    keyed: dict[Target, TargetSpec] = {}
    for spec in fork.targets:
        keyed.setdefault(_target(spec), spec)
    return [[_plan(keyed[target], target) for target in group] for group in groups(list(keyed), fork.strategy)]


def _target(spec: TargetSpec) -> Target:
    return Target(
        spec.uri.encode("utf-8", "surrogateescape"),
        tuple(value.encode("utf-8", "surrogateescape") for value in spec.path),
        spec.received if spec.via_source else None,
        spec.listener,
        spec.q,
        (spec.flow.remote_addr, spec.flow.local_addr) if spec.flow is not None else None,
    )


def _plan(spec: TargetSpec, target: Target) -> Plan:
    plan = Plan(clean_target(target.uri), target.path, fork=True, valid=spec.valid)
    if spec.path:
        return plan
    if spec.address:
        plan.place = split_address(spec.address)
    elif spec.via_source and spec.received is not None:
        plan.place = spec.received
    plan.listener = NO_LISTENER if spec.listener is None else spec.listener
    plan.local_addr = spec.local_addr or ""
    return plan


def pack_plans(plans: list[list[Plan]]) -> bytes:
    """Groups as bytes for the record; b"" when there are none."""
    if not plans:
        return b""
    rows = [[[getattr(plan, name) for name in Plan.__slots__] for plan in group] for group in plans]
    packed: bytes = msgpack.packb(rows, unicode_errors="surrogateescape")
    return packed


def unpack_plans(data: bytes) -> list[list[Plan]]:
    """The groups that pack_plans() wrote."""
    if not data:
        return []
    return [[_unpack(row) for row in group] for group in msgpack.unpackb(data, unicode_errors="surrogateescape")]


def _unpack(row: list[object]) -> Plan:
    plan = Plan(*row)  # type: ignore[arg-type]
    plan.path = tuple(plan.path)
    plan.addresses = tuple((ip, port) for ip, port in plan.addresses)
    plan.place = None if plan.place is None else (plan.place[0], plan.place[1])
    return plan
