# Declarations of _arrivals.pyx: what ACKs need of it.

from siphon.sip._message_cy cimport SipMessage

cdef bytes transaction_of(SipMessage m, bytes key)
cdef bint passes(SipMessage m, env) except -1
cdef bint holds(const unsigned char *p, int size, const char *word, int length) noexcept nogil
