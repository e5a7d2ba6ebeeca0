"""In which order NAPTR and SRV records are tried: RFC 3263 §4.1, RFC 2782. Pure: chance is an argument.

`draw` gives floats in [0, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar

Address = tuple[str, int]
Draw = Callable[[], float]


class Naptr(NamedTuple):
    """A NAPTR record, as far as SIP reads it."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


class Srv(NamedTuple):
    """An SRV record. Target "" is the root: the service is not offered."""

    priority: int
    weight: int
    port: int
    target: str


class Server(NamedTuple):
    """An SRV record whose target is resolved, or a host without one (priority and weight 0)."""

    priority: int
    weight: int
    addresses: tuple[Address, ...]


class Weighed(Protocol):
    """What has a priority and a weight."""

    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...


W = TypeVar("W", bound=Weighed)


def over_udp(records: Iterable[Naptr]) -> list[Naptr]:
    """The NAPTR records that lead to SIP over UDP by a plain replacement, the first to be tried first."""
    usable = [
        r
        for r in records
        if r.service.lower() == "sip+d2u" and r.flags.lower() in ("s", "a") and not r.regexp and r.replacement
    ]
    return sorted(usable, key=lambda r: (r.order, r.preference))


def by_priority(records: Sequence[W], draw: Draw) -> list[W]:
    """Lowest priority first; inside one, each next is drawn in proportion to its weight (RFC 2782)."""
    if len(records) < 2:
        return list(records)
    result: list[W] = []
    for _, group in groupby(sorted(records, key=lambda r: r.priority), key=lambda r: r.priority):
        result.extend(_by_weight(list(group), draw))
    return result


def _by_weight(left: list[W], draw: Draw) -> list[W]:
    left.sort(key=lambda r: r.weight > 0)  # weight 0 first: it has a very small chance
    result: list[W] = []
    while len(left) > 1:
        total = sum(r.weight for r in left)
        if not total:
            result.append(left.pop(int(draw() * len(left))))
            continue
        chosen = int(draw() * (total + 1))
        for position, record in enumerate(left):
            chosen -= record.weight
            if chosen <= 0:
                result.append(left.pop(position))
                break
    return result + left


def addresses(servers: Sequence[Server], draw: Draw, limit: int) -> list[Address]:
    """All addresses in the order in which they are tried, equal ones once, `limit` at most."""
    found = dict.fromkeys(a for server in by_priority(servers, draw) for a in server.addresses)
    return list(found)[:limit]
