"""The transaction record: all that siphond knows of one server transaction and the branches made from it.

A record is loaded as a private copy, changed by a decision and committed whole; nothing else holds state of a call. The
classes (siphon/state/_record.pyx) are plain values: no clock, no socket, no behaviour. `encode` and `decode`
(siphon/state/codec.py) turn one into bytes of fixed layout and back; the same bytes lie in shared memory, go to Redis
and run in the simulator.

Times are CLOCK_BOOTTIME seconds (float); 0.0 means "not armed". Statuses are SIP status codes; 0 means "none yet".
What ends a state and needs no action (Timers D, I, J, K, L, M) is a time that readers compare; what must act (A, B,
C, E, F, G, ring timeouts, claims) is a deadline that `next_deadline` sees. A number that does not fit into its field of
the layout is an OverflowError where it is assigned.
"""

from __future__ import annotations

from enum import IntEnum

from siphon.state._record import Branch, Claim, Client, Record

__all__ = ["NO_SLOT", "Branch", "CancelCause", "Claim", "ClaimKind", "Client", "Record"]


class ClaimKind(IntEnum):
    """What a claim's handlers are for."""

    REQUEST = 1
    REPLY = 2
    FAILURE = 3
    CANCEL = 4


NO_SLOT = 0xFFFF
"""Slot of a claim that waits for a worker: left by a helper that runs no handlers. `waiter` of a record for whose
answer nobody waits."""


class CancelCause(IntEnum):
    """Why a branch is being cancelled: decides what its end counts as."""

    NONE = 0
    CALLER = 1  # the caller's CANCEL: its final, normally 487, is the answer
    ANSWERED = 2  # another branch answered: its final is absorbed
    TIMER_C = 3  # counts as 408 when its final comes or 64*T1 later
    RING = 4  # timeout= expired: already counted as 408
    REJECTED = 5  # a handler rejected: failures are absorbed
    DECLINED = 6  # another branch answered 6xx: its final is one more candidate
