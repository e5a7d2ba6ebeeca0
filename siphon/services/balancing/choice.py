"""Which of several upstreams gets a call: pure, without health, clock or table.

In: the upstreams that may be chosen, all of one priority, as a Pool; and a number that grows by one with each choice,
or a key. Out: one of them.

    weighted      number modulo the sum of the weights, in the upstreams' order: 3 and 1 give A A A B
    round_robin   number modulo their count
    hash          rendezvous hashing: each upstream draws a score for the key, the highest has it

A key's score at an upstream depends on the two alone. So an upstream that goes takes only its own keys away, and when
it comes back gets the same ones again. The score is -weight / ln(u) with u even in (0, 1): the share of keys is that of
the weights. One digest a key and a few multiplications an upstream: a digest each would cost a microsecond each.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, groupby
from math import log
from typing import Any

from siphon.services.balancing.model import Upstream

_MASK = (1 << 64) - 1
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # the finalizer of SplitMix64
_SCALE = 1.0 / (1 << 64)


class Pool:
    """Upstreams of one priority, of which one is to be chosen."""

    __slots__ = ("cumulative", "equal", "members", "priority", "seeds", "total")

    def __init__(self, priority: int, members: Sequence[Upstream]) -> None:
        self.priority = priority
        self.members = tuple(members)
        self.cumulative = list(accumulate(member.weight for member in self.members))
        self.total = self.cumulative[-1]
        weights = {member.weight for member in self.members}
        self.equal = len(weights) == 1
        self.seeds = [(_digest(member.ident), member) for member in self.members if member.weight or not self.total]


def pools(members: Sequence[Upstream]) -> list[Pool]:
    """The pools of those that may be chosen, the lowest priority number first; [] when there is none."""
    ranked = sorted(members, key=lambda member: member.priority)
    return [Pool(priority, list(found)) for priority, found in groupby(ranked, key=lambda member: member.priority)]


def matching(members: Sequence[Upstream], attrs: Mapping[str, Any]) -> list[Upstream]:
    """Those that have every pair of `attrs`."""
    return [m for m in members if all(name in m.attrs and m.attrs[name] == value for name, value in attrs.items())]


def weighted(pool: Pool, number: int) -> Upstream:
    """The one whose turn it is by the weights; the first when all are 0."""
    if not pool.total:
        return pool.members[0]
    return pool.members[bisect_right(pool.cumulative, number % pool.total)]


def round_robin(pool: Pool, number: int) -> Upstream:
    """One after the other, whatever the weights."""
    return pool.members[number % len(pool.members)]


def rendezvous(pool: Pool, key: str) -> Upstream:
    """The one that the key belongs to; upstreams of weight 0 get none unless all are 0."""
    drawn = _digest(key)
    best, chosen = -1.0, pool.seeds[0][1]
    for seed, member in pool.seeds:
        x = drawn ^ seed
        x = ((x ^ (x >> 30)) * _FIRST) & _MASK
        x = ((x ^ (x >> 27)) * _SECOND) & _MASK
        score = ((x ^ (x >> 31)) + 0.5) * _SCALE
        if not pool.equal:
            score = -member.weight / log(min(score, 1.0 - 1e-16))
        if score > best:
            best, chosen = score, member
    return chosen


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest())
