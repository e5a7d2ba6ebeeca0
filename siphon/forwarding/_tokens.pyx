"""Tokens of texts under several keys, in C: siphon/forwarding/signer.py has some made or checked for each INVITE, ACK and
BYE.
"""

# cython: boundscheck=False, wraparound=False

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from siphon.sip._sha256 cimport KeyedSha256

cdef enum:
    MOST = 4096
    TOKEN = 10              # bytes

KEPT = MOST


cdef class Tokens:
    """`keys`: the signing one first. What was worked out is kept for a while, at most KEPT texts."""

    def __init__(self, keys):
        self.keys = [KeyedSha256(key) for key in keys]
        self.known = {}

    cdef tuple of(self, bytes text):
        """The token under each key, that of the signing one first."""
        found = self.known.get(text)
        if found is None:
            found = tuple([(<KeyedSha256>key).digits(text, TOKEN) for key in self.keys])
            if len(self.known) >= MOST:
                self.known.clear()
            self.known[text] = found
        return found

    cpdef bytes token(self, bytes text):
        """The token of a text: record_route_lead() and a Call-ID."""
        return self.of(text)[0]

    cpdef bint is_token(self, bytes token, bytes text) except -1:
        """Whether it is that of the text, under any key; its case does not matter. Takes the same time for all."""
        cdef const char *given = PyBytes_AS_STRING(token)
        cdef const char *ours
        cdef bint found = False
        cdef int i, differing
        if PyBytes_GET_SIZE(token) != 2 * TOKEN:
            return False
        for made in self.of(text):
            ours = PyBytes_AS_STRING(<bytes>made)
            differing = 0
            for i in range(2 * TOKEN):
                differing |= ours[i] ^ (given[i] | 0x20 if c"A" <= given[i] <= c"Z" else given[i])
            found |= differing == 0
        return found
