"""The record of a group: what it is, and the health of its upstreams; and what one version of it means for choices.

siphon/services/balancing/groups.py says who writes it, and when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from siphon.services.balancing import choice
from siphon.services.balancing.health import Health, health_of_row
from siphon.services.balancing.model import Group, Upstream, group_of_row
from siphon.services.store import BadRecord, RecordTable, pack, unpack

GROUP, TURN, NEWS = 1, 2, 3
"""Owners of records: a group, a number, and the record that changes with each group made or removed."""
HEALTHY = Health()
KEPT_FILTERS = 64
"""Choices by `attrs` that are remembered for each version of a group."""
_VERSION = 1
_FIELDS = 6


class Kind(IntEnum):
    """What a record says of its group."""

    CONFIGURED = 0
    DYNAMIC = 1
    REMOVED = 2


@dataclass(frozen=True)
class View:
    """A group as one version of its record shows it (0: there is no record)."""

    where: bytes
    version: int
    kind: Kind
    order: float
    epoch: str
    group: Group
    healths: Mapping[str, Health]

    def health(self, upstream: Upstream) -> Health:
        """Of one upstream; healthy until somebody has found otherwise."""
        return self.healths.get(upstream.ident, HEALTHY)

    @cached_property
    def usable(self) -> list[Upstream]:
        """Those that may be chosen."""
        return [upstream for upstream in self.group.upstreams if self.health(upstream).usable]

    @cached_property
    def pools(self) -> list[choice.Pool]:
        """Of them, by priority."""
        return choice.pools(self.usable)

    @cached_property
    def ips(self) -> frozenset[str]:
        """What the names of its upstreams resolve to, as far as the prober has found out."""
        return frozenset(ip for found in self.healths.values() for ip in found.ips)

    @cached_property
    def _filtered(self) -> dict[Any, list[choice.Pool]]:
        return {}

    def pools_for(self, attrs: Mapping[str, Any]) -> list[choice.Pool]:
        """Of those that have these attributes."""
        try:
            key = tuple(attrs.items())
            if key not in self._filtered and len(self._filtered) < KEPT_FILTERS:
                self._filtered[key] = choice.pools(choice.matching(self.usable, attrs))
            return self._filtered[key]
        except (KeyError, TypeError):
            return choice.pools(choice.matching(self.usable, attrs))

    def packed(self) -> bytes:
        """Its record."""
        healths = {ident: list(health) for ident, health in self.healths.items() if health != HEALTHY}
        return pack([_VERSION, int(self.kind), self.epoch, self.order, self.group.row(), healths])


def stored(table: RecordTable) -> list[View]:
    """The records of all groups, as they are: for those who look on, and have no settings."""
    found = [read_view(table, where) for where, _, _ in table.owned(GROUP)]
    return [view for view in found if view is not None]


def read_view(table: RecordTable, where: bytes) -> View | None:
    """One of them."""
    found = table.get(where)
    if not isinstance(found, tuple):
        return None
    return parsed(where, *found)


def parsed(where: bytes, version: int, value: bytes) -> View | None:
    """What a record says; None where it cannot be read."""
    try:
        _, kind, epoch, order, row, rows = unpack(value, _VERSION, _FIELDS)
        healths = {ident: health_of_row(fields) for ident, fields in rows.items()}
        return View(where, version, Kind(kind), order, epoch, group_of_row(row), healths)
    except (BadRecord, TypeError, ValueError, AttributeError, IndexError):
        return None
