# Declarations of _hashes.pyx: the loop value as the short ways make it.

from siphon.sip._blake cimport Keyed
from siphon.sip._message_cy cimport SipMessage

cdef class Loops:
    cdef bytes key
    cdef Keyed keyed

    cdef bytes value(self, SipMessage m, bytes key)
