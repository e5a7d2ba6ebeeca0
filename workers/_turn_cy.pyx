"""What every turn of a worker does, in compiled code: wait, beat, hand datagrams and due deadlines to the application.

`Turns` is the base of workers/loop.py's WorkerLoop, which does what is rare and is called from here by name: obey(),
serve_errors(), fire(), look(), go_on_finishing(), write_counters(), failed(). A turn in which one datagram came looks
at a few numbers beside the calls that it is for; nothing is asked that a number can tell.

The wait is epoll's with whole milliseconds, rounded up. An interrupted one counts as an empty turn; Python's signal
handlers have run then.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport ceil

from workers._net_cy cimport Reader
from workers._timers_cy cimport TimerRings

import os

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <math.h>
    #include <sys/epoll.h>
    #include <time.h>

    static inline int siphond_epoll(int fd, struct epoll_event *events, int limit, int timeout)
    {
        int got = epoll_wait(fd, events, limit, timeout);
        return got < 0 ? -errno : got;
    }

    static inline double siphond_monotonic(void)
    {
        struct timespec moment;
        clock_gettime(CLOCK_MONOTONIC, &moment);
        return (double)moment.tv_sec + (double)moment.tv_nsec * 1e-9;
    }

    static inline double siphond_boottime(void)
    {
        struct timespec moment;
        clock_gettime(CLOCK_BOOTTIME, &moment);
        return (double)moment.tv_sec + (double)moment.tv_nsec * 1e-9;
    }
    """
    ctypedef union epoll_data:
        int fd
    cdef struct epoll_event:
        unsigned int events
        epoll_data data
    int EPOLLIN, EPOLLERR, EINTR
    double INFINITY
    int siphond_epoll(int, epoll_event *, int, int)
    double boottime "siphond_boottime"()
    double monotonic "siphond_monotonic"()

cdef enum:
    EVENTS = 64
    PAST = 4096             # entries of the timer rings that are past and go in one turn
    PAST_AHEAD = 64
    GLANCE_MS = 80          # a change is in the journal 100 ms later

cdef double IDLE = 1.0
cdef double ADOPTER = 0.05
cdef double BEAT = 0.005


def wait_quietly(int epoll, double interval, double until, tuple stirs):
    """Wait until `epoll` has an event, one of the calls `stirs` gives something true - they are asked every `interval` seconds - or
    time.monotonic() is `until`. The longest time in which nobody looked."""
    cdef epoll_event event
    cdef double before = monotonic(), now, longest = 0.0
    cdef int count, milliseconds
    while True:
        milliseconds = <int>ceil(max(0.0, min(interval, until - before)) * 1000.0)
        with nogil:
            count = siphond_epoll(epoll, &event, 1, milliseconds)
        if count == -EINTR:
            PyErr_CheckSignals()
        elif count < 0:
            raise OSError(-count, os.strerror(-count))
        now = monotonic()
        longest = max(longest, now - before)
        before = now
        if count != 0 or now >= until:
            return longest
        for stir in stirs:
            if stir():
                return longest


