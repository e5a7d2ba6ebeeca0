# cython: language_level=3, cdivision=True
"""Sweep: deletes what has expired, at a cost that follows what expires and not the size of the table.

Beside the headers lies a word for every 64 of them (`earliest`): not later than the time at which one of the group must be looked at.
Whoever commits lowers it where need be, before the store that switches; only the sweep raises it, in two steps that lie SETTLE apart:

    worker                                     sweep
    word of group 3: 80, this one ends at 70
    lowers the word to 70
                                               look(70): takes group 3, its word becomes "never"
    switches, unlocks
                                               later: turn() goes through the headers of group 3, deletes what is over, lowers the word
                                               to the earliest of the others

A worker is between lowering and switching for microseconds; one that stays there for half a second is killed, so by turn() the headers
say all that was lowered before look(). A sweep that dies between the two forgets a group: the next one begins with
all of them. Beside that each look() takes a few groups whatever their words say, so damaged words and headers are found within some minutes. What is read here
needs no lock; what is deleted is looked at again under its own.

One process sweeps a table. In a table with marks a deadline counts as an expiry does: its records are told, and stay.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from shm._index cimport *
from shm._layout cimport *
from shm._operations cimport *
from shm._sync cimport *
from shm._table cimport Table


cdef extern from * nogil:
    """
    static uint64_t shm_swap64(uint64_t *p, uint64_t v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
    """
    uint64_t shm_swap64(uint64_t *, uint64_t)


cdef enum:
    GROUP = 1 << GROUP_BITS
    REGARDLESS = 512            # a look takes one in so many groups whatever its word says

cdef double INF = float("inf")
cdef uint64_t NEVER = bits_of(INF)
SETTLE = 0.5


cdef class Sweep:
    """Of one table, in the one process that sweeps it. `deadlines`: tell of records whose deadline has come (of a table with marks)."""

    cdef Table table
    cdef bint deadlines
    cdef uint32_t groups, count, position, cursor
    cdef uint32_t *taken

    def __cinit__(self):
        self.taken = NULL

    def __init__(self, Table table, bint deadlines=False):
        if table.reading:
            raise ValueError("this table is open for reading only")
        if deadlines and table.region.marks == NULL:
            raise ValueError("deadlines of this table are not noted")
        self.table = table
        self.deadlines = deadlines
        self.groups = (table.region.records >> GROUP_BITS) + 1
        self.taken = <uint32_t *>malloc(self.groups * sizeof(uint32_t))
        if self.taken == NULL:
            raise MemoryError
        memset(table.region.earliest, 0, self.groups * sizeof(uint64_t))

    def __dealloc__(self):
        free(self.taken)

    @property
    def waiting(self):
        """Groups that have been taken and not gone through yet."""
        return self.count - self.position

    def look(self, double until):
        """Take the groups of which a record may be over by then. Not while there are `waiting` ones. turn() comes SETTLE later at the
        earliest."""
        cdef uint64_t *words = self.table.region.earliest
        cdef uint64_t limit = bits_of(until)
        cdef uint32_t g, extra = self.groups // REGARDLESS + 1
        if self.position < self.count:
            return
        self.count = self.position = 0
        for g in range(self.groups):
            if load64(&words[g]) <= limit or g - self.cursor < extra:
                shm_swap64(&words[g], NEVER)
                self.taken[self.count] = g
                self.count += 1
        self.cursor = self.cursor + extra if self.cursor + extra < self.groups else 0

    def give_back(self):
        """What has been taken and not gone through is left to another process, which sweeps from now on."""
        while self.position < self.count:
            lower64(&self.table.region.earliest[self.taken[self.position]], 0)
            self.position += 1

    def turn(self, double now, double until, Py_ssize_t limit=100):
        """(how many records went, [(key, version)] of up to about `limit` whose deadline has come). It goes through what was taken until
        time.monotonic() is `until`: one group at least."""
        cdef uint32_t gone = 0
        cdef list due = []
        self.table.be_writer()
        while self.position < self.count:
            gone += self.go_through(self.taken[self.position], now, due)
            self.position += 1
            if len(due) >= limit or clock_read(CLOCK_MONOTONIC) >= until:
                break
        return gone, due

    cdef uint32_t go_through(self, uint32_t group, double now, list due) except? 0:
        """Of one group: how many went."""
        cdef Region *r = &self.table.region
        cdef Descriptor d
        cdef double when, earliest = INF
        cdef uint32_t gone = 0, n = max(1, group << GROUP_BITS)
        cdef uint32_t last = min((group + 1) << GROUP_BITS, r.records + 1)
        cdef unsigned char key[KEY]
        while n < last:
            if is_live(load32(&r.headers[n].state)):
                if not self.table.raw_descriptor(n, &d, key):
                    self.table.inspect(n)
                    when = now
                elif 0.0 < d.expiry <= now:
                    when = 0.0
                    if erase(r, key, d.version, now, NULL, NULL) == 1:
                        gone += 1
                    else:
                        when = now          # held, or another version: once more
                else:
                    when = d.expiry
                    if self.deadlines and d.next_deadline > 0.0 and (when <= 0.0 or d.next_deadline < when):
                        when = d.next_deadline
                        if when <= now:
                            due.append((PyBytes_FromStringAndSize(<char *>key, KEY), d.version))
                if 0.0 < when < earliest:
                    earliest = when
            n += 1
        if earliest < INF:
            lower64(&r.earliest[group], bits_of(earliest))
        return gone
