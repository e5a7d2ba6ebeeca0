# Declarations of _attempts.pyx: the plain attempt as _runs.pyx commits it.

from siphon.engine._copies cimport Places
from siphon.engine._hashes cimport Loops
from siphon.script._outcome cimport Outcome
from siphon.sip._message_cy cimport SipMessage
from siphon.state._record cimport Record

cdef class Way:             # where one copy goes
    cdef bytes uri
    cdef tuple address
    cdef int listener
    cdef str local_ip
    cdef bytes sent_by

cdef class Attempt:
    cdef SipMessage received, base
    cdef list sends
    cdef Py_ssize_t oversize

cdef class PlainAttempts:
    cdef object env, server
    cdef public object check
    cdef Places places
    cdef Loops loops
    cdef dict cleaned       # targets of forks, as clean_target leaves them
    cdef dict leads         # of a sent-by: what its Record-Route token is worked out from, up to the Call-ID
    cdef dict hosts         # of `ip:port`
    cdef bytes server_line
    cdef int limit
    cdef bint refuses_unrouted
    cdef double t1, long, timer_c, linger

    cdef int configure(self) except -1
    cdef Attempt decide(self, Record r, SipMessage received, Outcome outcome, double now)
    cdef Attempt attempt(self, Record r, SipMessage received, Outcome outcome, double now)
    cdef bint may(self, Record r, Outcome outcome) except -1
    cdef Way way(self, Record r, SipMessage m, action)
    cdef str host_of(self, str address)
    cdef bytes clean(self, str uri)
    cdef Attempt send(
        self, Record r, SipMessage received, SipMessage m, Outcome outcome, Way way, int breadth, double now
    )
    cdef bytes record_route(self, bytes sent_by, bytes call_id)
    cdef int keep(self, Record r, Outcome outcome) except -1
    cdef int count(self, Record r, action) except -1
    cdef int branch(self, Record r, Way way, bytes splices, double now) except -1