cdef class Turns:
    """Times are seconds of CLOCK_BOOTTIME. `readers` is {descriptor: Reader}, `epoll` the descriptor that waits."""

    cdef public double now, beaten, next_look, next_count
    cdef public object next_tick
    cdef public bint finishing
    cdef bint stirs         # something has happened in this turn that the application has to be asked about
    cdef public unsigned long long datagrams
    cdef public dict readers
    cdef readonly object context, application
    cdef object slots, receive, keep_stale, tick, beat, glance
    cdef object ready       # asyncio's callbacks that wait: one deque as long as the loop lives
    cdef dict asyncio       # the fields of its loop, among them its timers, whose list may be another one
    cdef set adopted
    cdef TimerRings timers
    cdef int waiting, control, slot, limit
    cdef double stale_after

    def __init__(self, context, application, int epoll, int control, int limit, double stale_after, keep_stale):
        self.context = context
        self.application = application
        self.slots = context.slots
        self.slot = context.slot
        self.timers = context.timers
        self.asyncio = vars(context.aio.loop)
        self.ready = context.aio.loop._ready
        self.adopted = context.adopted
        self.receive = application.receive
        self.tick = application.tick
        self.glance = getattr(application, "glance", None)
        self.beat = context.slots.beat
        self.waiting = epoll
        self.control = control
        self.limit = limit
        self.stale_after = stale_after
        self.keep_stale = keep_stale
        self.readers = {}
        self.now = boottime()
        self.next_tick = 0.0

    def turn(self):
        """Wait until something is due, and do it."""
        cdef epoll_event events[EVENTS]
        cdef int count, i, milliseconds = <int>ceil(self.timeout() * 1000.0)
        cdef bint stepping = False, stirs = False
        cdef Reader reader
        self.stirs = False
        self.beat(self.slot, self.now, False)
        if self.glance is None:
            with nogil:
                count = siphond_epoll(self.waiting, events, EVENTS, milliseconds)
        else:
            count = self.wait_and_glance(events, milliseconds)
        if count == -EINTR:
            PyErr_CheckSignals()
        elif count < 0:
            raise OSError(-count, os.strerror(-count))
        self.now = self.beaten = boottime()
        self.beat(self.slot, self.now, True)
        for i in range(count):
            reader = self.readers.get(events[i].data.fd)
            if reader is not None:
                self.serve(reader, events[i].events)
            elif events[i].data.fd == self.control:
                self.obey()
                stirs = True
            else:
                stepping = True
        if self.timers.first_deadline() <= self.now:
            self.timers.drop_past(self.now, PAST)
            if self.timers.first_deadline() <= self.now:
                self.fire()
                stirs = True
        if stepping or self.when() <= self.now:
            self.step()
            stirs = True
        if stirs or self.stirs or self.next_tick is None or <double>self.next_tick <= self.now:
            self.give_tick()
        if self.finishing:
            self.go_on_finishing()
        elif self.now >= self.next_look:
            self.look()
        if self.now >= self.next_count:
            self.write_counters()

    cdef int wait_and_glance(self, epoll_event *events, int milliseconds) except? -1:
        """As siphond_epoll(), but it is over too as soon as a glance finds a reason for a tick."""
        cdef int count, part
        while True:
            part = min(milliseconds, GLANCE_MS)
            with nogil:
                count = siphond_epoll(self.waiting, events, EVENTS, part)
            milliseconds -= part
            if count != 0 or milliseconds <= 0:
                return count
            if self.glance():
                self.next_tick = 0.0
                return 0

    cdef int give_tick(self) except -1:
        self.next_tick = None
        try:
            self.next_tick = self.tick(self.now)
        except BaseException as error:
            self.failed("tick", error)
        return 0

    cdef double when(self) except? -1.0:
        """As Stepper.next_when(); infinity for not before its descriptor is readable."""
        if self.ready:
            return 0.0
        scheduled = self.asyncio["_scheduled"]
        return <double>scheduled[0].when() if scheduled else INFINITY

    cdef double timeout(self) except? -1.0:
        cdef double until, moment
        self.now = boottime()
        until = self.now + (ADOPTER if self.finishing or self.stands_in() else IDLE)
        self.timers.drop_past(until, PAST_AHEAD)
        until = min(until, self.timers.first_deadline(), self.when())
        if self.next_tick is not None:
            moment = self.next_tick
            until = min(until, moment)
        return max(0.0, until - self.now)

    cdef bint stands_in(self) except -1:
        """Serves the slot of a sibling that will want it back."""
        return bool(self.adopted) and self.has_guests()

    cdef int serve(self, Reader reader, unsigned int mask) except -1:
        if mask & <unsigned int>EPOLLERR:
            self.serve_errors(reader)
            self.stirs = True
        if mask & <unsigned int>EPOLLIN:
            self.deliver(reader.read(self.limit, self.stale_after, self.keep_stale))
        return 0

    cdef int deliver(self, list batch) except -1:
        self.datagrams += <unsigned long long>len(batch)
        for datagram in batch:
            try:
                if self.receive([datagram], self.now) is not False:
                    self.stirs = True
            except BaseException as error:
                self.failed("receive", error)
                self.stirs = True
            self.stay_alive()
        return 0

    cdef int stay_alive(self) except -1:
        self.now = boottime()
        if self.now - self.beaten > BEAT:
            self.beaten = self.now
            self.beat(self.slot, self.now, True)
        return 0

    def keep_beating(self):
        """Between two pieces of work: the time, and a beat when the last is 5 ms old."""
        self.stay_alive()
