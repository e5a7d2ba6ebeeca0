"""What is written into the top Via of a message, and taken off it: new messages or bytes, from spans of the old.

`stamp_source` tells in a request where it came from, `strip_top_via` makes of a response what goes upstream. Both copy
what surrounds the Via byte for byte; the table of offsets moves along, nothing else is scanned again.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.siphon.sip._grammar_cy import AddressSpan, ViaSpan, scan_via, skip_ws
from cython.cimports.siphon.sip._message_cy import SipMessage

from siphon.sip.hosts import canonical_host


def stamp_source(m: SipMessage, ip: str, port: cython.int, force_rport: cython.bint = False) -> SipMessage:
    """The request with its top Via telling where it came from (RFC 3261 §18.2.1, RFC 3581 §4).

    `received` is written when the sent-by is another host, when `rport` was asked for, or when the sender had put one
    there itself; `rport` when asked for or forced. What the sender wrote in them is overwritten. Nothing to write: the
    same object."""
    v: cython.pointer(ViaSpan) = cython.address(m.s.via)
    wants: cython.bint = v.rport != -2 or force_rport
    if not m.s.is_request or not v.usable:
        return m
    host: str = canonical_host(ip) if ":" in ip else ip
    source: bytes = host.encode("ascii")
    if not wants and v.received_start < 0 and same_host(m, source, host):
        return m
    edits = cython.declare(Edit[3])
    n: cython.int = 0
    rport: bytes = b";rport=%d" % port
    tail: bytes = b""
    if v.received_start >= 0:
        put(cython.address(edits[n]), v.received_start, v.received_end, source, 0)
        n += 1
    else:
        tail = b";received=" + source
    if v.rport != -2:
        put(cython.address(edits[n]), v.rport_start, v.rport_end, rport, 1)
        n += 1
    elif force_rport:
        tail += rport
    if n == 2 and edits[0].start > edits[1].start:
        edits[2] = edits[0]
        edits[0] = edits[1]
        edits[1] = edits[2]
    if tail:
        put(cython.address(edits[n]), v.end, v.end, tail, 0)
        n += 1
    return with_via(m, edits, n)


@cython.cfunc
def put(edit: cython.pointer(Edit), start: cython.int, end: cython.int, text: bytes, skip: cython.int) -> cython.void:
    edit.start = start
    edit.end = end
    edit.text = PyBytes_AS_STRING(text) + skip
    edit.size = PyBytes_GET_SIZE(text) - skip


@cython.cfunc
def same_host(m: SipMessage, source: bytes, host: str) -> cython.bint:
    v: cython.pointer(ViaSpan) = cython.address(m.s.via)
    size: cython.int = v.host_end - v.host_start
    if size == PyBytes_GET_SIZE(source) and memcmp(m.p + v.host_start, PyBytes_AS_STRING(source), size) == 0:
        return True
    if m.p[v.host_start] != b"[":
        return False
    return canonical_host(m.span_bytes(v.host_start, v.host_end).decode("ascii")) == host


@cython.cfunc
def with_via(m: SipMessage, edits: cython.pointer(Edit), count: cython.int) -> SipMessage:
    """The message after edits inside its top Via value: the table moves along, nothing else is scanned again."""
    delta: cython.int = 0
    at: cython.int = 0
    i: cython.int
    via_start: cython.int = m.s.via.start
    size: cython.int = PyBytes_GET_SIZE(m.raw)
    for i in range(count):
        if edits[i].start < at or edits[i].end < edits[i].start or edits[i].end > size:
            raise AssertionError("edits of a Via out of order")
        at = edits[i].end
        delta += edits[i].size - (edits[i].end - edits[i].start)
    at = 0
    if size + delta > 65535:  # nothing larger is parsed again
        return m
    new: SipMessage = SipMessage.__new__(SipMessage)
    new.raw = PyBytes_FromStringAndSize(cython.NULL, size + delta)
    out: cython.p_char = PyBytes_AS_STRING(new.raw)
    for i in range(count):
        memcpy(out, m.p + at, edits[i].start - at)
        out += edits[i].start - at
        memcpy(out, edits[i].text, edits[i].size)
        out += edits[i].size
        at = edits[i].end
    memcpy(out, m.p + at, size - at)
    new.s = m.s
    new.keep(m.table, m.s.count)
    for i in range(m.s.i_via, new.s.count):
        if i > m.s.i_via:
            new.table[i].start += delta
            new.table[i].name_end += delta
            new.table[i].value_start += delta
        new.table[i].value_end += delta
        new.table[i].end += delta
    new.s.body_start += delta
    new.s.body_end += delta
    if new.s.cseq_method_start > via_start:
        new.s.cseq_method_start += delta
        new.s.cseq_method_end += delta
    move_address(cython.address(new.s.sender), via_start, delta)
    move_address(cython.address(new.s.target), via_start, delta)
    scan_via(new.p, new.s.via.start, new.table[m.s.i_via].value_end, cython.address(new.s.via))
    new.method = m.method
    new.cseq_method = m.cseq_method
    return new


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def move_address(a: cython.pointer(AddressSpan), behind: cython.int, delta: cython.int) -> cython.void:
    if a.uri_start > behind:
        a.uri_start += delta
        a.uri_end += delta
        a.params += delta
        a.end += delta
        if a.display_start >= 0:
            a.display_start += delta
            a.display_end += delta
        if a.tag_start >= 0:
            a.tag_start += delta
            a.tag_end += delta


@cython.cfunc
def without(raw: bytes, start: cython.int, end: cython.int) -> bytes:
    """The bytes but for [start, end)."""
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(raw)
    made: bytes = PyBytes_FromStringAndSize(cython.NULL, size - (end - start))
    out: cython.p_char = PyBytes_AS_STRING(made)
    memcpy(out, PyBytes_AS_STRING(raw), start)
    memcpy(out + start, PyBytes_AS_STRING(raw) + end, size - end)
    return made


def strip_top_via(m: SipMessage) -> bytes:
    """The message without its top Via value (RFC 3261 §16.7 item 3), with a Content-Length (§18.3)."""
    i: cython.int = m.s.i_via
    start: cython.int
    end: cython.int
    if i < 0:
        return m.raw
    start = m.table[i].start
    end = m.table[i].end
    comma: cython.int = skip_ws(m.p, m.s.via.end, m.table[i].value_end)
    if comma < m.table[i].value_end and m.p[comma] == b",":
        start = m.table[i].value_start
        end = skip_ws(m.p, comma + 1, m.table[i].value_end)
    if m.s.content_length >= 0:
        return without(m.raw, start, end)
    blank: cython.int = m.s.body_start - 2
    length: bytes = b"Content-Length: %d\r\n" % (m.s.body_end - m.s.body_start)
    return m.raw[:start] + m.raw[end:blank] + length + m.raw[blank:]
