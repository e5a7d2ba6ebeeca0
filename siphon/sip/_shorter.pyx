"""A message without one of its header lines: the table moves along, and nothing is parsed again.

A BYE whose Route was ours is such a message. The same as parse() of its bytes, which a test compares it with.
"""

# cython: boundscheck=False, wraparound=False

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, memmove

from siphon.sip._grammar_cy cimport AddressSpan
from siphon.sip._message_cy cimport SipMessage
from siphon.sip._scan_cy cimport Line


cdef inline void move(AddressSpan *a, int behind, int size) noexcept nogil:
    if a.uri_start > behind:
        a.uri_start -= size
        a.uri_end -= size
        a.params -= size
        a.end -= size
        if a.display_start >= 0:
            a.display_start -= size
            a.display_end -= size
        if a.tag_start >= 0:
            a.tag_start -= size
            a.tag_end -= size


cdef inline int behind(int line, int gone) noexcept nogil:
    return line - 1 if line > gone else line


cpdef SipMessage without(SipMessage m, int i):
    """The message without its line `i`, which is none of Via, From, To, Call-ID, CSeq, Max-Forwards and Content-Length;
    None where it is one, stands above Via, or the message is faulty."""
    cdef SipMessage new
    cdef int at, size, n, total = <int>PyBytes_GET_SIZE(m.raw)
    cdef char *out
    if not 0 <= i < m.s.count or not 0 <= m.s.i_via < i or m.s.status:
        return None
    if m.table[i].hash == m.table[m.s.i_via].hash:  # another Via
        return None
    if i in (m.s.i_from, m.s.i_to, m.s.i_call_id, m.s.i_cseq, m.s.i_max_forwards, m.s.i_content_length):
        return None
    at, size = m.table[i].start, m.table[i].end - m.table[i].start
    new = SipMessage.__new__(SipMessage)
    new.raw = PyBytes_FromStringAndSize(NULL, total - size)
    out = PyBytes_AS_STRING(new.raw)
    memcpy(out, m.p, at)
    memcpy(out + at, m.p + at + size, total - at - size)
    new.s = m.s
    new.keep(m.table, m.s.count)
    memmove(new.table + i, new.table + i + 1, (m.s.count - i - 1) * sizeof(Line))
    new.s.count -= 1
    for n in range(i, new.s.count):
        new.table[n].start -= size
        new.table[n].name_end -= size
        new.table[n].value_start -= size
        new.table[n].value_end -= size
        new.table[n].end -= size
    new.s.i_from, new.s.i_to = behind(m.s.i_from, i), behind(m.s.i_to, i)
    new.s.i_call_id, new.s.i_cseq = behind(m.s.i_call_id, i), behind(m.s.i_cseq, i)
    new.s.i_max_forwards, new.s.i_content_length = behind(m.s.i_max_forwards, i), behind(m.s.i_content_length, i)
    new.s.body_start -= size
    new.s.body_end -= size
    if new.s.cseq_method_start > at:
        new.s.cseq_method_start -= size
        new.s.cseq_method_end -= size
    move(&new.s.sender, at, size)
    move(&new.s.target, at, size)
    new.method, new.cseq_method = m.method, m.cseq_method
    return new
