# cython: language_level=3, cdivision=True
"""Looking: what can be told of a table without a lock and without writing, so that a process may look on read only.

In: keys and owners. Out: private copies of descriptors and values, lists of keys, counts. What a commit changes meanwhile is
seen as it was or as it is; what is damaged is left out. Raises ValueError for a slot that is none.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from shm._blocks cimport *
from shm._crc cimport *
from shm._index cimport *
from shm._layout cimport *
from shm._operations cimport *
from shm._sync cimport *

from shm.values import TableStats


cdef void arm_looking(int which, int count, int signal_number) noexcept:
    """arm_point() of _table.pyx, for what is compiled here."""
    point_arm(which, count, signal_number)


cdef class Looking(Mapping):
    """See the module."""

    def __cinit__(self):
        self.scratch = <unsigned char *>malloc(VALUE_MAX)
        if self.scratch == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.scratch)

    cdef bint raw_descriptor(self, uint32_t n, Descriptor *d, unsigned char *key) noexcept nogil:
        """Sound copies of a live header's descriptor and of the key it belongs to. False: not live, or damaged. A moment later the header may
        be another key's, so whoever looks for one compares the copy."""
        cdef Header *h = &self.region.headers[n]
        cdef uint64_t tag, high
        cdef uint32_t state
        cdef int attempt
        for attempt in range(8):
            state = load32(&h.state)
            if not is_live(state):
                return False
            tag = load64(&h.tag)
            high = load64(&h.key_high)
            if describe_key(h, n, state, tag, high, d) and load32(&h.state) == state:
                point(AT_KEY_COMPARED)
                memcpy(key, &tag, 8)
                memcpy(key + 8, &high, 8)
                return True
        return False

    cdef int64_t read_unlocked(self, const unsigned char *key, Descriptor *d, bint whole) noexcept nogil:
        cdef Region *r = &self.region
        cdef uint64_t tag, high
        cdef int64_t n
        cdef int attempt
        cdef unsigned char found[KEY]
        key_words(key, &tag, &high)
        r.now = clock_read(CLOCK_BOOTTIME)
        for attempt in range(20):
            n = walk_locked(r, bucket_of(r, tag), tag, high, False)
            if n == ABSENT:
                return ABSENT
            if n >= 0:
                point(AT_KEY_COMPARED)
            if n < 0 or not self.raw_descriptor(<uint32_t>n, d, found) or memcmp(found, key, KEY) != 0:
                continue
            if expired(r, d):
                return ABSENT
            if not whole:
                return 0
            if copy_value(r, <uint32_t>n, d, self.scratch) == LOCKED \
                    and value_check(self.scratch, d.length, d.version) == d.value_check:
                return d.length
        return ABSENT

    # Sweeps over the headers

    def owned(self, int64_t owner):
        """[(key, version, deadline)] of an owner's records; the deadline is the earlier of next and claim, 0 when it has none."""
        cdef Descriptor d
        cdef unsigned char key[KEY]
        cdef uint32_t n
        cdef list found = []
        for n in range(1, self.region.records + 1):
            if is_live(self.region.headers[n].state) and self.raw_descriptor(n, &d, key) and d.owner == owner:
                found.append((key_bytes(key), d.version, earliest(&d)))
        return found

    def due(self, int64_t owner, double until, int limit):
        """[(key, version, deadline)] of the owner's records whose earlier deadline (next or claim) is not after `until`."""
        cdef Descriptor d
        cdef unsigned char key[KEY]
        cdef uint32_t n
        cdef list found = []
        for n in range(1, self.region.records + 1):
            if len(found) >= limit:
                break
            if is_live(self.region.headers[n].state) and self.raw_descriptor(n, &d, key) and d.owner == owner \
                    and 0.0 < earliest(&d) <= until:
                found.append((key_bytes(key), d.version, earliest(&d)))
        found.sort(key=deadline_of)
        return found

    def keys(self, uint32_t limit=1000, uint32_t cursor=0, uint32_t within=0):
        """Up to `limit` keys (expired ones too) among the next `within` headers (0: all that are left), and the cursor for the next
        call: 0 at the end."""
        cdef Descriptor d
        cdef unsigned char key[KEY]
        cdef uint32_t n = cursor + 1
        cdef uint32_t last = self.region.records
        cdef list found = []
        if within and cursor < last and within < last - cursor:
            last = cursor + within
        while n <= last:
            if self.raw_descriptor(n, &d, key):
                found.append(key_bytes(key))
                if <uint32_t>len(found) >= limit:
                    return found, (n if n < self.region.records else 0)
            n += 1
        return found, (last if last < self.region.records else 0)

    def stats(self):
        """Sizes, what is free, counters. No lock; free counts include what slots keep at hand."""
        cdef Region *r = &self.region
        cdef Control *c = r.control
        cdef uint32_t i
        cdef uint64_t free_headers = list_count(c.free_headers), free_blocks = list_count(c.free_blocks)
        for i in range(r.slots):
            free_headers += min(r.notes[i].spares, <uint32_t>SPARES)
            free_blocks += min(r.notes[i].spare_blocks, r.blocks)
        free_headers = min(free_headers, <uint64_t>r.records)
        free_blocks = min(free_blocks, <uint64_t>r.blocks)
        return TableStats(
            records=max(0, <int64_t>(r.records - free_headers) - <int64_t>c.quarantined), records_max=r.records,
            blocks_free=free_blocks, blocks_max=r.blocks, reserve_blocks=r.identity.reserve_blocks,
            corrupt=c.corrupt, quarantined=c.quarantined, full=c.full, busy=c.busy, conflicts=c.conflicts, inherited=c.inherited,
            mended=c.mended, recovered=c.recovered, version=c.version, bytes=r.size,
        )

    def critical_since(self, int slot):
        """When the process of a slot entered the critical section it is in (CLOCK_BOOTTIME), 0 outside, if it does not watch() a Slots."""
        if not 0 <= slot < <int>self.region.slots:
            raise ValueError(f"slot {slot} of {self.region.slots}")
        return self.region.notes[slot].critical_since


cdef bytes key_bytes(const unsigned char *key):
    return PyBytes_FromStringAndSize(<const char *>key, KEY)


def deadline_of(entry):
    return entry[2]
