"""The transaction record as bytes (siphon/state/codec.py says what is promised).

Both ways are copies between C fields (_record.pxd) and packed structs that lie as siphon/state/layout.py says; a test
compares the bytes with those of an encoder in plain Python. Nothing of the bytes is used before its length is checked.
"""

# cython: boundscheck=False, wraparound=False

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from siphon.state._record cimport Branch, Claim, Client, Record

import sys

from siphon.state import layout as at

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const unsigned char *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef packed struct Fixed:
    uint16_t layout
    uint8_t state, flags, strategy, attempts
    uint16_t final_status, listener, source_port, reply_port, next_index, attempt_first, rejected
    uint32_t salt, script_version, cseq, rseq
    uint64_t touched
    uint16_t branches, claims, waiter

cdef packed struct Times:
    double created, wall, final_sent_at, trying_at, resend_at, interval, end_at, ring_timeout, cancel_at, prack_until

cdef packed struct BranchFixed:
    uint16_t index
    uint8_t state, flags, cancel_by
    uint16_t last_status, result, port, listener, target, order
    uint8_t cancel_state

cdef packed struct BranchTimes:
    double resend_at, interval, timeout_at, end_at, ring_at, timer_c_at, give_up_at
    double cancel_resend_at, cancel_interval, cancel_timeout_at, cancel_end_at

cdef packed struct ClaimRow:
    uint8_t kind
    uint16_t branch, slot
    uint64_t generation
    uint8_t runs
    double deadline

cdef enum:
    LAYOUT = 3
    RECORD_PARTS = 21
    BRANCH_PARTS = 7
    NO_CANCEL = 0xFF
    LAST_CAUSE = 6

SAME = b"="
"""Stands for attempt_edits that are the edits of on_request, as those of a first attempt are; no packed splices."""

cdef bytes SAME_BYTES = SAME


class BadRecord(ValueError):
    """The bytes are not a record of this layout."""


def _agree():
    """The structs above and siphon/state/layout.py say the same, or nothing may be read or written."""
    sizes = (sizeof(Fixed), sizeof(Times), sizeof(BranchFixed), sizeof(BranchTimes), sizeof(ClaimRow))
    wanted = tuple(part.size for part in (at.FIXED, at.TIMES, at.BRANCH, at.BRANCH_TIMES, at.CLAIM))
    counts = (LAYOUT, RECORD_PARTS, BRANCH_PARTS, NO_CANCEL)
    if sizes != wanted or counts != (at.LAYOUT, len(at.RECORD_PARTS), len(at.BRANCH_PARTS), at.NO_CANCEL):
        raise ImportError(f"the structs {sizes} {counts} are not those of siphon/state/layout.py")
    if sys.byteorder != "little":
        raise ImportError("records are little endian, and so must the machine be")


_agree()


# --- to bytes

cdef struct Part:
    const char *text
    Py_ssize_t size


cdef inline int of_bytes(Part *part, bytes value) except -1:
    if value is None:
        raise TypeError("a part of a record is bytes, not None")
    part.text = PyBytes_AS_STRING(value)
    part.size = PyBytes_GET_SIZE(value)
    return 0


cdef inline int of_text(Part *part, str value) except -1:
    if value is None:
        raise TypeError("a part of a record is text, not None")
    part.text = PyUnicode_AsUTF8AndSize(value, &part.size)
    return 0


cdef inline bint same(bytes one, bytes other) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(one)
    return one is other or (
        size == PyBytes_GET_SIZE(other) and memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), size) == 0
    )


cdef int record_parts(Record r, bytes user, Part *parts) except -1:
    of_text(&parts[0], r.method)
    of_bytes(&parts[1], r.request)
    of_bytes(&parts[2], r.edits)
    of_bytes(&parts[3], SAME_BYTES if r.attempt_edits and same(r.attempt_edits, r.edits) else r.attempt_edits)
    of_bytes(&parts[4], r.call_id)
    of_bytes(&parts[5], r.from_tag)
    of_bytes(&parts[6], r.to_tag)
    of_bytes(&parts[7], r.reply_to_tag)
    of_text(&parts[8], r.local_ip)
    of_text(&parts[9], r.source_ip)
    of_text(&parts[10], r.reply_ip)
    of_bytes(&parts[11], r.last_response)
    of_bytes(&parts[12], r.targets)
    of_text(&parts[13], r.send_socket)
    of_text(&parts[14], r.on_reply)
    of_text(&parts[15], r.on_failure)
    of_bytes(&parts[16], r.cancel_reason)
    of_bytes(&parts[17], r.vars)
    of_bytes(&parts[18], user)
    of_bytes(&parts[19], r.consumed)
    of_bytes(&parts[20], r.prack)
    return 0


