# Declarations of _merged.pyx.

from siphon.services._rows cimport Rows
from siphon.sip._blake cimport Keyed

cdef class MergedRequests:
    cdef Rows rows
    cdef Keyed keyed
    cdef double lifetime, first_at
    cdef object wall
    cdef bytes first        # whose mark was made last: registrar.save() asks, and then the engine does

    cpdef bint is_merged(self, bytes transaction, str method, bytes call_id, bytes from_tag, long long cseq) except -1
    cpdef bint has_just_marked(self, bytes transaction) except -1
