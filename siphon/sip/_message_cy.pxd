# Declarations of _message_cy.py: the message object, which owns the bytes that its offsets point into.

from siphon.sip._grammar_cy cimport AddressSpan, ViaSpan
from siphon.sip._scan_cy cimport Line, Scan

cdef class Via:
    cdef bytes raw
    cdef ViaSpan v
    @staticmethod
    cdef Via of(bytes raw, ViaSpan *v)

cdef class SipMessage:
    cdef readonly bytes raw
    cdef readonly str method
    cdef readonly str cseq_method
    cdef const unsigned char *p
    cdef Line *table        # s.count lines, allocated here, freed with the object
    cdef Scan s
    cdef bint keep(self, const Line *lines, int count) except -1
    cdef int position(self, name, int start) except -2
    cdef bytes span_bytes(self, int s, int e)
    cdef list listed(self, bytes name)
    cpdef bytes value_of(self, int i)
