"""Datagrams on their way in, in C: what each of them passes before its short way.

The same as Ingest.datagram, for the datagrams of a worker whose store answers at once. What cannot be parsed, and what
no short way takes, goes on there.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from shm._table cimport Table

from siphon.engine._soon cimport Soon, Stirring
from siphon.script._running cimport Tally
from siphon.sip._message_cy cimport SipMessage
from workers._net_cy cimport Received

from siphon.engine.counters import Counter
from siphon.sip.errors import BadResponse, NotSip, PeerError
from siphon.sip.message import parse
from workers.net import boottime

cdef object REQUESTS = Counter.REQUESTS
cdef object RESPONSES = Counter.RESPONSES


@cython.final
cdef class Receiving:
    """The way in of one process, beside its Engine. `tap`: see Taps. `stalled_secs`: what takes longer than this is a stall."""

    cdef Stirring engine
    cdef Tally dispatch
    cdef Soon timers, keepalive
    cdef object ingest, retry, guard, count
    cdef list failed
    cdef public object tap
    cdef object arrivals, acks, plain, limits, limits_of_responses
    cdef list wildcard
    cdef Table bans
    cdef bint limited, screens
    cdef double stalled_secs

    def __init__(self, engine, double stalled_secs):
        ingest = engine.ingest
        self.engine, self.ingest, self.retry, self.dispatch = engine, ingest, engine.core.retry, engine.runtime.dispatch
        self.timers, self.keepalive, self.failed = engine.script_timers, engine.keepalive, engine.failed
        self.count = engine.reports.count
        self.arrivals, self.acks, self.plain = ingest.arrivals, ingest.short_acks, ingest.plain
        self.stalled_secs = stalled_secs
        self.tap = ingest.tap
        self.configure()

    def configure(self):
        """Settings have changed."""
        self.wildcard = [listener.wildcard for listener in self.engine.identity.listeners]
        self.limits, self.limits_of_responses = self.ingest.limits, self.ingest.limits_of_responses
        self.guard = guard = self.ingest.guard
        self.bans = guard.bans.table
        self.limited, self.screens = guard.armed, guard.screens

    def receive(self, list batch not None, double now):
        """Serve datagrams in their order; whether tick() shall be called in this turn (see Application)."""
        cdef Received one
        for one in batch:
            self.serve(
                one.data, one.source, one.listener, one.local if self.wildcard[one.listener] else "", one.arrived or now)
            if self.failed:
                self.engine.report_failed_sends()
        if boottime() - now > self.stalled_secs and not self.engine.context.is_helper:
            self.engine.stalled = True
        return self.stirs()

    cdef int serve(self, bytes data, tuple source, int listener, str local, double arrived) except -1:
        cdef SipMessage m
        cdef bint response = PyBytes_GET_SIZE(data) > 3 and memcmp(PyBytes_AS_STRING(data), b"SIP/", 4) == 0
        if (self.limited or self.bans.region.control.filled == 1) and self.guard.drops(data, source[0]):
            return 0
        if self.tap is not None:
            self.tap.received(data, source, listener, local, arrived)
        try:
            m = parse(data, self.limits_of_responses if response else self.limits)
        except (NotSip, BadResponse, PeerError) as error:
            self.ingest.unreadable(error, source, listener, local)
            return 0
        if not m.s.is_request:
            self.count(RESPONSES)
            if not self.plain.take(m, source[0]):
                self.ingest.response(m, source[0])
            return 0
        self.count(REQUESTS)
        if self.screens and self.guard.is_scanner(m, source[0]):
            return 0
        if m.method == "ACK":
            taken = self.acks.take(m, source, listener, local)
        else:
            taken = self.arrivals.take(m, source, listener, local, arrived)
        if not taken:
            self.ingest.request(m, source, listener, local, arrived)
        return 0

    cdef bint stirs(self) except -1:
        """Whether anything is there for tick() that it did not know of when it last said when it wants to be called."""
        cdef double told = self.engine.told
        if self.retry or self.failed or self.engine.stalled or self.dispatch.exhausted or self.dispatch.blocked:
            return True
        return self.timers.next_at < told or self.keepalive.next_at < told
