"""Location.lookup() in C of an address of record with one binding, over a table of shared memory: each call asks once.

The record is read without becoming objects but for the Binding, which is kept by the text that was asked for; the record's
version, which is never reused, tells whether it still holds. Whatever else there is - more bindings or none, an alias, a
request to be confirmed, an event that waits, another format - is left to siphon/services/location/location.py (None). Tests
compare both.
"""

# cython: boundscheck=False, wraparound=False

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from shm._layout cimport KEY, VALUE_MAX, Descriptor
from shm._table cimport Table
from siphon.services._msgpack cimport Reading, Text, is_next, read_double, read_number, read_text, read_texts, skip

from siphon.services.location.aor import CACHED_LENGTH, address_of_record_of
from siphon.services.location.binding import _TYPES, LATEST, Binding
from siphon.services.location.binding import VERSION as RECORD_VERSION
from siphon.services.store import RECORD_LIMIT

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    VERSION = 2
    FIELDS = 19             # of a binding
    KEPT = 2048             # look-ups; then all are forgotten

cdef double MOST = LATEST
cdef Py_ssize_t LONGEST = CACHED_LENGTH
cdef int64_t LARGEST = RECORD_LIMIT

if VERSION != RECORD_VERSION or FIELDS != len(_TYPES):
    raise ImportError("the records of addresses of record have changed")


@cython.final
@cython.no_gc
cdef class Kept:
    """A binding, and the record that it was in."""

    cdef bytes key
    cdef uint64_t version
    cdef object binding
    cdef double expiry


cdef inline str text_of(const Text *text):
    if text.size < 0:
        return None
    return PyUnicode_DecodeUTF8(<const char *>text.p, text.size, b"surrogateescape")


cdef inline bint read_flag(Reading *r, bint *out) noexcept nogil:
    out[0] = is_next(r, 0xC3)
    return out[0] or is_next(r, 0xC2)


cdef tuple texts_of(Reading *r, int width):
    """As read_texts(), with what was read; None where it is not that."""
    cdef Text text, value
    cdef list found
    cdef int i, count
    if r.p >= r.end or r.p[0] & 0xF0 != 0x90:
        return None
    count = r.p[0] & 0x0F
    r.p += 1
    if not count:
        return ()
    found = []
    for i in range(count):
        if width == 2 and not is_next(r, 0x92):
            return None
        if not read_text(r, &text, False):
            return None
        if width == 1:
            found.append(text_of(&text))
        elif read_text(r, &value, True):
            found.append((text_of(&text), text_of(&value)))
        else:
            return None
    return tuple(found)


cdef object read_binding(Reading *r):
    """As binding._binding; None where it is not plain."""
    cdef Text uri, instance, reg_id, call_id, transport, source, local, token, epoch
    cdef uint64_t cseq, source_port, local_port
    cdef double q, expiry, refreshed
    cdef bint behind_nat
    cdef const uint8_t *transaction
    cdef Py_ssize_t size
    cdef tuple params, path
    if not is_next(r, 0xDC) or not is_next(r, 0) or not is_next(r, FIELDS):
        return None
    if not read_text(r, &uri, False) or not read_double(r, &q) or not 0.0 <= q <= 1.0:
        return None
    params = texts_of(r, 2)
    if params is None or not read_text(r, &instance, True) or not read_text(r, &reg_id, True):
        return None
    if not read_text(r, &call_id, False) or not read_number(r, &cseq):
        return None
    if not read_double(r, &expiry) or not 0.0 <= expiry <= MOST:
        return None
    if not read_double(r, &refreshed) or not 0.0 <= refreshed <= MOST:
        return None
    path = texts_of(r, 1)
    if path is None or not read_text(r, &transport, False):
        return None
    if not read_text(r, &source, False) or not read_number(r, &source_port) or source_port > 65535:
        return None
    if not read_text(r, &local, False) or not read_number(r, &local_port) or local_port > 65535:
        return None
    if not read_flag(r, &behind_nat) or not read_text(r, &token, True) or not is_next(r, 0xC4) or r.p >= r.end:
        return None
    size = r.p[0]
    transaction = r.p + 1
    if not skip(r, 1 + size) or not read_text(r, &epoch, False):
        return None
    return Binding(
        text_of(&uri), q, params, text_of(&instance), text_of(&reg_id), text_of(&call_id), cseq, expiry, refreshed, path,
        text_of(&transport), (text_of(&source), source_port), (text_of(&local), local_port), behind_nat, text_of(&token),
        PyBytes_FromStringAndSize(<const char *>transaction, size), text_of(&epoch),
    )


cdef bint is_tail(Reading *r) noexcept nogil:
    """No aliases, nothing to be confirmed, no event that waits."""
    cdef uint64_t number
    if not is_next(r, 0x90) or not read_texts(r, 1) or not read_texts(r, 1) or not is_next(r, 0x90):
        return False
    if not is_next(r, 0x94) or not read_number(r, &number) or not read_number(r, &number) or not read_number(r, &number):
        return False
    return is_next(r, 0x90) and r.p == r.end


@cython.final
cdef class Finding:
    """Of one Location whose table is the truth itself. `table`, `records`: its own."""

    cdef Table table
    cdef object records
    cdef dict known

    def __init__(self, Table table not None, records):
        self.table, self.records, self.known = table, records, {}

    def live(self, str uri not None, double wall):
        """The one live binding of an address of record, given as a script does; None: ask Location.lookup()."""
        cdef Kept kept = self.known.get(uri)
        cdef Descriptor d
        if kept is None or self.table.look_at(
                <const unsigned char *>PyBytes_AS_STRING(kept.key), &d) < 0 or d.version != kept.version:
            kept = self.read(uri)
        return kept.binding if kept is not None and kept.expiry > wall else None

    cdef Kept read(self, str uri):
        cdef Kept kept
        cdef Descriptor d
        cdef int64_t size
        cdef bytes key
        cdef str aor
        if len(uri) > LONGEST:
            return None
        aor = address_of_record_of(uri)
        if aor is None or not PyUnicode_IS_COMPACT_ASCII(aor):
            return None
        key = self.records.key(aor)
        if len(key) != KEY:
            return None
        size = self.table.fetch_into(<const unsigned char *>PyBytes_AS_STRING(key), self.table.scratch, VALUE_MAX, &d)
        if not 0 <= size <= LARGEST:
            return None
        binding = self.binding(aor, size)
        if binding is None:
            return None
        kept = Kept.__new__(Kept)
        kept.key, kept.version, kept.binding, kept.expiry = key, d.version, binding, binding.expiry
        if len(self.known) >= KEPT:
            self.known.clear()
        self.known[uri] = kept
        return kept

    cdef object binding(self, str aor, Py_ssize_t size):
        """Of the record that has just been read."""
        cdef Reading r
        cdef Text text
        cdef Py_ssize_t length
        cdef const char *wanted = PyUnicode_AsUTF8AndSize(aor, &length)
        r.p = <const uint8_t *>self.table.scratch
        r.end = r.p + size
        if not is_next(&r, 0x98) or not is_next(&r, VERSION) or not read_text(&r, &text, False):
            return None
        if text.size != length or memcmp(text.p, wanted, length) or not is_next(&r, 0x91):
            return None
        found = read_binding(&r)
        return found if found is not None and is_tail(&r) else None
