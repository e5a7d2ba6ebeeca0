"""Contact and Destination: what registrar look-ups and gateway selections give to scripts. Snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from siphon.script._contact import Contact as Contact


@dataclass(frozen=True, slots=True)
class Destination:
    """A gateway destination; `bool()` is its health."""

    uri: str
    address: str
    healthy: bool = True
    weight: int = 1
    priority: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.uri

    def __bool__(self) -> bool:
        return self.healthy
