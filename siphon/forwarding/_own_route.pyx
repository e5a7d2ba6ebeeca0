"""The one Route of most requests in a dialog, known in C: the Record-Route value that we have put into its INVITE.

What siphon/forwarding/routes.py says of such a value is the same for all that differ in nothing but the token, so it is
asked once and kept; the token itself is checked for each request. Whatever is not of this kind is left to it.
"""

# cython: boundscheck=False, wraparound=False

from siphon.forwarding._tokens cimport Tokens
from siphon.sip._message_cy cimport SipMessage

from siphon.forwarding import routes as reference
from siphon.forwarding.signer import record_route_lead

cdef extern from "string.h" nogil:
    void *memmem(const void *, size_t, const void *, size_t)

cdef enum:
    TOKEN = 20              # hex digits
    KEPT = 256


cdef class Known:
    """Values that name us, of one Identity: what stands around the token, and what it is signed with."""

    cdef object identity
    cdef dict found         # (bytes before the token, bytes behind it): (lead, text before, text behind), or None

    cdef tuple facts(self, bytes before, bytes token, bytes behind):
        key = (before, behind)
        found = self.found.get(key, self)
        if found is not self:
            return found
        found = self.learn(before, token, behind)
        if len(self.found) >= KEPT:
            self.found.clear()
        self.found[key] = found
        return found

    cdef tuple learn(self, bytes before, bytes token, bytes behind):
        """What the reference says of the value; None where it is not plain."""
        cdef str text, digits
        uri = reference.route_uri(before + token + behind)
        if uri is None or not reference.names_us(uri, self.identity):
            return None
        if reference.token_of(uri, reference.RECORD_ROUTE_TOKEN) != token:
            return None
        text, digits = str(uri), token.decode()
        if text.count(digits) != 1:
            return None
        lead = record_route_lead(uri.host, reference.port_of(uri))
        start, _, end = text.partition(digits)
        return lead, start, end


cdef Known known = Known.__new__(Known)


cdef bint asks_for_lr(SipMessage m) noexcept:
    """Whether the Request-URI holds `lr`: it may then be a Record-Route value of ours."""
    cdef int i
    for i in range(m.s.uri_start, m.s.uri_end - 1):
        if m.p[i] | 0x20 == c"l" and m.p[i + 1] | 0x20 == c"r":
            return True
    return False


cdef inline bint hex_digits(const unsigned char *p, int count) noexcept:
    cdef int i
    for i in range(count):
        if not (c"0" <= p[i] <= c"9" or c"a" <= p[i] <= c"f"):
            return False
    return True


cpdef str only_route(SipMessage m, identity, signer):
    """The URI of the one Route value of the message where that is ours and signed for its Call-ID, as consumed; None:
    ask loose_route(), it is not so plain."""
    cdef int i = m.position(b"Route", 0)
    cdef int start, end, token
    cdef const char *at
    cdef tuple facts
    if i < 0 or signer is None or m.table[i].folded or m.position(b"Route", i + 1) >= 0 or asks_for_lr(m):
        return None
    start, end = m.table[i].value_start, m.table[i].value_end
    if end == start or m.p[start] != c"<":
        return None
    at = <const char *>memmem(m.p + start, end - start, b";rrs=", 5)
    if at == NULL or memmem(m.p + start, end - start, b",", 1) != NULL:
        return None
    token = <int>(at - <const char *>m.p) + 5
    if end - token <= TOKEN or not hex_digits(m.p + token, TOKEN):
        return None
    if m.p[token + TOKEN] != c">" and m.p[token + TOKEN] != c";":
        return None
    if identity is not known.identity:
        known.identity, known.found = identity, {}
    given = m.span_bytes(token, token + TOKEN)
    facts = known.facts(m.span_bytes(start, token), given, m.span_bytes(token + TOKEN, end))
    if facts is None or not (<Tokens?>signer).is_token(given, <bytes>facts[0] + m.value_of(m.s.i_call_id)):
        return None
    return f"{<str>facts[1]}{(<bytes>given).decode()}{<str>facts[2]}"


cpdef list without_line(SipMessage m, name):
    """Splices that remove all lines of that name."""
    cdef list splices = []
    cdef int i = m.position(name, 0)
    while i >= 0:
        splices.append((<int>m.table[i].start, <int>m.table[i].end, b""))
        i = m.position(name, i + 1)
    return splices
