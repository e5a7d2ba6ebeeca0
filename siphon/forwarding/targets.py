"""The target set of a fork (RFC 3261 §16.5) and how many of its branches may run at once (RFC 5393 §5).

In: targets in the order given. Out: groups, each of which is started when the one before it has ended. Targets are
plain values: a name or a binding has become one before it comes here. Nothing raises; a URI that cannot be parsed
equals only itself, and fails later as a branch.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby

from siphon.forwarding.trim import clean_target
from siphon.sip.message import SipMessage
from siphon.sip.uri import Uri, same_uri

MAX_BREADTH_EXCEEDED = (440, "Max-Breadth Exceeded")


@dataclass(frozen=True, slots=True)
class Target:
    """One branch to be. `path` replaces the Route set when not empty; `received` is where a binding behind NAT is
    reached.
    """

    uri: bytes
    path: tuple[bytes, ...] = ()
    received: tuple[str, int] | None = None
    listener: int | None = None
    q: float = 1.0
    flow: Hashable = None


def groups(targets: Sequence[Target], strategy: str) -> list[list[Target]]:
    """The distinct targets as groups to be tried one after the other; within a group all run at once.

    "sequential": each alone, in the order given. "q": equal q together, highest first. Anything else: all at once.
    """
    distinct = dedupe(targets)
    if strategy == "sequential":
        return [[target] for target in distinct]
    if strategy == "q":
        ranked = sorted(distinct, key=lambda target: -target.q)
        return [list(group) for _, group in groupby(ranked, key=lambda target: target.q)]
    return [distinct] if distinct else []


def dedupe(targets: Sequence[Target]) -> list[Target]:
    """The targets without those that would reach the same place: equal URI (RFC 3261 §19.1.4) as it will be called,
    without `?headers` and `method`, equal Path and flow. The first one stays.
    """
    if len(targets) < 2:
        return list(targets)
    kept: dict[tuple[tuple[bytes, ...], Hashable], list[tuple[bytes, Uri | None]]] = {}
    order: list[Target] = []
    for target in targets:
        rivals = kept.setdefault((target.path, target.flow), [])
        called = clean_target(target.uri)
        uri = _parsed(called)
        if not any(called == text or (uri and other and same_uri(uri, other)) for text, other in rivals):
            rivals.append((called, uri))
            order.append(target)
    return order


def _parsed(uri: bytes) -> Uri | None:
    try:
        return Uri.parse(uri)
    except ValueError:
        return None


# -- Max-Breadth -----------------------------------------------------------------------------------------------------


def received_breadth(message: SipMessage, limit: int) -> int:
    """How many branches may run at once for this request: Max-Breadth, or `limit` where it is absent, larger or no
    number.

    0 means that none may: the answer is MAX_BREADTH_EXCEEDED.
    """
    value = message.first("Max-Breadth")
    if value is None or len(value) > 9 or not value.isdigit():
        return limit
    return min(int(value), limit)


def share_breadth(free: int, waiting: int) -> list[int]:
    """The Max-Breadth of each branch that may start now, at most `waiting` of them; their sum never exceeds `free`.

    Targets beyond the list wait until a branch ends and gives its share back.
    """
    started = min(free, waiting)
    if started <= 0:
        return []
    share, surplus = divmod(free, started)
    return [share + (number < surplus) for number in range(started)]
