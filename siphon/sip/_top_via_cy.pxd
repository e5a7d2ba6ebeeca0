# Declarations of _top_via_cy.py.

from siphon.sip._message_cy cimport SipMessage

cdef struct Edit:
    int start
    int end
    const char *text        # of a bytes object that the caller holds
    int size

cpdef bytes strip_top_via(SipMessage m)
