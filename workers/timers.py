"""Deadlines of records: the compiled `_timers_cy`, where the structure is described."""

from workers._timers_cy import TimerRings

__all__ = ["TimerRings"]
