# Declarations of _plain.pyx.

from shm._table cimport Table
from siphon.sip._blake cimport Keyed


cdef class PlainDialogs:
    cdef Table table
    cdef Keyed keyed
    cdef double max_age

    cdef bytes key(self, bytes call_id, bytes one, bytes other)
    cdef bint remember(
        self, bytes call_id, bytes caller_tag, bytes callee_tag, tuple caller, tuple callee, double wall) except -1
    cdef bint forget(self, bytes call_id, bytes from_tag, bytes to_tag) except -1
