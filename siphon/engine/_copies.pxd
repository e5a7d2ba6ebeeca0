# Declarations of _copies.pyx: where plain copies go, and what they are.

from siphon.engine._changing cimport Changing
from siphon.sip._message_cy cimport SipMessage

cdef class Places:
    cdef Changing env
    cdef unsigned long seen
    cdef object settings, identity
    cdef dict targets       # of a URI: where its numeric host is sent to, or None
    cdef dict names         # the same of what scripts name as next hop
    cdef dict addresses     # whether an address is sent to, and is none of ours
    cdef dict senders       # sent-by of a listener and a local address
    cdef list families      # per listener: is it IPv6
    cdef tuple wildcards    # per listener
    cdef int count
    cdef object mtu

    cdef bint refresh(self) except -1
    cdef tuple target(self, bytes uri)
    cdef tuple named(self, str text)
    cdef bint sendable(self, tuple address) except -1
    cdef int listener(self, int wished, int arrived, bint ipv6) except -2
    cdef str local_ip(self, int listener, str ip)
    cdef bytes sent_by(self, int listener, str local_ip)

cdef class Copy:
    cdef bytes data, splices

cdef char *decimal(char *end, unsigned long long number) noexcept nogil
cdef Copy copy_of(SipMessage m, bytes uri, bytes via, bytes record_route, int breadth, bint routes_go, bint keeps)
