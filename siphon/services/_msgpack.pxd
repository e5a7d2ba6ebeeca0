# msgpack, as far as records of services use it, between C fields and bytes: what siphon/services/store.py packs.
#
# Each function answers whether there was such a value, or room for it; after a False nothing may be relied on.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef struct Reading:
    const uint8_t *p
    const uint8_t *end


cdef struct Text:
    const uint8_t *p
    Py_ssize_t size         # -1: nil


cdef inline bint skip(Reading *r, Py_ssize_t size) noexcept nogil:
    if size > r.end - r.p:
        return False
    r.p += size
    return True


cdef inline bint is_next(Reading *r, uint8_t byte) noexcept nogil:
    if r.p >= r.end or r.p[0] != byte:
        return False
    r.p += 1
    return True


cdef inline bint read_text(Reading *r, Text *out, bint may_be_nil) noexcept nogil:
    cdef uint8_t head
    cdef Py_ssize_t size
    if r.p >= r.end:
        return False
    head = r.p[0]
    r.p += 1
    if head & 0xE0 == 0xA0:
        size = head & 0x1F
    elif head == 0xD9 and r.end - r.p >= 1:
        size = r.p[0]
        r.p += 1
    elif head == 0xDA and r.end - r.p >= 2:
        size = r.p[0] << 8 | r.p[1]
        r.p += 2
    elif head == 0xC0 and may_be_nil:
        out.p = NULL
        out.size = -1
        return True
    else:
        return False
    out.p = r.p
    out.size = size
    return skip(r, size)


cdef inline bint read_number(Reading *r, uint64_t *out) noexcept nogil:
    """A whole number that is not negative, below 2^32."""
    cdef uint8_t head
    cdef int size, i
    if r.p >= r.end:
        return False
    head = r.p[0]
    r.p += 1
    if head < 0x80:
        out[0] = head
        return True
    if not 0xCC <= head <= 0xCE:
        return False
    size = 1 << (head - 0xCC)
    if size > r.end - r.p:
        return False
    out[0] = 0
    for i in range(size):
        out[0] = out[0] << 8 | r.p[i]
    r.p += size
    return True


cdef inline bint read_double(Reading *r, double *out) noexcept nogil:
    cdef uint64_t bits = 0
    cdef int i
    if not is_next(r, 0xCB) or r.end - r.p < 8:
        return False
    for i in range(8):
        bits = bits << 8 | r.p[i]
    memcpy(out, &bits, 8)
    r.p += 8
    return True


cdef inline bint read_texts(Reading *r, int width) noexcept nogil:
    """A short list of texts (width 1) or of pairs whose second may be nil (2)."""
    cdef int count, i
    cdef Text text
    if r.p >= r.end or r.p[0] & 0xF0 != 0x90:
        return False
    count = r.p[0] & 0x0F
    r.p += 1
    for i in range(count):
        if width == 2 and not is_next(r, 0x92):
            return False
        if not read_text(r, &text, False) or (width == 2 and not read_text(r, &text, True)):
            return False
    return True


cdef inline bint read_bool(Reading *r) noexcept nogil:
    return is_next(r, 0xC2) or is_next(r, 0xC3)


cdef struct Writing:
    uint8_t *p
    uint8_t *end


cdef inline bint has_room(Writing *w, Py_ssize_t size) noexcept nogil:
    return size <= w.end - w.p


cdef inline bint put(Writing *w, const void *data, Py_ssize_t size) noexcept nogil:
    if not has_room(w, size):
        return False
    memcpy(w.p, data, size)
    w.p += size
    return True


cdef inline bint put_byte(Writing *w, int byte) noexcept nogil:
    if not has_room(w, 1):
        return False
    w.p[0] = <uint8_t>byte
    w.p += 1
    return True


cdef inline bint put_decimal(Writing *w, uint32_t number) noexcept nogil:
    """As text."""
    cdef uint8_t digits[10]
    cdef int at = 10
    while True:
        at -= 1
        digits[at] = <uint8_t>(c"0" + number % 10)
        number //= 10
        if not number:
            return put(w, digits + at, 10 - at)


cdef inline bint put_text(Writing *w, const void *data, Py_ssize_t size) noexcept nogil:
    if size < 32:
        return put_byte(w, 0xA0 | <int>size) and put(w, data, size)
    if size < 256:
        return put_byte(w, 0xD9) and put_byte(w, <int>size) and put(w, data, size)
    if size < 65536:
        return put_byte(w, 0xDA) and put_byte(w, <int>(size >> 8)) and put_byte(w, size & 0xFF) and put(w, data, size)
    return False


cdef inline bint put_number(Writing *w, uint32_t number) noexcept nogil:
    cdef int size = 1 if number < 0x100 else 2 if number < 0x10000 else 4
    cdef int i
    if number < 0x80:
        return put_byte(w, <int>number)
    if not put_byte(w, 0xCC if size == 1 else 0xCD if size == 2 else 0xCE):
        return False
    for i in range(size - 1, -1, -1):
        if not put_byte(w, number >> (8 * i) & 0xFF):
            return False
    return True


cdef inline bint put_double(Writing *w, double number) noexcept nogil:
    cdef uint64_t bits
    cdef int i
    memcpy(&bits, &number, 8)
    if not put_byte(w, 0xCB):
        return False
    for i in range(7, -1, -1):
        if not put_byte(w, <int>(bits >> (8 * i) & 0xFF)):
            return False
    return True


cdef inline bint same(const Text *text, const void *data, int size) noexcept nogil:
    return text.size == size and (size <= 0 or memcmp(text.p, data, size) == 0)
