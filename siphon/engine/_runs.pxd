# Declarations of _runs.pyx: what new requests need of it.

from libc.stdint cimport int64_t

from siphon.engine._answers cimport PlainAnswers
from siphon.engine._attempts cimport PlainAttempts
from siphon.engine._changing cimport Changing
from siphon.script._outcome cimport Outcome
from siphon.sip._message_cy cimport SipMessage
from siphon.state._record cimport Claim, Record
from siphon.state._shm_store cimport ShmStore

cdef class PlainRuns:
    cdef ShmStore shm
    cdef Changing env
    cdef unsigned long seen # `changes` of env when these were taken from it
    cdef PlainAttempts plain
    cdef int slot
    cdef int64_t owner
    cdef double linger, long
    cdef Py_ssize_t record_bytes
    cdef object core, store, reporter, arm, clock, handlers, count
    cdef public object check
    cdef PlainAnswers answers

    cdef int configure(self) except -1
    cdef int run(self, Claim claim, version, Record r, SipMessage m) except -1
    cdef int finish(self, version, Record r, SipMessage m, Outcome outcome) except -1
    cdef int answer(self, version, Record r, SipMessage m, Outcome outcome, double now) except -1
    cdef int commit(self, Record r, version, bytes value, double deadline, list sends, double now) except -1
    cdef int64_t put(self, Record r, version, bytes value, double deadline, list sends) except? -9
    cdef int64_t stored(self, commit, Record r, version, double now) except? -9
