"""Whether a process takes new work, in C: asked for each request.

`refusing`: the instance drains, or state that it shares is away, behind, or kept under another secret than the one that
this process began with. `overloaded`: too many handlers wait, or the store of transactions is away or behind.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from libc.stdint cimport uint64_t

from shm._slots cimport Slots


@cython.final
cdef class Gate:
    """Of one process. `flags` of the slot table refuse new work; `mirror` is None where no state is shared with other
    nodes, `far` where transactions are not. `driver` runs handlers, `secrets` waits for passwords."""

    def __init__(self, Slots slots not None, uint64_t flags, mirror, far, uint64_t secret_count, driver, secrets):
        self.slots, self.mask = slots, flags
        self.mirror, self.far, self.driver, self.secrets = mirror, far, driver, secrets
        self.secret_count = secret_count
        self.capacity = 0

    def configure(self, int capacity):
        """So many handlers may wait (script.executor_queue_capacity)."""
        self.capacity = capacity

    cdef bint is_closed(self) except -1:
        if (<volatile uint64_t *>&self.slots.head.flags)[0] & self.mask:
            return True
        return self.mirror is not None and <uint64_t>self.mirror.secret != self.secret_count

    cdef bint is_full(self) except -1:
        cdef int waiting
        if self.far is not None and not self.far.takes_work:
            return True
        waiting = self.driver.pending
        waiting += <int>self.secrets.pending
        return waiting >= self.capacity

    def refusing(self):
        """New work outside dialogs gets 503."""
        return self.is_closed()

    def overloaded(self):
        """All new work gets 503."""
        return self.is_full()
