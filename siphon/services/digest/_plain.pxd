# Declarations of _plain.pyx.

from libc.stdint cimport uint32_t, uint64_t

from siphon.services._rows cimport Rows
from siphon.sip._blake cimport Keyed
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._sha256 cimport KeyedSha256

cdef struct Span:
    int start               # -1: absent
    int end


cdef class PlainDigest:
    cdef object users, uses, nonces
    cdef Rows rows
    cdef public object check
    cdef KeyedSha256 proof
    cdef Keyed keyed
    cdef bytes floor_key
    cdef dict opaques, texts
    cdef object around_nonces
    cdef tuple offered      # algorithms
    cdef bint md5, sha256
    cdef double ttl

    cdef list challenges(self, str realm, double wall)
    cpdef str nonce(self, double wall)
    cdef str user_of(self, SipMessage m, bytes header, bytes request_uri, str realm, bytes transaction, double wall,
                     int *line)
    cdef bint is_for(self, SipMessage m, const Span *q, str realm, bint *sha) except -1
    cdef bint is_ours(self, SipMessage m, const Span *q, str realm, uint64_t *made_at) except -1
    cdef bytes opaque(self, str realm)
    cdef bint is_right(self, SipMessage m, const Span *q, bint sha) except -1
    cdef bint fits(self, SipMessage m, const Span *q, bytes request_uri) except -1
    cdef bint counts(self, SipMessage m, const Span *q, uint64_t made_at, uint32_t count, bytes transaction,
                     double wall) except -1
