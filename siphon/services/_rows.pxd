# Declarations of _rows.pyx.

from libc.stdint cimport int64_t, uint64_t

from shm._table cimport Table

cdef class Rows:
    cdef object table
    cdef Table shared       # the same where it lies in shared memory; else None
    cdef object held
    cdef const unsigned char *value
    cdef uint64_t version

    cdef int64_t get(self, const unsigned char *key) except? -9
    cdef bint has(self, const unsigned char *key) except -1
    cdef int64_t commit(self, const unsigned char *key, uint64_t expected, const unsigned char *value, Py_ssize_t size,
                        int64_t owner, double next_deadline, double expiry, bint use_reserve) except? -9
