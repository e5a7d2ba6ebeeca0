"""Which deadline of a record comes next, and when it may go (siphon/state/deadlines.py says what for)."""

# cython: boundscheck=False, wraparound=False

from siphon.state._record cimport Branch, Claim, Record

PENDING_GRACE = 240.0
"""Seconds that a record without a final outlives its last deadline: longer than any handler or Timer C may take."""

cdef double GRACE = PENDING_GRACE


cdef inline double sooner(double one, double other) noexcept:
    return other if other > 0.0 and (one == 0.0 or other < one) else one


cdef inline double later(double one, double other) noexcept:
    return other if other > one else one


cpdef double next_deadline(Record r) except? -1.0:
    """The earliest armed deadline; 0.0 when nothing is to be done."""
    cdef Branch b
    cdef Claim c
    cdef double found = sooner(sooner(0.0, r.trying_at), r.resend_at)
    for b in r.branches:
        found = sooner(sooner(sooner(found, b.resend_at), b.timeout_at), b.ring_at)
        found = sooner(sooner(found, b.timer_c_at), b.give_up_at)
        if b.cancel is not None:
            found = sooner(sooner(found, b.cancel.resend_at), b.cancel.timeout_at)
    for c in r.claims:
        found = sooner(found, c.deadline)
    return found


cpdef double expiry(Record r, double linger, double timer_j) except? -1.0:
    """When the record may go: `linger` after its last timer (TXN-25), Timer J longer after a CANCEL or a PRACK."""
    cdef Branch b
    cdef Claim c
    cdef double last = later(later(later(later(r.end_at, r.created), r.prack_until), r.trying_at), r.resend_at)
    for b in r.branches:
        last = later(later(later(last, b.resend_at), b.timeout_at), b.ring_at)
        last = later(later(later(last, b.timer_c_at), b.give_up_at), b.end_at)
        if b.cancel is not None:
            last = later(later(later(last, b.cancel.resend_at), b.cancel.timeout_at), b.cancel.end_at)
    for c in r.claims:
        last = later(last, c.deadline)
    if not r.final_status:
        return last + GRACE
    if r.cancel_at:
        last = later(last, r.cancel_at + timer_j)
    return last + linger
