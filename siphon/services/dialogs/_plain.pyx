"""Dialogs.remember() and forget() in C, over a table of shared memory: each call has one of either.

The same keys and bytes as siphon/services/dialogs/dialogs.py makes, which is asked for whatever does not fit here (False):
tags longer than TAG bytes, a table that is full or does not answer at once. Tests compare both.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from shm._layout cimport CONFLICT, KEY, Facts
from shm._table cimport Table
from siphon.sip._blake cimport Keyed
from siphon.sip._hex cimport put_decimal

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    TAG = 255               # bytes: the length of one takes a byte in the record
    ROOM = 2048

if KEY != 16:
    raise ImportError("the length of keys has changed")


cdef inline char *put_lower(char *p, bytes tag) noexcept:
    """`length:tag`, in lower case."""
    cdef const char *text = PyBytes_AS_STRING(tag)
    cdef Py_ssize_t i, size = PyBytes_GET_SIZE(tag)
    p = put_decimal(p, <unsigned int>size)
    p[0] = c":"
    p += 1
    for i in range(size):
        p[i] = text[i] | 0x20 if c"A" <= text[i] <= c"Z" else text[i]
    return p + size


cdef bint comes_first(bytes one, bytes other):
    return one.lower() <= other.lower()


cdef inline char *put_bytes(char *p, bytes value) noexcept:
    """At most the 255 bytes of which the length takes one."""
    cdef Py_ssize_t size = min(PyBytes_GET_SIZE(value), <Py_ssize_t>255)
    p[0] = <char>0xc4
    p[1] = <char>size
    memcpy(p + 2, PyBytes_AS_STRING(value), size)
    return p + 2 + size


cdef char *put_text(char *p, str value) except NULL:
    cdef Py_ssize_t size
    cdef const char *text = PyUnicode_AsUTF8AndSize(value, &size)
    if size < 32:
        p[0] = <char>(0xa0 | size)
        p += 1
    else:
        p[0] = <char>0xd9
        p[1] = <char>size
        p += 2
    memcpy(p, text, size)
    return p + size


cdef inline char *put_number(char *p, long value) noexcept:
    if value < 0x80:
        p[0] = <char>value
        return p + 1
    if value < 0x100:
        p[0] = <char>0xcc
        p[1] = <char>value
        return p + 2
    p[0] = <char>0xcd
    p[1] = <char>(value >> 8)
    p[2] = <char>value
    return p + 3


cdef bint fits(tuple place) except -1:
    """Whether a Place can be written here: short texts of ASCII, numbers of 16 bits."""
    cdef long port = place[1]
    cdef long listener = place[2]
    if not PyUnicode_IS_ASCII(place[0]) or not PyUnicode_IS_ASCII(place[3]):
        return False
    return len(<str>place[0]) < 100 and len(<str>place[3]) < 100 and 0 <= port < 0x10000 and 0 <= listener < 0x10000


cdef char *put_place(char *p, tuple place) except NULL:
    return put_text(put_number(put_number(put_text(p, place[0]), place[1]), place[2]), place[3])


@cython.final
cdef class PlainDialogs:
    """Of one process. False: nothing has happened, ask Dialogs."""

    def __init__(self, Table table not None, bytes hash_key not None, double max_age):
        self.table = table
        self.keyed = Keyed(hash_key[:64], KEY)
        self.max_age = max_age

    cdef bytes key(self, bytes call_id, bytes one, bytes other):
        """As Dialogs._key; None where there is no room."""
        cdef char text[ROOM]
        cdef char *p = text + 1
        if PyBytes_GET_SIZE(one) > TAG or PyBytes_GET_SIZE(other) > TAG or PyBytes_GET_SIZE(call_id) > ROOM - 3 * TAG:
            return None
        text[0] = c"d"
        if comes_first(one, other):
            p = put_lower(put_lower(p, one), other)
        else:
            p = put_lower(put_lower(p, other), one)
        memcpy(p, PyBytes_AS_STRING(call_id), PyBytes_GET_SIZE(call_id))
        return self.keyed.of(<const unsigned char *>text, p - text + PyBytes_GET_SIZE(call_id))

    cdef bint remember(
        self, bytes call_id, bytes caller_tag, bytes callee_tag, tuple caller, tuple callee, double wall
    ) except -1:
        cdef bytes key = self.key(call_id, caller_tag, callee_tag)
        cdef char value[ROOM]
        cdef char *p = value
        cdef Facts facts
        cdef int64_t got
        if key is None or not fits(caller) or not fits(callee):
            return False
        p[0] = <char>0x9b                   # a list of eleven, of version 1
        p[1] = 1
        p = put_bytes(put_place(put_place(put_bytes(p + 2, caller_tag), caller), callee), call_id)
        facts.owner = 0
        facts.next_deadline = wall
        facts.claim_deadline = 0.0
        facts.expiry = wall + self.max_age
        self.table.require_slot()
        got = self.table.store_from(
            <const unsigned char *>PyBytes_AS_STRING(key), 0, <const unsigned char *>value, p - value, &facts, True, NULL,
            NULL)
        return got > 0 or got == CONFLICT

    cdef bint forget(self, bytes call_id, bytes from_tag, bytes to_tag) except -1:
        cdef bytes key = self.key(call_id, from_tag, to_tag)
        if key is None:
            return False
        self.table.require_slot()
        self.table.erase_key(<const unsigned char *>PyBytes_AS_STRING(key), 0, NULL, NULL)
        return True

    def note(self, bytes call_id not None, bytes caller_tag not None, bytes callee_tag not None, caller not None, callee not None,
             double wall):
        """remember() for Python."""
        return self.remember(call_id, caller_tag, callee_tag, tuple(caller), tuple(callee), wall)

    def drop(self, bytes call_id not None, bytes from_tag not None, bytes to_tag not None):
        """forget() for Python."""
        return self.forget(call_id, from_tag, to_tag)
