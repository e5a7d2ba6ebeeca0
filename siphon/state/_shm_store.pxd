# Declarations of _shm_store.pyx: load and commit for callers in C.

from libc.stdint cimport int64_t, uint64_t

from shm._layout cimport action_t
from shm._table cimport Table
from workers._net_cy cimport Outbox


cdef class ShmStore:
    cdef Table table
    cdef Outbox outbox
    cdef action_t send
    cdef void *send_argument
    cdef public list failed
    cdef public object tap

    cdef int send_alone(self, bytes data, tuple to, int listener, str source) except -1
    cdef bytes fetch(self, bytes key, uint64_t *version)
    cdef bint has(self, bytes key) except -1
    cdef int64_t erase(self, bytes key, uint64_t expected, sends) except? -9
    cdef bint queue(self, sends) except -1
    cdef int sent(self, int64_t got, sends, bint sending) except -1
    cdef int64_t put(self, bytes key, uint64_t expected, bytes value, int64_t owner, double next_deadline,
                     double expiry, sends, bint new_work) except? -9

cdef object datagram(bytes data, tuple to, int listener, str source)
cdef ShmStore shared(store)
cdef int64_t committed(store, commit) except? -9
