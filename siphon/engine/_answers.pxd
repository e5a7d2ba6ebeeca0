# Declarations of _answers.pyx.

from siphon.script._outcome cimport Outcome
from siphon.sip._blake cimport Cipher
from siphon.sip._message_cy cimport SipMessage
from siphon.state._record cimport Record

cdef class PlainAnswers:
    cdef object env
    cdef public object check
    cdef Cipher cipher
    cdef bytes tag_key
    cdef object settings
    cdef double long

    cdef bytes decide(self, Record r, SipMessage m, Outcome outcome, double now)
    cdef bint may(self, Record r, Outcome outcome) except -1
    cdef bytes tag_of(self, Record r)
