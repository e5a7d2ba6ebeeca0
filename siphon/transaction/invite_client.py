"""INVITE client transaction: RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §7.2.

The branch holds the machine. Timer A is `resend_at`/`interval`, Timer B `timeout_at`; Timers D and M are `end_at`,
which readers compare. `data` is the INVITE to repeat where an action sends. The machine asks for an ACK by
`step.acknowledge` and passes a response on by `step.deliver`; who builds the ACK is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum

from siphon.state.record import Branch
from siphon.transaction.step import Step


class State(IntEnum):
    """States of RFC 3261 figure 5 and RFC 6026 figure 2."""

    CALLING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    COMPLETED = 4
    TERMINATED = 5


class Event(Enum):
    """What may happen to the machine."""

    START = "INVITE from the transaction user"
    PROVISIONAL = "1xx"
    FINAL_2XX = "2xx"
    FINAL_300 = "300-699"
    TIMER_A = "Timer A"
    TIMER_B = "Timer B"
    TIMER_D = "Timer D"
    TIMER_M = "Timer M"
    UNREACHABLE = "transport error"


Action = Callable[[Step, Branch, bytes], None]


def start(step: Step, branch: Branch, data: bytes) -> None:
    """Send the INVITE; Timers A and B begin."""
    branch.interval = step.timing.t1
    branch.resend_at = step.now + branch.interval
    branch.timeout_at = step.now + step.timing.long
    step.downstream(branch, data)


def resend_double(step: Step, branch: Branch, data: bytes) -> None:
    """Timer A: repeat the INVITE, twice as late next time, without the cap T2 (TXN-07)."""
    step.downstream(branch, data)
    branch.interval *= 2
    branch.resend_at += branch.interval


def proceed(step: Step, branch: Branch, data: bytes) -> None:
    """A 1xx: no more INVITEs; Timer C is now what ends the branch (TXN-08)."""
    branch.resend_at = branch.timeout_at = 0.0
    step.deliver = True


def accept(step: Step, branch: Branch, data: bytes) -> None:
    """The first 2xx: Timer M begins; nobody here sends an ACK for it."""
    branch.resend_at = branch.timeout_at = 0.0
    branch.end_at = step.now + step.timing.long
    step.deliver = True


def pass_2xx(step: Step, branch: Branch, data: bytes) -> None:
    """A further 2xx is the transaction user's (TXN-10)."""
    step.deliver = True


def complete(step: Step, branch: Branch, data: bytes) -> None:
    """A failure: acknowledged at once, Timer D absorbs its repeats (TXN-09)."""
    branch.resend_at = branch.timeout_at = 0.0
    branch.end_at = step.now + max(step.timing.long, 32.0)
    step.acknowledge = True
    step.deliver = True


def acknowledge(step: Step, branch: Branch, data: bytes) -> None:
    """A repeated failure is acknowledged again and goes no further."""
    step.acknowledge = True


def ignore(step: Step, branch: Branch, data: bytes) -> None:
    """Absorb the event."""


def fail(step: Step, branch: Branch, data: bytes) -> None:
    """No answer, or the address cannot be reached: the transaction user is told."""
    branch.resend_at = branch.timeout_at = 0.0
    step.deliver = True


def revive(step: Step, branch: Branch, data: bytes) -> None:
    """A 1xx after all on a branch given up: the transaction user cancels it, and its final will be acknowledged."""
    step.deliver = True


def end(step: Step, branch: Branch, data: bytes) -> None:
    """The transaction is over; later responses are strays."""
    branch.resend_at = branch.timeout_at = 0.0


C, P, A, D, T = State.CALLING, State.PROCEEDING, State.ACCEPTED, State.COMPLETED, State.TERMINATED

TABLE: dict[int, dict[Event, tuple[State, Action]]] = {
    C: {
        Event.START: (C, start),
        Event.PROVISIONAL: (P, proceed),
        Event.FINAL_2XX: (A, accept),
        Event.FINAL_300: (D, complete),
        Event.TIMER_A: (C, resend_double),
        Event.TIMER_B: (T, fail),
        Event.UNREACHABLE: (T, fail),
    },
    P: {
        Event.PROVISIONAL: (P, proceed),
        Event.FINAL_2XX: (A, accept),
        Event.FINAL_300: (D, complete),
    },
    A: {
        Event.FINAL_2XX: (A, pass_2xx),
        Event.FINAL_300: (A, ignore),
        Event.TIMER_M: (T, end),
    },
    D: {
        Event.FINAL_300: (D, acknowledge),
        Event.TIMER_D: (T, end),
    },
    T: {
        Event.PROVISIONAL: (P, revive),  # not in RFC 3261: a phone that rings for nobody
    },
}


def apply(step: Step, branch: Branch, event: Event, data: bytes = b"") -> bool:
    """Feed the machine; False when the table has no row for it: the event is discarded."""
    row = TABLE[branch.state].get(event)
    if row is None:
        return False
    branch.state = row[0]
    row[1](step, branch, data)
    return True
