"""Timer rings: (deadline, key of 16 bytes, version), taken out in the order of deadlines.

Most deadlines are a constant added to the time of arming, so each kind arrives in order. A ring is a queue whose
deadlines rise; a new one goes to the ring whose last deadline is the latest that is not later. What fits no ring goes
to a heap. An entry is 32 bytes without any Python object. Nothing is ever cancelled: who takes an entry out compares
the version. Most entries are past by then, since a record that goes on is armed anew: with skip_past() they are dropped
by one call of C each, and before their time where they would be the reason to wake up.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cdef extern from "math.h":
    double INFINITY

cdef enum:
    FIRST_CAPACITY = 256


cdef inline Entry *last_of(Ring *ring) noexcept nogil:
    return &ring.entries[(ring.first + ring.count - 1) & (ring.capacity - 1)]


cdef class TimerRings:
    def __cinit__(self):
        cdef int i
        for i in range(RINGS):
            self.rings[i].entries = NULL
            self.rings[i].first = self.rings[i].count = self.rings[i].capacity = 0
        self.heap = NULL
        self.heap_count = self.heap_capacity = 0
        self.judge = NULL
        self.judge_argument = NULL

    def __dealloc__(self):
        cdef int i
        for i in range(RINGS):
            free(self.rings[i].entries)
        free(self.heap)

    def __len__(self):
        cdef size_t total = self.heap_count
        cdef int i
        for i in range(RINGS):
            total += self.rings[i].count
        return total

    def skip_past(self, uintptr_t function, uintptr_t argument):
        """Entries for which function(argument, key, version) is not 0 are past: due() leaves them out. The function is
        C, `int (void *, const char *key, uint64_t version)`; the caller keeps what the argument points to alive."""
        self.judge = <judge_t><void *>function
        self.judge_argument = <void *>argument

    def arm(self, double deadline, bytes key not None, uint64_t version):
        """Notes that `key` in `version` is due at `deadline` (seconds of CLOCK_BOOTTIME)."""
        if PyBytes_GET_SIZE(key) != KEY:
            raise ValueError("a key is 16 bytes")
        if deadline != deadline:
            raise ValueError("a deadline is a number")
        cdef Entry entry
        entry.deadline = deadline
        entry.version = version
        memcpy(entry.key, PyBytes_AS_STRING(key), KEY)
        cdef int i, best = -1, empty = -1
        cdef double best_last = 0.0, last
        for i in range(RINGS):
            if self.rings[i].count == 0:
                if empty < 0:
                    empty = i
                continue
            last = last_of(&self.rings[i]).deadline
            if last <= deadline and (best < 0 or last > best_last):
                best = i
                best_last = last
        if best < 0:
            best = empty
        if best < 0:
            self.push(&entry)
        else:
            self.append(&self.rings[best], &entry)

    def due(self, double now, int limit=1024):
        """Takes out what is due at `now`, earliest first, at most `limit` entries, as (key, version); those that are
        past count and are not given."""
        cdef list found = []
        cdef Entry entry
        while limit > 0 and self.take(now, &entry):
            limit -= 1
            if not self.is_past(&entry):
                found.append((PyBytes_FromStringAndSize(entry.key, KEY), entry.version))
        return found

    def prune(self, double until, int limit=64):
        """Drops what is past of the earliest entries, those before `until`: nobody need wake up for them."""
        self.drop_past(until, limit)

    cdef bint is_past(self, const Entry *entry) noexcept:
        return self.judge != NULL and self.judge(self.judge_argument, entry.key, entry.version) != 0

    cdef void drop_past(self, double until, int limit) noexcept:
        """As prune()."""
        cdef int place
        cdef Entry *first
        cdef Entry dropped
        while limit > 0 and self.judge != NULL:
            limit -= 1
            place = self.earliest()
            if place == -1:
                return
            first = &self.heap[0] if place == RINGS else &self.rings[place].entries[self.rings[place].first]
            if first.deadline > until or not self.is_past(first):
                return
            self.take(until, &dropped)

    def next_deadline(self):
        """The earliest deadline, or None."""
        cdef double deadline = self.first_deadline()
        return None if deadline == INFINITY else deadline

    cdef double first_deadline(self) noexcept:
        """The earliest deadline, or infinity."""
        cdef int place = self.earliest()
        if place == -1:
            return INFINITY
        return self.heap[0].deadline if place == RINGS else self.rings[place].entries[self.rings[place].first].deadline

    cdef int earliest(self) noexcept:
        """The ring that holds the earliest entry, RINGS for the heap, -1 for none."""
        cdef int i, best = -1
        cdef double deadline = 0.0, candidate
        for i in range(RINGS):
            if self.rings[i].count:
                candidate = self.rings[i].entries[self.rings[i].first].deadline
                if best < 0 or candidate < deadline:
                    best = i
                    deadline = candidate
        if self.heap_count and (best < 0 or self.heap[0].deadline < deadline):
            best = RINGS
        return best

    cdef bint take(self, double now, Entry *into) noexcept:
        cdef int place = self.earliest()
        cdef Ring *ring
        if place == -1:
            return False
        if place == RINGS:
            if self.heap[0].deadline > now:
                return False
            into[0] = self.heap[0]
            self.pop()
            return True
        ring = &self.rings[place]
        if ring.entries[ring.first].deadline > now:
            return False
        into[0] = ring.entries[ring.first]
        ring.first = (ring.first + 1) & (ring.capacity - 1)
        ring.count -= 1
        return True

    cdef int append(self, Ring *ring, const Entry *entry) except -1:
        cdef Entry *larger
        cdef size_t capacity, tail
        if ring.count == ring.capacity:
            capacity = ring.capacity * 2 if ring.capacity else FIRST_CAPACITY
            larger = <Entry *>malloc(capacity * sizeof(Entry))
            if larger == NULL:
                raise MemoryError
            tail = ring.capacity - ring.first
            if ring.count:
                memcpy(larger, ring.entries + ring.first, tail * sizeof(Entry))
                memcpy(larger + tail, ring.entries, ring.first * sizeof(Entry))
            free(ring.entries)
            ring.entries = larger
            ring.first = 0
            ring.capacity = capacity
        ring.entries[(ring.first + ring.count) & (ring.capacity - 1)] = entry[0]
        ring.count += 1
        return 0

    cdef int push(self, const Entry *entry) except -1:
        cdef Entry *larger
        cdef size_t place, parent
        if self.heap_count == self.heap_capacity:
            larger = <Entry *>realloc(self.heap, (self.heap_capacity * 2 + FIRST_CAPACITY) * sizeof(Entry))
            if larger == NULL:
                raise MemoryError
            self.heap = larger
            self.heap_capacity = self.heap_capacity * 2 + FIRST_CAPACITY
        place = self.heap_count
        self.heap_count += 1
        while place:
            parent = (place - 1) // 2
            if self.heap[parent].deadline <= entry.deadline:
                break
            self.heap[place] = self.heap[parent]
            place = parent
        self.heap[place] = entry[0]
        return 0

    cdef void pop(self) noexcept:
        """Removes the top of the heap: its last entry sinks from the root to its place."""
        cdef size_t place = 0, child
        self.heap_count -= 1
        cdef Entry moved = self.heap[self.heap_count]
        while True:
            child = place * 2 + 1
            if child >= self.heap_count:
                break
            if child + 1 < self.heap_count and self.heap[child + 1].deadline < self.heap[child].deadline:
                child += 1
            if moved.deadline <= self.heap[child].deadline:
                break
            self.heap[place] = self.heap[child]
            place = child
        self.heap[place] = moved
