"""Groups and their upstreams as values, from the configuration or from what a script gives to add_group.

ValueError for what cannot be used: no uri, a URI that is not sip, an address that is not `ip:port`, another transport
than UDP, attributes that cannot be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from siphon.config.later import Gateway, Probe
from siphon.config.values import split_address
from siphon.forwarding.next_hop import Hop, LocalFailure, hop_of
from siphon.sip.identity import Identity
from siphon.sip.uri import Uri

ALGORITHMS = ("weighted", "round_robin", "hash")
SAME = {"call_id_hash": "hash", "from_uri_hash": "hash", "to_uri_hash": "hash"}
HIGHEST = 1_000_000
"""Of weight and priority, as in the configuration."""
LARGEST = 1 << 63
"""Of a whole number in `attrs`: what a record can hold."""
TRANSPORTS = ("udp",)

NOBODY = Identity(())
"""No URI is our own here: whether one is, the relay to it finds out."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Upstream:
    """One destination. `given` is the URI as configured, `address` an "ip:port" to send to, "" for the URI's own."""

    given: str
    address: str = ""
    transport: str = "udp"
    weight: int = 1
    priority: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def uri(self) -> str:
        """What scripts see: with its transport where that is not UDP."""
        return self.given if self.transport == "udp" else f"{self.given};transport={self.transport}"

    @cached_property
    def ident(self) -> str:
        """What its health and its keys are kept by: another address is another upstream."""
        return f"{self.uri} {self.address}"

    @cached_property
    def place(self) -> tuple[str, int] | None:
        """The numeric address and port it is reached at; None where its name must be looked up."""
        if self.address:
            return split_address(self.address)
        hop = self.hop
        return None if hop is None else hop.numeric

    @cached_property
    def hop(self) -> Hop | None:
        """The next hop that its URI names; None where nothing can be sent to it."""
        try:
            found = hop_of(Uri.parse(self.uri.encode("utf-8", "surrogateescape")), NOBODY)
        except ValueError:
            return None
        return None if isinstance(found, LocalFailure) else found

    def row(self) -> list[Any]:
        """For a record."""
        return [self.given, self.address, self.transport, self.weight, self.priority, dict(self.attrs)]


@dataclass(frozen=True)
class ProbePlan:
    """How a group is probed. `from_domain` "": the address that the probe leaves from."""

    interval_secs: float = 30.0
    failure_threshold: int = 3
    from_user: str = "siphon"
    from_domain: str = ""

    def row(self) -> list[Any]:
        """For a record."""
        return [getattr(self, entry.name) for entry in fields(self)]


@dataclass(frozen=True)
class Group:
    """Upstreams that share the calls. `probe` None: nobody asks them."""

    name: str
    upstreams: tuple[Upstream, ...]
    algorithm: str = "weighted"
    probe: ProbePlan | None = None
    source_networks: tuple[str, ...] = ()

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """`source_networks`, read once."""
        return tuple(ip_network(text, strict=False) for text in self.source_networks)

    @cached_property
    def ips(self) -> frozenset[str]:
        """The addresses of upstreams that need no look-up."""
        return frozenset(upstream.place[0] for upstream in self.upstreams if upstream.place is not None)

    def find(self, uri: str) -> list[Upstream]:
        """Those that a script means by a URI: the configured one or that of a Destination."""
        return [upstream for upstream in self.upstreams if uri in (upstream.given, upstream.uri)]

    def row(self) -> list[Any]:
        """For a record."""
        probe = None if self.probe is None else self.probe.row()
        rows = [upstream.row() for upstream in self.upstreams]
        return [self.name, self.algorithm, probe, list(self.source_networks), rows]


def group_of_row(row: list[Any]) -> Group:
    """The group that row() wrote. Raises TypeError, ValueError for anything else."""
    name, algorithm, probe, networks, rows = row
    plan = None if probe is None else ProbePlan(*probe)
    return Group(name, tuple(Upstream(*entry) for entry in rows), algorithm, plan, tuple(networks))


DEFAULT_PROBE = ProbePlan()


def groups_of(settings: Gateway) -> list[Group]:
    """The configured groups, in their order. A group is probed unless it says otherwise."""
    return [
        Group(
            group.name,
            tuple(
                Upstream(d.uri, d.address or "", d.transport, d.weight, d.priority, dict(d.attrs))
                for d in group.destinations
            ),
            group.algorithm,
            DEFAULT_PROBE if group.probe is None else probe_plan(group.probe),
            tuple(str(network) for network in group.source_networks),
        )
        for group in settings.groups
    ]


def probe_plan(probe: Probe) -> ProbePlan | None:
    """None where it is switched off."""
    if not probe.enabled:
        return None
    return ProbePlan(float(probe.interval_secs), probe.failure_threshold, probe.from_user, probe.from_domain or "")


def upstreams_of(destinations: Iterable[Mapping[str, Any]]) -> tuple[Upstream, ...]:
    """From a script's dicts."""
    if isinstance(destinations, (str, bytes, Mapping)) or not isinstance(destinations, Iterable):
        raise TypeError(f"destinations is a list of dicts, not {type(destinations).__name__}")
    found = tuple(_upstream(entry) for entry in destinations)
    if not found:
        raise ValueError("a group needs at least one destination")
    return found


KEYS = ("uri", "address", "weight", "priority", "transport", "attrs")


def _upstream(given: object) -> Upstream:
    if not isinstance(given, Mapping):
        raise TypeError(f"a destination is a dict, not {type(given).__name__}")
    unknown = [str(name) for name in given if name not in KEYS]
    if unknown:
        raise ValueError(f"a destination has no {unknown[0]!r}; it has {', '.join(KEYS)}")
    uri = str(given.get("uri") or "").strip()
    if not uri:
        raise ValueError("a destination needs a uri")
    transport = str(given.get("transport") or "udp").lower()
    if transport not in TRANSPORTS:
        raise ValueError(f"{uri!r}: this release sends over UDP, not {transport!r}")
    numbers = [_number(given.get(name, 1), f"{uri!r}: {name}") for name in ("weight", "priority")]
    made = Upstream(uri, str(given.get("address") or ""), transport, numbers[0], numbers[1], attributes(given))
    require_usable(made)
    return made


def attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """`attrs` of a destination: names are str, values str, bool, int, float or None."""
    found = given.get("attrs") or {}
    if not isinstance(found, Mapping):
        raise TypeError(f"attrs is a dict, not {type(found).__name__}")
    for name, value in found.items():
        storable = isinstance(value, (str, bool, int, float, type(None)))
        if not isinstance(name, str) or not storable or (type(value) is int and not -LARGEST <= value < LARGEST):
            raise ValueError(f"attrs holds str, bool, int, float and None by str, not {name!r}: {value!r}")
    return dict(found)


def require_usable(upstream: Upstream) -> None:
    """ValueError where its URI or its address is none."""
    try:
        uri = Uri.parse(upstream.given.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ValueError(f"uri: {error}") from None
    if uri.scheme != "sip":
        raise ValueError(f"{upstream.given!r}: a destination is a sip: URI")
    named = (uri.param("transport") or "udp").lower()
    if named not in TRANSPORTS:
        raise ValueError(f"{upstream.given!r}: this release sends over UDP, not {named!r}")
    if upstream.address:
        try:
            split_address(upstream.address)
        except ValueError as error:
            raise ValueError(f"{upstream.given!r}: address: {error}") from None


def _number(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST:
        raise ValueError(f"{name} is a number from 0 to {HIGHEST}, not {value!r}")
    return value
