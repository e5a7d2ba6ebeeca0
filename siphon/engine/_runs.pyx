"""The handlers of a new request, from its committed claim to the commit of what they want, in C.

The same as core.run_claim and the event that it makes, for handlers that return at once and a plain attempt or answer
(siphon/engine/_attempts.pyx, _answers.pyx). Whatever else it is, and what the store does not commit at once, becomes that event.
`check(record, now, version, commit)` compares each commit with the engine's.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from siphon.engine._answers cimport PlainAnswers
from siphon.engine._attempts cimport Attempt
from siphon.script._actions cimport Answer
from siphon.script._outcome cimport Outcome
from siphon.sip._message_cy cimport SipMessage
from siphon.state._codec cimport write
from siphon.state._deadlines cimport expiry, next_deadline
from siphon.state._record cimport Claim, Record
from siphon.state._shm_store cimport ShmStore, committed, datagram, shared

from siphon.engine.counters import Counter
from siphon.engine.events import RequestOutcomeEvent
from siphon.state.store import Commit

cdef enum:
    NOT_PLAIN = 0           # nothing has happened
    COMMITTED = 1
    TAKEN_UP_AGAIN = 2      # the record in the store is still the one before

cdef object SENT = Counter.SENT


@cython.final
@cython.freelist(4)
cdef class Ending:
    """Told the outcome of the handlers: in the course of their run, or later by who has waited for them."""

    cdef object core
    cdef bytes key
    cdef Outcome outcome
    cdef bint late

    def __call__(self, Outcome outcome not None):
        if self.late:
            self.core.process(RequestOutcomeEvent(self.key, outcome))
        else:
            self.outcome = outcome


@cython.final
cdef class PlainRuns:
    """Beside the Core of one process."""

    def __init__(self, core, check=None, check_answer=None):
        self.answers = PlainAnswers(core.env, check_answer)
        self.core, self.env, self.store = core, core.env, core.store
        self.shm = shared(core.store)
        self.reporter, self.arm, self.clock = core.reporter, core.arm, core.clock
        self.handlers, self.count = core.handlers, core.reporter.count
        self.check = check
        self.configure()

    cdef int configure(self) except -1:
        env = self.env
        self.seen = self.env.changes
        self.plain, self.slot, self.owner = env.plain, env.slot, env.owner
        self.linger, self.long = env.timing.linger, env.timing.long
        self.record_bytes = env.settings.shared.record_bytes
        return 0

    cdef int run(self, Claim claim, version, Record r, SipMessage m) except -1:
        """As core.run_claim, of the first claim of a new request."""
        cdef Ending ending
        cdef int done
        if self.seen != self.env.changes:
            self.configure()
        if self.core.at_work is not None or self.plain is None:
            self.core.run_claim(claim, version, r, m)
            return 0
        ending = Ending.__new__(Ending)
        ending.core, ending.key = self.core, r.key
        self.handlers.run_request(r, m, ending)
        ending.late = True
        if ending.outcome is None:
            return 0
        done = self.finish(version, r, m, ending.outcome)
        if done != COMMITTED:
            event = RequestOutcomeEvent(r.key, ending.outcome)
            if done == TAKEN_UP_AGAIN or not self.core.decide(event, version, r):
                self.core.process(event)
        return 0

    cdef int finish(self, version, Record r, SipMessage m, Outcome outcome) except -1:
        """Commit what the handlers want; what has become of it."""
        cdef double now = self.clock()
        cdef Attempt made
        cdef int done
        if self.seen != self.env.changes:    # by what the handlers have done
            self.configure()
        if type(outcome.action) is Answer:
            return self.answer(version, r, m, outcome, now)
        made = self.plain.decide(r, m, outcome, now)
        if made is None:
            return NOT_PLAIN
        r.touched |= <uint64_t>1 << (self.slot & 63)
        done = self.commit(r, version, write(r), next_deadline(r), made.sends, now)
        if done == COMMITTED and made.oversize:
            self.reporter.warn("request.above_mtu", r.key, bytes=made.oversize)
        return done

    cdef int answer(self, version, Record r, SipMessage m, Outcome outcome, double now) except -1:
        """The same for an answer. What is stateless leaves no record."""
        cdef bytes data = self.answers.decide(r, m, outcome, now)
        cdef bytes value = None
        if data is None:
            return NOT_PLAIN
        if not (<Answer>outcome.action).stateless:
            r.touched |= <uint64_t>1 << (self.slot & 63)
            value = write(r)
        sends = [datagram(data, (r.reply_ip, r.reply_port), r.listener, r.local_ip)]
        return self.commit(r, version, value, 0.0, sends, now)

    cdef int commit(self, Record r, version, bytes value, double deadline, list sends, double now) except -1:
        cdef int64_t stored
        if value is not None and PyBytes_GET_SIZE(value) > self.record_bytes:
            return TAKEN_UP_AGAIN
        if self.shm is not None and self.check is None:
            stored = self.put(r, version, value, deadline, sends)
        elif value is None:
            stored = self.stored(Commit(r.key, version, None, 0, 0.0, 0.0, sends), r, version, now)
        else:
            commit = Commit(r.key, version, value, self.owner, deadline, expiry(r, self.linger, self.long), sends)
            stored = self.stored(commit, r, version, now)
        if stored <= 0:
            return TAKEN_UP_AGAIN
        self.count(SENT, len(sends))
        if deadline:
            self.arm(deadline, r.key, stored)
        return COMMITTED

    cdef int64_t put(self, Record r, version, bytes value, double deadline, list sends) except? -9:
        """Straight into the table; no value: the record goes."""
        if value is None:
            return self.shm.erase(r.key, version, sends)
        return self.shm.put(
            r.key, version, value, self.owner, deadline, expiry(r, self.linger, self.long), sends, False)

    cdef int64_t stored(self, commit, Record r, version, double now) except? -9:
        if self.check is not None:
            self.check(r, now, version, commit)
        return committed(self.store, commit)
