"""The timers of RFC 3261 table 4, as amended by RFC 6026 (L, M); seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """T1, T2, T4 and Timer C; all other timers follow from them (UDP)."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    timer_c: float = 185.0
    linger: float = 5.0

    @property
    def long(self) -> float:
        """64*T1: Timers B, F, H, J, L and M; D is at least 32 s."""
        return 64.0 * self.t1