cdef int branch_parts(Branch b, Part *parts) except -1:
    of_text(&parts[0], b.ip)
    of_text(&parts[1], b.local_ip)
    of_bytes(&parts[2], b.uri)
    of_bytes(&parts[3], b.splices)
    of_bytes(&parts[4], b.response)
    of_bytes(&parts[5], b.cancel_reason)
    of_bytes(&parts[6], b.others)
    return 0


cdef inline Py_ssize_t total(const Part *parts, int count) noexcept:
    cdef Py_ssize_t size = 0
    cdef int i
    for i in range(count):
        size += parts[i].size
    return size


cdef inline char *put_lengths(char *p, const Part *parts, int count) noexcept:
    cdef uint32_t length
    cdef int i
    for i in range(count):
        length = <uint32_t>parts[i].size
        memcpy(p, &length, 4)
        p += 4
    return p


cdef inline char *put_parts(char *p, const Part *parts, int count) noexcept:
    cdef int i
    for i in range(count):
        memcpy(p, parts[i].text, parts[i].size)
        p += parts[i].size
    return p


cdef char *put_record(char *p, Record r) noexcept:
    cdef Fixed f
    cdef Times t
    f.layout = LAYOUT
    f.state = r.state
    f.flags = r.invite | r.local_2xx << 1 | r.record_route << 2 | r.cancelled << 3 | r.own << 4
    f.strategy = r.strategy
    f.attempts = r.attempts
    f.final_status = r.final_status
    f.listener = r.listener
    f.source_port = r.source_port
    f.reply_port = r.reply_port
    f.next_index = r.next_index
    f.attempt_first = r.attempt_first
    f.rejected = r.rejected
    f.salt = r.salt
    f.script_version = r.script_version
    f.cseq = r.cseq
    f.rseq = r.rseq
    f.touched = r.touched
    f.branches = <uint16_t>len(r.branches)
    f.claims = <uint16_t>len(r.claims)
    f.waiter = r.waiter
    memcpy(p, &f, sizeof(Fixed))
    t.created = r.created
    t.wall = r.wall
    t.final_sent_at = r.final_sent_at
    t.trying_at = r.trying_at
    t.resend_at = r.resend_at
    t.interval = r.interval
    t.end_at = r.end_at
    t.ring_timeout = r.ring_timeout
    t.cancel_at = r.cancel_at
    t.prack_until = r.prack_until
    memcpy(p + sizeof(Fixed), &t, sizeof(Times))
    return p + sizeof(Fixed) + sizeof(Times)


cdef char *put_branch(char *p, Branch b, const Part *parts) noexcept:
    cdef BranchFixed f
    cdef BranchTimes t
    cdef Client c = b.cancel
    f.index = b.index
    f.state = b.state
    f.flags = b.provisional | b.local << 1 | b.judging << 2 | b.dropped << 3 | b.moved << 4
    f.cancel_by = b.cancel_by
    f.last_status = b.last_status
    f.result = b.result
    f.port = b.port
    f.listener = b.listener
    f.target = b.target
    f.order = b.order
    f.cancel_state = NO_CANCEL if c is None else c.state
    memcpy(p, &f, sizeof(BranchFixed))
    p += sizeof(BranchFixed)
    t.resend_at = b.resend_at
    t.interval = b.interval
    t.timeout_at = b.timeout_at
    t.end_at = b.end_at
    t.ring_at = b.ring_at
    t.timer_c_at = b.timer_c_at
    t.give_up_at = b.give_up_at
    if c is None:
        t.cancel_resend_at = t.cancel_interval = t.cancel_timeout_at = t.cancel_end_at = 0.0
    else:
        t.cancel_resend_at = c.resend_at
        t.cancel_interval = c.interval
        t.cancel_timeout_at = c.timeout_at
        t.cancel_end_at = c.end_at
    memcpy(p, &t, sizeof(BranchTimes))
    return put_lengths(p + sizeof(BranchTimes), parts, BRANCH_PARTS)


cdef char *put_claim(char *p, Claim c) noexcept:
    cdef ClaimRow row
    row.kind = c.kind
    row.branch = c.branch
    row.slot = c.slot
    row.generation = c.generation
    row.runs = c.runs
    row.deadline = c.deadline
    memcpy(p, &row, sizeof(ClaimRow))
    return p + sizeof(ClaimRow)


