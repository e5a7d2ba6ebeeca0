"""Judges a process by its slot: is it stuck, and what shall be done about it. Pure; the supervisor asks once a tick.

A duration is measured on the supervisor's own clock, from the tick that first saw a value to the tick that still sees
it. So neither a suspended machine nor a clock step condemns anybody; after a pause of the supervisor itself all
starts anew.

A process that is stopped inside a handler (SIGSTOP) will not return from it: it is ended as if it were outside.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from workers.application import SlotState

CRITICAL_SECS = 0.5
STALL_SECS = 1.0
SILENCE_SECS = 10.0


class Verdict(Enum):
    FINE = "fine"
    DUMP = "dump the stack, then kill"
    KILL = "kill"


class Stopwatch:
    """How long one value has been seen; None stops it."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.since = 0.0

    def held(self, value: float | None, tick: float) -> float:
        if value is None or value != self.value:
            self.value, self.since = value, tick
        return tick - self.since


class Watch:
    def __init__(self, handler_stall_secs: float) -> None:
        self.handler_stall_secs = handler_stall_secs
        self.reason = ""
        self.reset()

    def reset(self) -> None:
        self.critical, self.handler, self.busy, self.idle = Stopwatch(), Stopwatch(), Stopwatch(), Stopwatch()

    def judge(self, state: SlotState, tick: float, stopped: Callable[[], bool] = lambda: False) -> Verdict:
        """`tick` is the supervisor's monotonic time; `stopped` says of the process whether it is, and is asked only of
        one that has been in its handler for a while. `reason` says in words what is wrong."""
        in_handler = state.in_handler_since or None
        looping = state.heartbeat if state.busy and in_handler is None else None
        critical = self.critical.held(state.critical_since or None, tick)
        handler = self.handler.held(in_handler, tick)
        busy = self.busy.held(looping, tick)
        idle = self.idle.held(None if state.busy else state.heartbeat, tick)
        if critical > CRITICAL_SECS:
            self.reason = f"in a critical section for {critical:.1f} s"
            return Verdict.KILL
        if handler > self.handler_stall_secs:
            self.reason = f"a handler has not returned for {handler:.1f} s"
            return Verdict.DUMP
        if handler > STALL_SECS and stopped():
            self.reason = f"stopped inside a handler for {handler:.1f} s"
            return Verdict.DUMP
        if max(busy / STALL_SECS, idle / SILENCE_SECS) > 1.0:
            self.reason = f"no heartbeat for {max(busy, idle):.1f} s"
            return Verdict.DUMP
        return Verdict.FINE


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal; False for one that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
