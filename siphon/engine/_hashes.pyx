"""The loop value of RFC 5393 in C: what most requests have for it, put together without a list of Python objects.

The same bytes as siphon/forwarding/branch.py makes, which is asked for requests with credentials, Proxy-Require or the
X- and P- headers by which scripts mark what they have routed.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

from siphon.engine._copies cimport decimal
from siphon.sip._blake cimport Keyed
from siphon.sip._words cimport hash_name
from siphon.sip._hex cimport put_digits
from siphon.sip._message_cy cimport SipMessage

from siphon.forwarding.branch import loop_value

cdef enum:
    ROOM = 4096
    VALUE_BYTES = 4


cdef unsigned int hash_of(bytes name):
    return hash_name(<const unsigned char *>PyBytes_AS_STRING(name), 0, <int>PyBytes_GET_SIZE(name))


cdef unsigned int H_PROXY_REQUIRE = hash_of(b"Proxy-Require")
cdef unsigned int H_PROXY_AUTHORIZATION = hash_of(b"Proxy-Authorization")
cdef unsigned int H_AUTHORIZATION = hash_of(b"Authorization")
cdef unsigned int H_ROUTE = hash_of(b"Route")


cdef struct Text:
    char at[ROOM]
    int size


cdef inline int add(Text *text, const char *data, Py_ssize_t size) noexcept nogil:
    """Append and set a zero behind; -1: no room."""
    if size < 0 or size >= ROOM - text.size:
        return -1
    memcpy(text.at + text.size, data, size)
    text.size += <int>size
    text.at[text.size] = 0
    text.size += 1
    return 0


cdef int add_line(Text *text, SipMessage m, int i) except -2:
    """The value of a line; -1: no room, or there is none to be taken as it is."""
    if i < 0 or m.table[i].folded:
        return -1
    return add(text, <const char *>m.p + m.table[i].value_start, m.table[i].value_end - m.table[i].value_start)


cdef bint has_mark(SipMessage m) noexcept:
    """Whether a line begins with X- or P-, in the body as well: then it is branch.loop_value that looks closer."""
    cdef const char *at = <const char *>m.p
    cdef const char *end = at + PyBytes_GET_SIZE(m.raw)
    while True:
        at = <const char *>memchr(at, 10, end - at)
        if at == NULL or end - at < 3:
            return False
        at += 1
        if at[1] == c"-" and (at[0] | 0x20 == c"x" or at[0] | 0x20 == c"p"):
            return True


cdef bint gather(Text *text, SipMessage m) except -1:
    """What the value is taken of, where that is the usual; False: ask branch.loop_value."""
    cdef char number[24]
    cdef char *digits
    cdef list routes
    cdef unsigned int h
    cdef bint routed = False
    cdef int i
    for i in range(m.s.count):  # a hash that two names have costs time, no more
        h = m.table[i].hash
        if h == H_ROUTE:
            routed = True
        elif h == H_PROXY_REQUIRE or h == H_PROXY_AUTHORIZATION or h == H_AUTHORIZATION:
            return False
    if has_mark(m):
        return False
    text.size = 0
    if add(text, <const char *>m.p + m.s.uri_start, m.s.uri_end - m.s.uri_start) or add_line(text, m, m.s.i_call_id):
        return False
    if m.s.cseq < 0:
        return False
    digits = decimal(number + 24, <unsigned long long>m.s.cseq)
    if add(text, digits, number + 24 - digits):
        return False
    if add_line(text, m, m.s.i_from) or add_line(text, m, m.s.i_to):
        return False
    if not routed:
        return True
    routes = m.listed(b"Route")
    if not routes and m.position(b"Route", 0) < 0:
        return True
    if not routes or add(text, b"\0\0Route", 7):
        return False
    for value in routes:
        if add(text, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
            return False
    text.size -= 1
    return True


@cython.final
cdef class Loops:
    """Makes loop values; the hash with its key is set up once."""

    cdef bytes value(self, SipMessage m, bytes key):
        cdef Text text
        cdef unsigned char digest[VALUE_BYTES]
        cdef bytes found
        if key is not self.key:
            self.keyed, self.key = Keyed(key, VALUE_BYTES), key
        if not gather(&text, m):
            return loop_value(m, key)
        self.keyed.into(<const unsigned char *>text.at, text.size, digest)
        found = PyBytes_FromStringAndSize(NULL, 2 * VALUE_BYTES)
        put_digits(digest, VALUE_BYTES, PyBytes_AS_STRING(found))
        return found