def encode(Record r not None):
    """The record as bytes; deterministic, so equal records give equal bytes."""
    return write(r)


cdef bytes write(Record r):
    cdef Part parts[RECORD_PARTS]
    cdef Part own[BRANCH_PARTS]
    cdef Branch b
    cdef Claim c
    cdef bytes user = r.auth_user.encode("utf-8", "surrogateescape") if r.auth_user else b""
    cdef Py_ssize_t size = sizeof(Fixed) + sizeof(Times) + len(r.claims) * sizeof(ClaimRow) + 4 * RECORD_PARTS
    if len(r.branches) > 0xFFFF or len(r.claims) > 0xFFFF:
        raise OverflowError("too many branches or claims for a record")
    record_parts(r, user, parts)
    size += total(parts, RECORD_PARTS)
    for b in r.branches:
        branch_parts(b, own)
        size += sizeof(BranchFixed) + sizeof(BranchTimes) + 4 * BRANCH_PARTS + total(own, BRANCH_PARTS)
    if size > 0x7FFFFFFF:
        raise OverflowError("a record of more than 2 GB")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    cdef char *p = put_record(PyBytes_AS_STRING(out), r)
    for b in r.branches:
        branch_parts(b, own)
        p = put_branch(p, b, own)
    for c in r.claims:
        p = put_claim(p, c)
    p = put_parts(put_lengths(p, parts, RECORD_PARTS), parts, RECORD_PARTS)
    for b in r.branches:
        branch_parts(b, own)
        p = put_parts(p, own, BRANCH_PARTS)
    return out


# --- and back

cdef class Reading:
    """What is left of the bytes of a record."""

    cdef const char *p
    cdef Py_ssize_t left

    cdef const char *take(self, Py_ssize_t size) except NULL:
        cdef const char *at = self.p
        if size > self.left:
            raise BadRecord(f"{self.left} bytes left, expected {size}")
        self.p += size
        self.left -= size
        return at

    cdef bytes part(self, Py_ssize_t size):
        return PyBytes_FromStringAndSize(self.take(size), size) if size else b""

    cdef str text(self, Py_ssize_t size):
        return PyUnicode_DecodeUTF8(self.take(size), size, NULL) if size else ""

    cdef str text_like(self, Py_ssize_t size, str known):
        """text(); the same object where it is the text that is known."""
        if size and size <= self.left and PyUnicode_IS_COMPACT_ASCII(known) and PyUnicode_GET_LENGTH(known) == size \
                and memcmp(self.p, PyUnicode_1BYTE_DATA(known), size) == 0:
            self.take(size)
            return known
        return self.text(size)

    cdef int lengths(self, uint32_t *into, int count) except -1:
        memcpy(into, self.take(4 * count), 4 * count)
        return 0


cdef int read_fixed(Reading data, Record r, Fixed *f) except -1:
    cdef Times t
    memcpy(f, data.take(sizeof(Fixed)), sizeof(Fixed))
    if f.layout != LAYOUT:
        raise BadRecord(f"layout {f.layout}, expected {LAYOUT}")
    memcpy(&t, data.take(sizeof(Times)), sizeof(Times))
    r.state = f.state
    r.invite = f.flags & 1
    r.local_2xx = f.flags >> 1 & 1
    r.record_route = f.flags >> 2 & 1
    r.cancelled = f.flags >> 3 & 1
    r.own = f.flags >> 4 & 1
    r.strategy = f.strategy
    r.attempts = f.attempts
    r.final_status = f.final_status
    r.listener = f.listener
    r.source_port = f.source_port
    r.reply_port = f.reply_port
    r.next_index = f.next_index
    r.attempt_first = f.attempt_first
    r.rejected = f.rejected
    r.salt = f.salt
    r.script_version = f.script_version
    r.cseq = f.cseq
    r.rseq = f.rseq
    r.touched = f.touched
    r.waiter = f.waiter
    r.created = t.created
    r.wall = t.wall
    r.final_sent_at = t.final_sent_at
    r.trying_at = t.trying_at
    r.resend_at = t.resend_at
    r.interval = t.interval
    r.end_at = t.end_at
    r.ring_timeout = t.ring_timeout
    r.cancel_at = t.cancel_at
    r.prack_until = t.prack_until
    return 0


