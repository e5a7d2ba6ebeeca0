"""Judges a process by its slot: is it stuck, and what shall be done about it. Pure; the supervisor asks once a tick.

A duration is measured on the supervisor's own clock, from the tick that first saw a value to the tick that still sees
it. So neither a suspended machine nor a clock step condemns anybody; after a pause of the supervisor itself all
starts anew.

A process that is stopped inside a handler (SIGSTOP) will not return from it: it is ended as if it were outside.

A process that is ready to run, and hardly runs, is not stuck: the machine has no processor for it. To end it would lose
what it holds and cost a fork, and its siblings serve its sockets meanwhile. It gets PATIENCE_SECS more.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from workers.application import SlotState

CRITICAL_SECS = 0.5
STALL_SECS = 1.0
SILENCE_SECS = 10.0
PATIENCE_SECS = 8.0
"""For one that waits for a processor, from when it was first seen to be late."""
RAN_SECS = 0.2
"""One that has had a processor for so long meanwhile has used it for something else than beating."""


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


class Standing(NamedTuple):
    """What the kernel says of a process: the letter of its state (proc(5)), and the seconds of processor that its main
    thread has had."""

    state: str
    ran: float

    @classmethod
    def of(cls, pid: int) -> "Standing":
        """GONE for one that has gone, or of which the kernel does not tell."""
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return cls(state, int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9)
        except (OSError, IndexError, ValueError):
            return GONE


GONE = Standing("", 0.0)


class Watch:
    def __init__(self, handler_stall_secs: float) -> None:
        self.handler_stall_secs = handler_stall_secs
        self.reason = ""
        self.reset()

    def reset(self) -> None:
        self.critical, self.handler, self.busy, self.idle = Stopwatch(), Stopwatch(), Stopwatch(), Stopwatch()
        self.late: tuple[float, Standing] | None = None
        """When it was first seen to be too late, and how it stood then."""

    def judge(self, state: SlotState, tick: float, standing: Callable[[], Standing] = lambda: GONE) -> Verdict:
        """`tick` is the supervisor's monotonic time; `standing` tells of the process, and is asked only of one that is
        too late or has been in its handler for a while. `reason` says in words what is wrong."""
        in_handler = state.in_handler_since or None
        looping = state.heartbeat if state.busy and in_handler is None else None
        critical = self.critical.held(state.critical_since or None, tick)
        handler = self.handler.held(in_handler, tick)
        busy = self.busy.held(looping, tick)
        idle = self.idle.held(None if state.busy else state.heartbeat, tick)
        if handler > self.handler_stall_secs:
            self.reason = f"a handler has not returned for {handler:.1f} s"
            return Verdict.DUMP
        if handler > STALL_SECS and standing().state == "T":
            self.reason = f"stopped inside a handler for {handler:.1f} s"
            return Verdict.DUMP
        is_critical, is_silent = critical > CRITICAL_SECS, max(busy / STALL_SECS, idle / SILENCE_SECS) > 1.0
        if not is_critical and not is_silent:
            self.late = None
            return Verdict.FINE
        if self.is_starved(standing(), tick):
            return Verdict.FINE
        self.reason = (
            f"in a critical section for {critical:.1f} s"
            if is_critical
            else f"no heartbeat for {max(busy, idle):.1f} s"
        )
        return Verdict.KILL if is_critical else Verdict.DUMP

    def is_starved(self, standing: Standing, tick: float) -> bool:
        """Whether one that is too late waits for a processor and may wait on."""
        since, before = self.late = self.late or (tick, standing)
        return standing.state == "R" and standing.ran - before.ran < RAN_SECS and tick - since < PATIENCE_SECS
