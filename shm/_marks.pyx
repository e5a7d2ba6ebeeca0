# cython: language_level=3, cdivision=True
"""Marks: which records of a table have changed, for one process that follows them.

A byte for each header. Whoever changes a record sets it, under the record's mutex and *before* the store that switches; then it sets
the byte that stands for 4096 headers, so that looking costs next to nothing while nothing changes. The follower turns the byte from
"changed" into "taken", then locks the record and reads it, so it waits for whoever had set the byte and not switched yet:

    worker                                     follower
    locks record 7, byte 7 = changed
    -- killed, or slow                         byte 7: changed -> taken
    switches, unlocks                          locks record 7: sees the new version, or what a killed worker left: the truth
                                               writes it down, byte 7: taken -> none

A change between "taken" and "none" makes the byte "changed" again, and the follower's last step does nothing. A follower that dies leaves
"taken" bytes; the next one makes them "changed" (`again`). Nothing is lost by anybody's death, and nothing grows: what has not been
followed yet is a byte, however often it changes.

A follower knows a record by the number of its header. The key is no use to it: a header may have been given to another key since.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from shm._index cimport *
from shm._layout cimport *
from shm._sync cimport *
from shm._table cimport Table

from shm.values import Place


cdef extern from * nogil:
    """
    static unsigned char shm_swap8(unsigned char *p, unsigned char v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
    static int shm_turn8(unsigned char *p, unsigned char from, unsigned char to)
    {
        return __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    }
    static uint64_t shm_eight(const unsigned char *p)
    {
        uint64_t w;
        memcpy(&w, p, 8);
        return w;
    }
    """
    unsigned char shm_swap8(unsigned char *, unsigned char)
    int shm_turn8(unsigned char *, unsigned char, unsigned char)
    uint64_t shm_eight(const unsigned char *)


cdef enum:
    PAGE_MARKS = 1 << MARK_BITS


cdef class Marks:
    """The marks of a table that was made with `marked`. ValueError for any other."""

    cdef Table table
    cdef int64_t without

    def __init__(self, Table table, int64_t without=-1):
        """Records of the owner `without` are given as if they were not there."""
        if table.region.marks == NULL:
            raise ValueError("changes of this table are not marked")
        self.table = table
        self.without = without

    cdef object place(self, uint32_t n):
        """What lies at header n, or None while somebody holds it."""
        cdef Region *r = &self.table.region
        cdef Header *h = &r.headers[n]
        cdef Descriptor d
        cdef uint32_t state
        cdef bint there = False
        cdef int got
        critical_enter(r)
        got = header_lock(r, n)
        if got == CORRUPT:
            quarantine(r, n, bucket_of(r, h.tag))
        elif got != BUSY:
            state = load32(&h.state)
            if is_live(state):
                there = describe_to(h, n, state, &d) and copy_value(r, n, &d, self.table.scratch) == LOCKED
            header_unlock(r, n)
        critical_leave(r)
        if got == BUSY:
            return None
        if there and d.owner != self.without and value_check(self.table.scratch, d.length, d.version) == d.value_check:
            value = PyBytes_FromStringAndSize(<char *>self.table.scratch, d.length)
            return Place(n, d.version, d.owner, d.next_deadline, d.expiry, value)
        return Place(n, 0, 0, 0.0, 0.0, None)

    cdef uint32_t last_of(self, uint32_t page):
        """The header after the last one of a page of marks."""
        return min((page + 1) << MARK_BITS, self.table.region.records + 1)

    def take(self, Py_ssize_t limit):
        """[Place] of up to `limit` records that have changed; value None where there is none any more. They count as taken."""
        cdef Region *r = &self.table.region
        cdef uint32_t page, n, last
        cdef unsigned char *at
        cdef unsigned char seen
        cdef list found = []
        self.check()
        for page in range((r.records >> MARK_BITS) + 1):
            if load8(&r.mark_pages[page]) == 0:
                continue
            shm_swap8(&r.mark_pages[page], 0)
            n, last = page << MARK_BITS, self.last_of(page)
            while n < last:
                at = &r.marks[n]
                if n & 7 == 0 and n + 8 <= last and shm_eight(at) == 0:
                    n += 8
                    continue
                seen = load8(at)
                if seen != MARK_NONE and seen != MARK_TAKEN and n != 0:
                    if len(found) >= limit:
                        store8(&r.mark_pages[page], 1)
                        return found
                    if shm_turn8(at, seen, MARK_TAKEN):
                        place = self.place(n)
                        if place is None:
                            self.change(n)
                        else:
                            found.append(place)
                n += 1
        return found

    def any(self):
        """Whether take() may find something: a look at one byte for 4096 records."""
        cdef Region *r = &self.table.region
        cdef uint32_t page
        for page in range((r.records >> MARK_BITS) + 1):
            if load8(&r.mark_pages[page]) != 0:
                return True
        return False

    cdef int change(self, uint32_t n) except -1:
        store8(&self.table.region.marks[n], MARK_CHANGED)
        store8(&self.table.region.mark_pages[n >> MARK_BITS], 1)
        return 0

    cdef int check(self) except -1:
        if self.table.reading:
            raise ValueError("this table is open for reading only")
        return 0

    def done(self, places):
        """What was taken of these headers is written down: those that have not changed since are unmarked."""
        cdef uint32_t n
        self.check()
        for n in places:
            if 1 <= n <= self.table.region.records:
                shm_turn8(&self.table.region.marks[n], MARK_TAKEN, MARK_NONE)

    def again(self):
        """What is marked in any way counts as changed: a follower begins, or could not write down what it took. How many."""
        cdef Region *r = &self.table.region
        cdef uint32_t n = 1, count = 0
        self.check()
        while n <= r.records:
            if n & 7 == 0 and n + 7 <= r.records and shm_eight(&r.marks[n]) == 0:
                n += 8
                continue
            if load8(&r.marks[n]) != MARK_NONE:
                self.change(n)
                count += 1
            n += 1
        return count

    def clear(self):
        """Nothing counts as changed. For one who has the table for himself, and knows what is in it."""
        cdef Region *r = &self.table.region
        self.check()
        memset(r.marks, 0, r.records + 1)
        memset(r.mark_pages, 0, (r.records >> MARK_BITS) + 1)

    def waiting(self):
        """How many records are marked in any way: changes that nobody has written down. For looking on, too."""
        cdef Region *r = &self.table.region
        cdef uint32_t n = 1, count = 0
        while n <= r.records:
            if n & 7 == 0 and n + 7 <= r.records and shm_eight(&r.marks[n]) == 0:
                n += 8
                continue
            count += r.marks[n] != MARK_NONE
            n += 1
        return count

    def read(self, uint32_t first, uint32_t within, Py_ssize_t limit):
        """([Place] of up to `limit` records among the next `within` headers from `first` on, where to go on; 0: that was all).
        Marks are left as they are. A record that somebody holds is left out, and marked: it comes by take()."""
        cdef Region *r = &self.table.region
        cdef uint32_t n = first if first else 1
        cdef uint64_t last = min(<uint64_t>n + within, <uint64_t>r.records + 1)
        cdef list found = []
        self.check()
        while n < last and len(found) < limit:
            if is_live(load32(&r.headers[n].state)):
                place = self.place(n)
                if place is None:
                    self.change(n)
                elif place.value is not None:
                    found.append(place)
            n += 1
        return found, (n if n <= r.records else 0)
