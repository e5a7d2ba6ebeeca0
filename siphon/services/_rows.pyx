"""A table of records for callers in C: what a service looks up and writes there takes no object.

Over shared memory these are calls of C into the table, over any other RecordTable calls of its methods. The answers are
those of shm/_layout.pxd.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from shm._layout cimport ABSENT, BUSY, KEY, VALUE_MAX, Descriptor, Facts
from shm._table cimport Table


@cython.final
cdef class Rows:
    """`value`, `version`: what get() has found; good until something else is looked up in the table."""

    def __init__(self, table):
        self.table = table
        self.shared = <Table>table if type(table) is Table and not (<Table>table).reading else None

    cdef int64_t get(self, const unsigned char *key) except? -9:
        """The length of the record's value, ABSENT or BUSY. One that is damaged is absent."""
        cdef Descriptor d
        cdef int64_t got
        if self.shared is not None:
            got = self.shared.fetch_into(key, self.shared.scratch, VALUE_MAX, &d)
            if got >= 0:
                self.value, self.version = self.shared.scratch, d.version
                return got
            return BUSY if got == BUSY else ABSENT
        found = self.table.get(PyBytes_FromStringAndSize(<const char *>key, KEY))
        if type(found) is not tuple:
            return ABSENT if found is None else BUSY
        self.version, self.held = found
        self.value = <const unsigned char *>PyBytes_AS_STRING(self.held)
        return PyBytes_GET_SIZE(self.held)

    cdef bint has(self, const unsigned char *key) except -1:
        """Whether the record is there; also where that cannot be told now."""
        cdef Descriptor d
        cdef int64_t got
        if self.shared is not None:
            got = self.shared.look_at(key, &d)
            return got >= 0 or got == BUSY
        return self.table.head(PyBytes_FromStringAndSize(<const char *>key, KEY)) is not None

    cdef int64_t commit(self, const unsigned char *key, uint64_t expected, const unsigned char *value, Py_ssize_t size,
                        int64_t owner, double next_deadline, double expiry, bint use_reserve) except? -9:
        """RecordTable.commit(): the new version, CONFLICT, FULL or BUSY, or TOO_LONG."""
        cdef Facts facts
        if self.shared is not None:
            facts.owner = owner
            facts.next_deadline = next_deadline
            facts.claim_deadline = 0.0
            facts.expiry = expiry
            self.shared.require_slot()
            return self.shared.store_from(key, expected, value, size, &facts, use_reserve, NULL, NULL)
        return self.table.commit(
            PyBytes_FromStringAndSize(<const char *>key, KEY), expected, PyBytes_FromStringAndSize(<const char *>value, size),
            owner=owner, next_deadline=next_deadline, expiry=expiry, use_reserve=use_reserve)
