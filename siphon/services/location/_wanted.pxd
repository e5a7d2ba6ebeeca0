# The Contact and the To of a plain REGISTER on spans of the message, as siphon/services/location/register.py reads them.
#
# Each function answers whether what it looks at is plain; after a False nothing may be relied on.

from libc.stdint cimport uint8_t

from siphon.services._msgpack cimport Writing, put, put_byte, put_decimal, put_text
from siphon.sip._grammar_cy cimport Param, UriSpan, scan_param

cdef enum:
    DIGITS = 9              # of a lifetime
    NAME = 1024             # of an address of record, or of a contact's URI

cdef struct Wanted:
    # The Contact of a REGISTER. `uri`, `params`: spans of the message; `instance` in the form that is compared.
    UriSpan uri
    int params
    int end
    int lifetime
    char instance[128]
    int instance_size       # -1: none
    int reg_start           # of the value of reg-id without quotes; -1: none
    int reg_end
    int others              # parameters beside expires


cdef struct Name:
    # What a key is made of: a letter, and the text in its canonical form.
    char text[NAME]
    int size                # without the letter


cdef inline bint make_name(
    Name *name, const char *kind, bint secure, const unsigned char *p, const UriSpan *u, int port
) noexcept nogil:
    """Of a URI whose host and user are simple; False where there is no room. The port that goes without saying is not
    said, and neither is 0."""
    cdef Writing out
    out.p, out.end = <uint8_t *>name.text, <uint8_t *>name.text + NAME
    if not put(&out, kind, 1) or not put(&out, b"sips:" if secure else b"sip:", 5 if secure else 4):
        return False
    if u.user_start >= 0:
        if not put(&out, p + u.user_start, u.user_end - u.user_start) or not put_byte(&out, c"@"):
            return False
    if not put(&out, p + u.host_start, u.host_end - u.host_start):
        return False
    if port and port != (5061 if secure else 5060):
        if not put_byte(&out, c":") or not put_decimal(&out, port):
            return False
    name.size = <int>(out.p - <uint8_t *>name.text) - 1
    return True


cdef inline int digits(const unsigned char *p, int s, int e) noexcept nogil:
    """A number of few digits; -1 for anything else."""
    cdef int number = 0
    if not 0 < e - s <= DIGITS:
        return -1
    while s < e:
        if not c"0" <= p[s] <= c"9":
            return -1
        number = number * 10 + (p[s] - c"0")
        s += 1
    return number


cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c | 0x20 if c"A" <= c <= c"Z" else c


cdef inline bint named(const unsigned char *p, const Param *q, const char *name, int size) noexcept nogil:
    cdef int i
    if q.name_end - q.start != size:
        return False
    for i in range(size):
        if lower(p[q.start + i]) != <unsigned char>name[i]:
            return False
    return True


cdef inline bint simple_host(const unsigned char *p, int s, int e) noexcept nogil:
    """Whether a host is its own canonical form: digits, lower case letters, dots and hyphens, no dot at the end."""
    if s >= e or p[e - 1] == c".":
        return False
    while s < e:
        if not (c"a" <= p[s] <= c"z" or c"0" <= p[s] <= c"9" or p[s] == c"." or p[s] == c"-"):
            return False
        s += 1
    return True


cdef inline bint simple_user(const unsigned char *p, const UriSpan *u) noexcept nogil:
    """Whether there is a user without escapes, and no password."""
    cdef int i
    if u.user_start < 0 or u.user_end <= u.user_start or u.password_start >= 0:
        return False
    for i in range(u.user_start, u.user_end):
        if p[i] == c"%" or p[i] >= 0x80:
            return False
    return True


cdef inline bint unquoted(const unsigned char *p, int *s, int *e) noexcept nogil:
    """Quotes at both ends are taken off; False for what is not ASCII."""
    cdef int i
    if e[0] - s[0] > 1 and p[s[0]] == c'"' and p[e[0] - 1] == c'"':
        s[0] += 1
        e[0] -= 1
    for i in range(s[0], e[0]):
        if p[i] >= 0x80:
            return False
    return True


cdef inline bint keep_instance(const unsigned char *p, const Param *q, Wanted *w) noexcept nogil:
    """As register._unquoted: a UUID is compared without case."""
    cdef int s = q.value_start, e = q.value_end, i
    cdef inline bint uuid
    if w.instance_size >= 0 or s < 0 or not unquoted(p, &s, &e) or e - s > 128:
        return False
    uuid = e - s >= 10
    for i in range(10 if uuid else 0):
        uuid = uuid and lower(p[s + i]) == <unsigned char>b"<urn:uuid:"[i]
    for i in range(e - s):
        w.instance[i] = <char>(lower(p[s + i]) if uuid else p[s + i])
    w.instance_size = e - s
    return True


cdef inline bint read_params(const unsigned char *p, int s, int e, Wanted *w) noexcept nogil:
    """The parameters of the Contact; False for q, for a second of a name that counts, and for what is not understood."""
    cdef Param q
    while s < e and p[s] == c";":
        s = scan_param(p, s + 1, e, &q)
        if s < 0:
            return False
        if named(p, &q, b"q", 1):
            return False
        if named(p, &q, b"expires", 7):
            if w.lifetime >= 0 or q.value_start < 0:
                return False
            w.lifetime = digits(p, q.value_start, q.value_end)
            if w.lifetime < 0:
                return False
            continue
        w.others += 1
        if named(p, &q, b"+sip.instance", 13):
            if not keep_instance(p, &q, w):
                return False
        elif named(p, &q, b"reg-id", 6):
            if w.reg_start >= 0 or q.value_start < 0:
                return False
            w.reg_start, w.reg_end = q.value_start, q.value_end
            if not unquoted(p, &w.reg_start, &w.reg_end) or w.reg_end - w.reg_start > 9:
                return False
    return s == e and w.others < 16


cdef inline bint put_params(Writing *w, const unsigned char *p, int s, int e, int others) noexcept nogil:
    """As msgpack: those that are kept."""
    cdef Param q
    if not put_byte(w, 0x90 | others):
        return False
    while s < e:
        s = scan_param(p, s + 1, e, &q)
        if s < 0:
            return False
        if named(p, &q, b"expires", 7):
            continue
        if not put_byte(w, 0x92) or not put_text(w, p + q.start, q.name_end - q.start):
            return False
        if q.value_start < 0:
            if not put_byte(w, 0xC0):
                return False
        elif not put_text(w, p + q.value_start, q.value_end - q.value_start):
            return False
    return True


cdef inline bint put_header_params(Writing *w, const unsigned char *p, int s, int e) noexcept nogil:
    """As the Contact of the answer has them: what is kept, as sent."""
    cdef Param q
    while s < e:
        s = scan_param(p, s + 1, e, &q)
        if s < 0:
            return False
        if named(p, &q, b"expires", 7):
            continue
        if not put_byte(w, c";") or not put(w, p + q.start, q.name_end - q.start):
            return False
        if q.value_start >= 0:
            if not put_byte(w, c"=") or not put(w, p + q.value_start, q.value_end - q.value_start):
                return False
    return True
