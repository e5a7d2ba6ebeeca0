"""Bytes that are put together piece by piece: on the stack as long as they fit there, else in memory of their own.

`begin` first, `release` in the end, whatever has happened. `put` raises MemoryError.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memchr, memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const unsigned char *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    AT_HAND = 2048

cdef struct Buffer:
    char *p
    Py_ssize_t used
    Py_ssize_t room
    char at_hand[AT_HAND]


cdef inline void begin(Buffer *b) noexcept nogil:
    b.p = b.at_hand
    b.used, b.room = 0, AT_HAND


cdef inline void release(Buffer *b) noexcept:
    if b.p != b.at_hand:
        PyMem_Free(b.p)
    b.p = b.at_hand


cdef inline int grow(Buffer *b, Py_ssize_t size) except -1:
    cdef Py_ssize_t room = 2 * (b.used + size)
    cdef char *larger = <char *>PyMem_Malloc(room)
    if larger == NULL:
        raise MemoryError
    memcpy(larger, b.p, b.used)
    release(b)
    b.p, b.room = larger, room
    return 0


cdef inline int put(Buffer *b, const void *data, Py_ssize_t size) except -1:
    if size > b.room - b.used:
        grow(b, size)
    memcpy(b.p + b.used, data, size)
    b.used += size
    return 0


cdef inline int put_bytes(Buffer *b, bytes data) except -1:
    return put(b, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline int put_decimal(Buffer *b, long long number) except -1:
    cdef char digits[24]
    cdef int at = 24
    cdef unsigned long long left = -<unsigned long long>number if number < 0 else <unsigned long long>number
    while True:
        at -= 1
        digits[at] = <char>(c"0" + left % 10)
        left //= 10
        if not left:
            break
    if number < 0:
        at -= 1
        digits[at] = c"-"
    return put(b, digits + at, 24 - at)


cdef inline bint put_plain(Buffer *b, text) except -1:
    """A header's value as it goes on the wire, where it is ASCII that may stand there as it is; False: it needs care, and
    nothing was put."""
    cdef const unsigned char *p
    cdef Py_ssize_t n
    if type(text) is not str or not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    p, n = PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text)
    if not n or p[0] <= 32 or p[n - 1] <= 32:
        return False
    if memchr(p, 13, n) != NULL or memchr(p, 10, n) != NULL or memchr(p, 0, n) != NULL:
        return False
    put(b, p, n)
    return True


cdef inline bytes taken(const Buffer *b):
    return PyBytes_FromStringAndSize(b.p, b.used)
