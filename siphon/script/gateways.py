"""The namespace `gateway`: groups of upstreams that share the calls (API 13).

What is shared by the workers, and who is chosen, is siphon/services/balancing; here arguments are checked and choices
become Destinations. Without a [gateway] section every call says that it is missing. While a script is tried, in a
process without tables, groups are checked and there is nothing to choose from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from pydantic import ValidationError

from siphon.config.explain import findings
from siphon.config.later import Probe
from siphon.script import binding, log
from siphon.script.contact import Destination
from siphon.script.flow import address
from siphon.script.text import encode
from siphon.script.uri import SipUri
from siphon.services.balancing import ALGORITHMS, Group, Groups, ProbePlan, Upstream, View
from siphon.services.balancing.model import SAME, probe_plan, upstreams_of

LONGEST_NAME = 256

Destinations = list[Destination]
States = list[tuple[str, bool]]
Names = list[str]


class Gateway:
    """`from siphon import gateway`."""

    __slots__ = ()

    def select(
        self,
        group: str,
        /,
        key: str | SipUri | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> Destination | None:
        """The destination that gets the call, by the group's algorithm; `key` is for "hash", `attrs` are pairs that it
        must have. None: no such group, or nothing healthy."""
        if attrs is not None and not isinstance(attrs, Mapping):
            raise TypeError(f"attrs is a dict, not {type(attrs).__name__}")
        groups = _groups("select")
        if groups is None or not _can_be(group):
            return None
        found = groups.select(group, None if key is None else str(key), attrs)
        return None if found is None else _destination(found, True)

    def list(self, group: str) -> Destinations:
        """All destinations of a group, in their order."""
        view = _view("list", group)
        return [] if view is None else [_destination(u, view.health(u).usable) for u in view.group.upstreams]

    def status(self, group: str) -> States:
        """(uri, healthy) of each destination of a group."""
        view = _view("status", group)
        return [] if view is None else [(u.uri, view.health(u).usable) for u in view.group.upstreams]

    def groups(self) -> Names:
        """The names of all groups: the configured ones, then those that scripts have made."""
        groups = _groups("groups")
        return [] if groups is None else groups.names()

    def add_group(
        self,
        name: str,
        destinations: Iterable[Mapping[str, Any]],
        /,
        algorithm: str = "weighted",
        probe: bool | Mapping[str, Any] = False,
    ) -> None:
        """Create a group, or replace one, in all workers. Each destination is a dict with `uri`, and `address`,
        `weight`, `priority`, `attrs` where wanted. Probed where `probe` is True or a dict of probe settings."""
        groups = _groups("add_group")
        if not isinstance(name, str):
            raise TypeError(f"the name of a group is a str, not {type(name).__name__}")
        if not 0 < len(encode(name)) <= LONGEST_NAME:
            raise ValueError(f"the name of a group has 1 to {LONGEST_NAME} bytes")
        made = Group(name, upstreams_of(destinations), _algorithm(algorithm), _probe(probe))
        if groups is not None:
            groups.add(made)

    def remove_group(self, name: str) -> bool:
        """Remove a group from all workers; False where there is none."""
        groups = _groups("remove_group")
        return groups is not None and _can_be(name) and groups.remove(name)

    def mark_up(self, group: str, uri: str | SipUri | Destination) -> bool:
        """A destination may get calls again, until a probe finds otherwise; False where there is none of that URI."""
        groups = _groups("mark_up")
        return groups is not None and _can_be(group) and groups.mark(group, str(uri), True)

    def mark_down(self, group: str, uri: str | SipUri | Destination) -> bool:
        """A destination gets no more calls, until a probe finds it healthy; False where there is none of that URI."""
        groups = _groups("mark_down")
        return groups is not None and _can_be(group) and groups.mark(group, str(uri), False)

    def __repr__(self) -> str:
        return "<namespace gateway>"


def is_from(groups: Groups | None, group: str, source: str | None) -> bool:
    """Whether a source address belongs to a group: that of a destination, or in one of its source networks. Never
    raises."""
    if groups is None or source is None or not _can_be(group):
        return False
    view = groups.view(group)
    if view is None:
        return False
    ip = ip_address(source.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    text = str(ip)
    return text in view.ips or text in view.group.ips or any(ip in network for network in view.group.networks)


def _groups(method: str) -> Groups | None:
    """The groups of this process; None while a script is tried."""
    bound = binding.find()
    if bound is None or getattr(bound.settings, "gateway", None) is None:
        raise NotImplementedError(f"gateway.{method} needs a [gateway] section: gateway is not configured")
    found: Groups | None = bound.services.gateways
    return found


def _view(method: str, group: str) -> View | None:
    groups = _groups(method)
    return None if groups is None or not _can_be(group) else groups.view(group)


def _can_be(name: object) -> bool:
    """Whether there may be a group of that name: text that has bytes. All else is a name of none."""
    if not isinstance(name, str):
        return False
    try:
        encode(name)
    except UnicodeEncodeError:
        return False
    return True


def _destination(upstream: Upstream, healthy: bool) -> Destination:
    place = upstream.place
    where = upstream.address if place is None else address(*place)
    return Destination(upstream.uri, where, healthy, upstream.weight, upstream.priority, dict(upstream.attrs))


def _algorithm(given: str) -> str:
    found = SAME.get(given, given) if isinstance(given, str) else ""
    if found in ALGORITHMS:
        return found
    log.advise(f"gateway.add_group: unknown algorithm {given!r}, taken as 'weighted'")
    return "weighted"


def _probe(given: bool | Mapping[str, Any]) -> ProbePlan | None:
    if isinstance(given, bool):
        return ProbePlan() if given else None
    if not isinstance(given, Mapping):
        raise TypeError(f"probe is a bool or a dict, not {type(given).__name__}")
    unknown = [name for name in given if name not in Probe.model_fields]
    if unknown:
        raise ValueError(f"a probe has no {unknown[0]!r}; it has {', '.join(Probe.model_fields)}")
    try:
        return probe_plan(Probe.model_validate(given))
    except ValidationError as error:
        path, what, _ = next(findings(error, dict(given)))
        raise ValueError(f"probe: {'.'.join(map(str, path))}: {what}") from None
