"""INVITE server transaction: RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1.

The record holds the machine: `state`, Timer G in `resend_at`/`interval`, Timers H, I and L in `end_at` (readers compare
it, no event is needed to end). `data` is the response to send; the machine stores what a repeat will need.

A 2xx that siphond itself makes is repeated by the UAS core, T1 doubling to T2, until its ACK (RFC 3261 §13.3.1.4):
`local_2xx`. A 2xx that was forwarded is never repeated here; its sender does that.

A reliable 1xx that siphond itself makes is repeated likewise until its PRACK (RFC 3262 §3). Unacknowledged is
Proceeding while that one is awaited; at `end_at` the core gives it up. A reliable 1xx that was forwarded is just a 1xx.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum

from siphon.transaction.step import Step


class State(IntEnum):
    """States of RFC 3261 figure 7 and RFC 6026 figure 1."""

    PROCEEDING = 1
    ACCEPTED = 2
    COMPLETED = 3
    CONFIRMED = 4
    TERMINATED = 5
    UNACKNOWLEDGED = 10  # 6 to 9 are the non-INVITE server transaction's


class Event(Enum):
    """What may happen to the machine."""

    REQUEST = "repeated INVITE"
    PROVISIONAL = "1xx from the transaction user"
    RELIABLE = "reliable 1xx from the transaction user"
    FINAL_2XX = "2xx from the transaction user"
    FINAL_300 = "300-699 from the transaction user"
    ACK = "ACK"
    ACK_OF_OTHER = "ACK to a final of another node"
    PRACK = "PRACK of the reliable 1xx"
    REPEAT = "reliable 1xx due again"
    TIMER_G = "Timer G"
    TIMER_H = "Timer H"
    TIMER_I = "Timer I"
    TIMER_L = "Timer L"


Action = Callable[[Step, bytes], None]


def ignore(step: Step, data: bytes) -> None:
    """Absorb the event."""


def resend(step: Step, data: bytes) -> None:
    """Repeat the last response, if there was one (TXN-01, TXN-03)."""
    if step.record.last_response:
        step.upstream(step.record.last_response)


def send_provisional(step: Step, data: bytes) -> None:
    """Send a 1xx and keep it for repeats; the automatic 100 is no longer due."""
    step.record.trying_at = 0.0
    step.record.last_response = data
    step.upstream(data)


def send_arm_repeats(step: Step, data: bytes) -> None:
    """Send a reliable 1xx; it is repeated until its PRACK, for 64*T1 at most (RFC 3262 §3)."""
    r = step.record
    send_provisional(step, data)
    r.interval = step.timing.t1
    r.resend_at = step.now + r.interval
    r.end_at = step.now + step.timing.long


def send_arm_l(step: Step, data: bytes) -> None:
    """Send the first 2xx; Timer L begins (RFC 6026 §7.1). Only a 2xx of ours is repeated."""
    r = step.record
    r.trying_at = r.resend_at = 0.0
    r.end_at = step.now + step.timing.long
    r.last_response = b""
    if r.local_2xx:
        r.last_response = data
        r.interval = step.timing.t1
        r.resend_at = step.now + r.interval
    step.upstream(data)


def send(step: Step, data: bytes) -> None:
    """Send a further 2xx (RFC 6026 §7.1)."""
    step.upstream(data)


def send_arm_g_h(step: Step, data: bytes) -> None:
    """Send the failure; Timers G and H begin."""
    r = step.record
    r.trying_at = 0.0
    r.last_response = data
    r.interval = step.timing.t1
    r.resend_at = step.now + r.interval
    r.end_at = step.now + step.timing.long
    step.upstream(data)


def resend_back_off(step: Step, data: bytes) -> None:
    """Timer G: repeat the final, twice as late next time up to T2, until Timer H or L ends it (TXN-02)."""
    r = step.record
    resend(step, data)
    r.interval = min(2 * r.interval, step.timing.t2)
    r.resend_at += r.interval
    if r.resend_at >= r.end_at:
        r.resend_at = 0.0


def resend_reliable(step: Step, data: bytes) -> None:
    """Repeat the reliable 1xx, twice as late next time up to T2; what comes at 64*T1 is its end."""
    r = step.record
    resend(step, data)
    r.interval = min(2 * r.interval, step.timing.t2)
    r.resend_at = min(r.resend_at + r.interval, r.end_at)


def stop_resending(step: Step, data: bytes) -> None:
    """What was repeated has been acknowledged: a 2xx of ours by its ACK, a reliable 1xx of ours by its PRACK."""
    step.record.resend_at = 0.0


def arm_i(step: Step, data: bytes) -> None:
    """The ACK to a failure has come: Timer G stops, Timer I absorbs further ACKs."""
    step.record.resend_at = 0.0
    step.record.end_at = step.now + step.timing.t4


def arm_i_unsent(step: Step, data: bytes) -> None:
    """The caller has acknowledged a final that another node made without this record: nothing more is sent."""
    step.record.trying_at = 0.0
    arm_i(step, data)


def end(step: Step, data: bytes) -> None:
    """The transaction is over; the record lingers."""
    step.record.resend_at = 0.0


P, A, C, F, T = State.PROCEEDING, State.ACCEPTED, State.COMPLETED, State.CONFIRMED, State.TERMINATED
U = State.UNACKNOWLEDGED

TABLE: dict[int, dict[Event, tuple[State, Action]]] = {
    P: {
        Event.REQUEST: (P, resend),
        Event.PROVISIONAL: (P, send_provisional),
        Event.RELIABLE: (U, send_arm_repeats),
        Event.FINAL_2XX: (A, send_arm_l),
        Event.FINAL_300: (C, send_arm_g_h),
        Event.ACK_OF_OTHER: (F, arm_i_unsent),  # docs/decisions/refused-by-another-node.md
    },
    U: {  # RFC 3262 §3: no other 1xx before the PRACK, any final ends the repeats
        Event.REQUEST: (U, resend),
        Event.PRACK: (P, stop_resending),
        Event.REPEAT: (U, resend_reliable),
        Event.FINAL_2XX: (A, send_arm_l),
        Event.FINAL_300: (C, send_arm_g_h),
        Event.ACK_OF_OTHER: (F, arm_i_unsent),
    },
    A: {
        Event.REQUEST: (A, ignore),  # RFC 6026 §7.1: absorbed, and the 2xx is not repeated (TXN-04)
        Event.FINAL_2XX: (A, send),
        Event.ACK: (A, stop_resending),
        Event.TIMER_G: (A, resend_back_off),  # RFC 3261 §13.3.1.4: only a 2xx of ours
        Event.TIMER_L: (T, end),
    },
    C: {
        Event.REQUEST: (C, resend),
        Event.FINAL_2XX: (A, send_arm_l),  # RFC 3261 §16.7 step 5: a 2xx is forwarded even after another final
        Event.ACK: (F, arm_i),
        Event.TIMER_G: (C, resend_back_off),
        Event.TIMER_H: (T, end),
    },
    F: {
        Event.REQUEST: (F, ignore),
        Event.FINAL_2XX: (F, send),
        Event.ACK: (F, ignore),
        Event.TIMER_I: (T, end),
    },
    T: {Event.FINAL_2XX: (T, send)},
}


def apply(step: Step, event: Event, data: bytes = b"") -> bool:
    """Feed the machine; False when the table has no row for it: the event is discarded (TXN-23)."""
    row = TABLE[step.record.state].get(event)
    if row is None:
        return False
    step.record.state = row[0]
    row[1](step, data)
    return True
