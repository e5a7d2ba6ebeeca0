"""Non-INVITE server transaction: RFC 3261 §17.2.2, amended by RFC 4320 §4.

Timer J is `end_at`: readers compare it. The only 1xx ever sent is a 100, and not before 3.5 s over UDP (TXN-21).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum

from siphon.transaction.step import Step


class State(IntEnum):
    """States of RFC 3261 figure 8."""

    TRYING = 6
    PROCEEDING = 7
    COMPLETED = 8
    TERMINATED = 9


class Event(Enum):
    """What may happen to the machine."""

    REQUEST = "repeated request"
    PROVISIONAL = "100 from the transaction user"
    FINAL = "200-699 from the transaction user"
    TIMER_J = "Timer J"


Action = Callable[[Step, bytes], None]


def ignore(step: Step, data: bytes) -> None:
    """Absorb the event."""


def resend(step: Step, data: bytes) -> None:
    """Repeat the last response (TXN-13)."""
    if step.record.last_response:
        step.upstream(step.record.last_response)


def send_provisional(step: Step, data: bytes) -> None:
    """Send the 100 and keep it for repeats."""
    step.record.trying_at = 0.0
    step.record.last_response = data
    step.upstream(data)


def send_arm_j(step: Step, data: bytes) -> None:
    """Send the final and keep it for repeats; Timer J begins."""
    r = step.record
    r.trying_at = 0.0
    r.last_response = data
    r.end_at = step.now + step.timing.long
    step.upstream(data)


def end(step: Step, data: bytes) -> None:
    """The transaction is over; the record lingers."""


TABLE: dict[int, dict[Event, tuple[State, Action]]] = {
    State.TRYING: {
        Event.REQUEST: (State.TRYING, ignore),
        Event.PROVISIONAL: (State.PROCEEDING, send_provisional),
        Event.FINAL: (State.COMPLETED, send_arm_j),
    },
    State.PROCEEDING: {
        Event.REQUEST: (State.PROCEEDING, resend),
        Event.PROVISIONAL: (State.PROCEEDING, send_provisional),
        Event.FINAL: (State.COMPLETED, send_arm_j),
    },
    State.COMPLETED: {
        Event.REQUEST: (State.COMPLETED, resend),
        Event.TIMER_J: (State.TERMINATED, end),
    },
    State.TERMINATED: {},
}


def apply(step: Step, event: Event, data: bytes = b"") -> bool:
    """Feed the machine; False when the table has no row for it: the event is discarded (TXN-23)."""
    row = TABLE[step.record.state].get(event)
    if row is None:
        return False
    step.record.state = row[0]
    row[1](step, data)
    return True
