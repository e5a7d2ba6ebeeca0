"""How often something may happen in a second, by key, in one process and in bounded memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

KEYS = 4096


@dataclass(slots=True)
class PerSecond:
    """At most `most` a second for each key. After KEYS keys in one second all begin anew: a sender with that many
    addresses is not limited by a count for each of them."""

    most: int
    second: int = 0
    seen: dict[Hashable, int] = field(default_factory=dict)

    def allows(self, key: Hashable, now: float) -> bool:
        """Whether it may happen once more in this second; then it is counted."""
        second = int(now)
        if second != self.second or len(self.seen) >= KEYS:
            self.second = second
            self.seen.clear()
        count = self.seen[key] = self.seen.get(key, 0) + 1
        return count <= self.most