cdef Branch read_branch(Reading data):
    cdef BranchFixed f
    cdef BranchTimes t
    cdef Branch b = Branch.__new__(Branch)
    cdef Client c
    memcpy(&f, data.take(sizeof(BranchFixed)), sizeof(BranchFixed))
    memcpy(&t, data.take(sizeof(BranchTimes)), sizeof(BranchTimes))
    if f.cancel_by > LAST_CAUSE:
        raise BadRecord(f"cause {f.cancel_by} of a CANCEL")
    b.index = f.index
    b.state = f.state
    b.provisional = f.flags & 1
    b.local = f.flags >> 1 & 1
    b.judging = f.flags >> 2 & 1
    b.dropped = f.flags >> 3 & 1
    b.moved = f.flags >> 4 & 1
    b.cancel_by = f.cancel_by
    b.last_status = f.last_status
    b.result = f.result
    b.port = f.port
    b.listener = f.listener
    b.target = f.target
    b.order = f.order
    b.resend_at = t.resend_at
    b.interval = t.interval
    b.timeout_at = t.timeout_at
    b.end_at = t.end_at
    b.ring_at = t.ring_at
    b.timer_c_at = t.timer_c_at
    b.give_up_at = t.give_up_at
    if f.cancel_state != NO_CANCEL:
        c = b.cancel = Client.__new__(Client)
        c.state = f.cancel_state
        c.resend_at = t.cancel_resend_at
        c.interval = t.cancel_interval
        c.timeout_at = t.cancel_timeout_at
        c.end_at = t.cancel_end_at
    data.lengths(b.lengths, BRANCH_PARTS)
    return b


cdef Claim read_claim(Reading data):
    cdef ClaimRow row
    cdef Claim c = Claim.__new__(Claim)
    memcpy(&row, data.take(sizeof(ClaimRow)), sizeof(ClaimRow))
    c.kind = row.kind
    c.branch = row.branch
    c.slot = row.slot
    c.generation = row.generation
    c.runs = row.runs
    c.deadline = row.deadline
    return c


cdef int read_parts(Reading data, Record r, const uint32_t *sizes) except -1:
    r.method = data.text_like(sizes[0], "INVITE" if r.invite else "BYE")
    r.request = data.part(sizes[1])
    r.edits = data.part(sizes[2])
    r.attempt_edits = data.part(sizes[3])
    if r.attempt_edits == SAME_BYTES:
        r.attempt_edits = r.edits
    r.call_id = data.part(sizes[4])
    r.from_tag = data.part(sizes[5])
    r.to_tag = data.part(sizes[6])
    r.reply_to_tag = data.part(sizes[7])
    r.local_ip = data.text(sizes[8])
    r.source_ip = data.text(sizes[9])
    r.reply_ip = data.text_like(sizes[10], r.source_ip)
    r.last_response = data.part(sizes[11])
    r.targets = data.part(sizes[12])
    r.send_socket = data.text(sizes[13])
    r.on_reply = data.text(sizes[14])
    r.on_failure = data.text(sizes[15])
    r.cancel_reason = data.part(sizes[16])
    r.vars = data.part(sizes[17])
    r.auth_user = data.part(sizes[18]).decode("utf-8", "surrogateescape")
    r.consumed = data.part(sizes[19])
    r.prack = data.part(sizes[20])
    return 0


cdef int read_branch_parts(Reading data, Branch b) except -1:
    b.ip = data.text(b.lengths[0])
    b.local_ip = data.text(b.lengths[1])
    b.uri = data.part(b.lengths[2])
    b.splices = data.part(b.lengths[3])
    b.response = data.part(b.lengths[4])
    b.cancel_reason = data.part(b.lengths[5])
    b.others = data.part(b.lengths[6])
    return 0


cdef Record read(bytes key, bytes value):
    cdef Reading data = Reading.__new__(Reading)
    cdef Record r = Record.__new__(Record)
    cdef Fixed f
    cdef uint32_t sizes[RECORD_PARTS]
    cdef Branch b
    cdef int i
    r.key = key
    data.p = PyBytes_AS_STRING(value)
    data.left = PyBytes_GET_SIZE(value)
    read_fixed(data, r, &f)
    for i in range(f.branches):
        r.branches.append(read_branch(data))
    for i in range(f.claims):
        r.claims.append(read_claim(data))
    data.lengths(sizes, RECORD_PARTS)
    read_parts(data, r, sizes)
    for b in r.branches:
        read_branch_parts(data, b)
    if data.left:
        raise BadRecord(f"{data.left} bytes too many")
    return r


def decode(bytes key, bytes value not None):
    """The record whose bytes these are; BadRecord when they are not one."""
    try:
        return read(key, value)
    except UnicodeDecodeError as error:
        raise BadRecord(str(error)) from error
