"""Non-INVITE client transaction: RFC 3261 §17.1.2; also that of the CANCEL of a branch.

The client (a branch, or its `cancel`) holds the machine. Timer E is `resend_at`/`interval`, Timer F `timeout_at`,
Timer K `end_at`, which readers compare. The address is the branch's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum

from siphon.state.record import Branch, Client
from siphon.transaction.step import Step


class State(IntEnum):
    """States of RFC 3261 figure 6."""

    TRYING = 6
    PROCEEDING = 7
    COMPLETED = 8
    TERMINATED = 9


class Event(Enum):
    """What may happen to the machine."""

    START = "request from the transaction user"
    PROVISIONAL = "1xx"
    FINAL = "200-699"
    TIMER_E = "Timer E"
    TIMER_F = "Timer F"
    TIMER_K = "Timer K"
    UNREACHABLE = "transport error"


Action = Callable[[Step, Branch, Client, bytes], None]


def start(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """Send the request; Timers E and F begin."""
    client.interval = step.timing.t1
    client.resend_at = step.now + client.interval
    client.timeout_at = step.now + step.timing.long
    step.downstream(branch, data)


def resend_double(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """Timer E in Trying: twice as late next time, up to T2 (TXN-11)."""
    step.downstream(branch, data)
    client.interval = min(2 * client.interval, step.timing.t2)
    client.resend_at += client.interval


def resend_t2(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """Timer E in Proceeding: every T2 (TXN-12)."""
    step.downstream(branch, data)
    client.interval = step.timing.t2
    client.resend_at += client.interval


def proceed(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """A 1xx: the request is still repeated, every T2."""
    step.deliver = True


def complete(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """The final: Timer K absorbs its repeats."""
    client.resend_at = client.timeout_at = 0.0
    client.end_at = step.now + step.timing.t4
    step.deliver = True


def ignore(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """Absorb the event."""


def fail(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """No answer, or the address cannot be reached: the transaction user is told."""
    client.resend_at = client.timeout_at = 0.0
    step.deliver = True


def end(step: Step, branch: Branch, client: Client, data: bytes) -> None:
    """The transaction is over; later responses are strays."""


R, P, C, T = State.TRYING, State.PROCEEDING, State.COMPLETED, State.TERMINATED

TABLE: dict[int, dict[Event, tuple[State, Action]]] = {
    R: {
        Event.START: (R, start),
        Event.PROVISIONAL: (P, proceed),
        Event.FINAL: (C, complete),
        Event.TIMER_E: (R, resend_double),
        Event.TIMER_F: (T, fail),
        Event.UNREACHABLE: (T, fail),
    },
    P: {
        Event.PROVISIONAL: (P, proceed),
        Event.FINAL: (C, complete),
        Event.TIMER_E: (P, resend_t2),
        Event.TIMER_F: (T, fail),
        Event.UNREACHABLE: (T, fail),
    },
    C: {
        Event.FINAL: (C, ignore),
        Event.TIMER_K: (T, end),
    },
    T: {},
}


def apply(step: Step, branch: Branch, client: Client, event: Event, data: bytes = b"") -> bool:
    """Feed the machine; False when the table has no row for it: the event is discarded."""
    row = TABLE[client.state].get(event)
    if row is None:
        return False
    client.state = row[0]
    row[1](step, branch, client, data)
    return True
