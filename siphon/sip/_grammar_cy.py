"""The grammar of RFC 3261 §25 on spans of bytes: white space, tokens, hosts, URIs, addresses, Via values.

In: a pointer and a span [s, e). Out: a position, a yes or no, or a struct of offsets (see the .pxd). Nothing is copied,
nothing raises, no Python object is touched; the callers own the bytes. Line folds count as white space here, because
the scanner has already made sure that a CR or LF inside a header is a fold.

Stricter than the grammar: ports are 1..65535, IPv6 references must be addresses without zone ids. Laxer: user parts and
URI parameters may hold any visible character but the separators (phones send "#"), hosts may hold "_", unquoted display
names may hold more than tokens. Repeated parameters are noticed among the first 32 of a value; those that we read (tag;
branch, received, rport, maddr) wherever they stand.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import string

import cython
from cython.cimports.libc.string import memchr, memcmp, memcpy
from cython.cimports.siphon.sip._words import hash_name, same_span, same_text, skip_value

CLASS = cython.declare(cython.uchar[256])


def _fill(characters: bytes, bit: int) -> None:
    for code in characters:
        CLASS[code] |= bit


_ALNUM = (string.ascii_letters + string.digits).encode()
_VISIBLE = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100))
_fill(_ALNUM + b"-.!%*_+`'~", TOKEN)
_fill(string.hexdigits.encode(), HEX)
_fill(string.digits.encode(), DIGIT)
_fill(_ALNUM + b"-._", HOST)
_fill(bytes(c for c in _VISIBLE if c not in b'"<>@'), USER)
_fill(bytes(c for c in _VISIBLE if c not in b'"<>@'), OPAQUE)
_fill(bytes(c for c in _VISIBLE if c not in b'",;<>'), VALUE)
_fill(_ALNUM + b"-.!%*_+`'~ \t\r\n()/[]=?{}&#$^|" + bytes(range(0x80, 0x100)), DISPLAY)


def skip_ws(p, s, e):
    while s < e and (p[s] == 32 or p[s] == 9 or p[s] == 13 or p[s] == 10):
        s += 1
    return s


def skip_ws_back(p, s, e):
    """The end of [s, e) without the white space at its end."""
    while e > s and (p[e - 1] == 32 or p[e - 1] == 9 or p[e - 1] == 13 or p[e - 1] == 10):
        e -= 1
    return e


def skip_token(p, s, e):
    while s < e and CLASS[p[s]] & TOKEN:
        s += 1
    return s


def skip_quoted(p, s, e):
    """Past the closing quote of the quoted string that begins at s, or -1."""
    s += 1
    while s < e:
        if p[s] == b"\\":
            s += 2
        elif p[s] == b'"':
            return s + 1
        else:
            s += 1
    return -1


def skip_list_value(p, s, e):
    """The comma that ends the list value at s, or e. Commas in quotes and in <> do not end it."""
    while s < e:
        if p[s] == b",":
            return s
        if p[s] == b'"':
            s = skip_quoted(p, s, e)
            if s < 0:
                return e
        elif p[s] == b"<":
            while s < e and p[s] != b">":
                s += 1
        else:
            s += 1
    return e


def number(p, s, e, digits, out):
    """Read at most `digits` digits, leading zeros not counted, into out: 1; 0 when it is not a number, -1 when too
    long."""
    value: cython.ulonglong = 0
    if s >= e:
        return 0
    while s < e and p[s] == b"0":
        s += 1
    i: cython.int
    for i in range(s, e):
        if not CLASS[p[i]] & DIGIT:
            return 0
    if e - s > digits:
        return -1
    for i in range(s, e):
        value = value * 10 + (p[i] - 48)
    out[0] = value
    return 1


def utf8(p, s, e):
    """Is the span well-formed UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF)?"""
    c: cython.uchar
    need: cython.int
    low: cython.uchar
    high: cython.uchar
    while s < e:
        c = p[s]
        s += 1
        if c < 0x80:
            continue
        low = 0x80
        high = 0xBF
        if 0xC2 <= c <= 0xDF:
            need = 1
        elif 0xE0 <= c <= 0xEF:
            need = 2
            if c == 0xE0:
                low = 0xA0
            elif c == 0xED:
                high = 0x9F
        elif 0xF0 <= c <= 0xF4:
            need = 3
            if c == 0xF0:
                low = 0x90
            elif c == 0xF4:
                high = 0x8F
        else:
            return False
        while need:
            if s >= e or p[s] < low or p[s] > high:
                return False
            low = 0x80
            high = 0xBF
            s += 1
            need -= 1
    return True


def first_time(seen, p, s, e):
    """Note a parameter name; False when it was there already."""
    h: cython.uint = hash_name(p, s, e)
    i: cython.int
    for i in range(seen.count):
        if seen.hashes[i] == h and same_span(p, s, e, p, seen.starts[i], seen.ends[i]):
            return False
    if seen.count < 32:
        seen.hashes[seen.count] = h
        seen.starts[seen.count] = s
        seen.ends[seen.count] = e
        seen.count += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def skip_ipv6_reference(p: cython.p_const_uchar, s: cython.int, e: cython.int) -> cython.int:
    text: cython.char[48]
    address: cython.uchar[16]
    i: cython.int = s
    while i < e and p[i] != b"]":
        i += 1
    if i >= e or i - s - 1 > 45:
        return -1
    memcpy(text, p + s + 1, i - s - 1)
    text[i - s - 1] = 0
    if memchr(text, 0, i - s - 1) != cython.NULL or inet_pton(AF_INET6, text, address) != 1:
        return -1
    return i + 1


def skip_host(p, s, e):
    """Past the host at s (a name, an IPv4 address or a bracketed IPv6 address), or -1."""
    i: cython.int = s
    if s < e and p[s] == b"[":
        return skip_ipv6_reference(p, s, e)
    while i < e and CLASS[p[i]] & HOST:
        if p[i] == b"." and (i == s or p[i - 1] == b"."):
            return -1
        i += 1
    return i if i > s else -1


def scan_port(p, s, e, port):
    """Past the port number at s, or -1 when it is not 1..65535."""
    i: cython.int = s
    value: cython.ulonglong = 0
    while i < e and CLASS[p[i]] & DIGIT:
        i += 1
    if number(p, s, i, 5, cython.address(value)) != 1 or value < 1 or value > 65535:
        return -1
    port[0] = value
    return i


def scan_param(p, s, e, out):
    """Read `name [= value]` at s, white space around it allowed. The position after it and its white space, or -1."""
    s = skip_ws(p, s, e)
    out.start = s
    s = skip_token(p, s, e)
    if s == out.start:
        return -1
    out.name_end = s
    out.end = s
    out.value_start = -1
    out.value_end = -1
    s = skip_ws(p, s, e)
    if s < e and p[s] == b"=":
        s = skip_ws(p, s + 1, e)
        out.value_start = s
        if s < e and p[s] == b'"':
            s = skip_quoted(p, s, e)
            if s < 0:
                return -1
        else:
            s = skip_value(p, s, e)
        if s == out.value_start:
            return -1
        out.value_end = s
        out.end = s
        s = skip_ws(p, s, e)
    if s < e and p[s] != b";" and p[s] != b",":
        return -1
    return s


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def legal(p: cython.p_const_uchar, s: cython.int, e: cython.int, bit: cython.int) -> cython.bint:
    """Only characters of the class, and every "%" begins an escape."""
    while s < e:
        if not CLASS[p[s]] & bit:
            return False
        if p[s] == b"%" and not (s + 2 < e and CLASS[p[s + 1]] & HEX and CLASS[p[s + 2]] & HEX):
            return False
        s += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_userinfo(p: cython.p_const_uchar, s: cython.int, e: cython.int, out: cython.pointer(UriSpan)) -> cython.bint:
    colon: cython.p_const_uchar = cython.cast(cython.p_const_uchar, memchr(p + s, 58, e - s))
    out.user_start = s
    out.user_end = e
    if colon != cython.NULL:
        out.user_end = cython.cast(cython.int, colon - p)
        out.password_start = out.user_end + 1
        out.password_end = e
    return out.user_end > s and legal(p, s, e, USER)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_uri_params(p: cython.p_const_uchar, s: cython.int, e: cython.int, out: cython.pointer(UriSpan)) -> cython.bint:
    """Parameters and headers behind host and port: every parameter has a name."""
    out.params = s
    if s < e and p[s] != b";" and p[s] != b"?":
        return False
    while s < e and p[s] == b";":
        s += 1
        if s >= e or p[s] == b";" or p[s] == b"=" or p[s] == b"?":
            return False
        while s < e and p[s] != b";" and p[s] != b"?":
            s += 1
    out.headers = s
    return legal(p, out.params, e, OPAQUE)


def scan_uri(p, s, e, out):
    """Split a URI; False when it breaks the grammar. Schemes other than sip and sips are not looked into."""
    i: cython.int = s
    at: cython.p_const_uchar
    out.user_start = out.user_end = out.password_start = out.password_end = -1
    out.host_start = out.host_end = -1
    out.port = 0
    out.kind = 0
    out.end = e
    if e - s > 4 and memcmp(p + s, b"sip:", 4) == 0:
        i += 3
    while i < e and CLASS[p[i]] & TOKEN and p[i] != b"%":
        i += 1
    if i == s or i >= e or p[i] != b":" or CLASS[p[s]] & DIGIT:
        return False
    out.scheme_end = i
    i += 1
    out.params = out.headers = e
    if i >= e:
        return False
    if same_text(p, s, out.scheme_end, b"sip", 3):
        out.kind = 1
    elif same_text(p, s, out.scheme_end, b"sips", 4):
        out.kind = 2
    else:
        if same_text(p, s, out.scheme_end, b"tel", 3):
            out.kind = 3
        while i < e:
            if not CLASS[p[i]] & OPAQUE and p[i] != b"@":
                return False
            i += 1
        return True
    at = cython.cast(cython.p_const_uchar, memchr(p + i, 64, e - i))
    if at != cython.NULL:
        if not scan_userinfo(p, i, cython.cast(cython.int, at - p), out):
            return False
        i = cython.cast(cython.int, at - p) + 1
    out.host_start = i
    i = skip_host(p, i, e)
    if i < 0:
        return False
    out.host_end = i
    if i < e and p[i] == b":":
        i = scan_port(p, i + 1, e, cython.address(out.port))
        if i < 0:
            return False
    return scan_uri_params(p, i, e, out)


def unique_uri_params(p, uri):
    """No parameter name twice."""
    seen: Seen
    s: cython.int = uri.params
    start: cython.int
    seen.count = 0
    while s < uri.headers:
        s += 1
        start = s
        while s < uri.headers and p[s] != b";" and p[s] != b"=":
            s += 1
        if not first_time(cython.address(seen), p, start, s):
            return False
        while s < uri.headers and p[s] != b";":
            s += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_display(p: cython.p_const_uchar, s: cython.int, e: cython.int, out: cython.pointer(AddressSpan)) -> cython.int:
    """The "<" of a name-addr, s when it is a bare addr-spec, or -1."""
    i: cython.int = s
    if p[s] == b'"':
        i = skip_quoted(p, s, e)
        if i < 0:
            return -1
        out.display_start = s
        out.display_end = i
        i = skip_ws(p, i, e)
        return i if i < e and p[i] == b"<" else -1
    while i < e and CLASS[p[i]] & DISPLAY:
        i += 1
    if i < e and p[i] == b"<":
        if i > s:
            out.display_start = s
            out.display_end = skip_ws_back(p, s, i)
        return i
    return s


def scan_address(p, s, e, out, uri, strict):
    """name-addr or addr-spec with parameters (§20.10). `strict` refuses a repeated parameter, a tag without value and a
    second value behind a comma; else the value ends at that comma."""
    i: cython.int
    closed: cython.p_const_uchar
    seen: Seen
    param: Param
    seen.count = 0
    out.display_start = out.display_end = out.tag_start = out.tag_end = -1
    s = skip_ws(p, s, e)
    out.uri_start = out.uri_end = out.params = out.end = s  # what is asked of a faulty message is empty
    if s >= e:
        return False
    i = scan_display(p, s, e, out)
    if i < 0:
        return False
    out.bracketed = p[i] == b"<"
    if out.bracketed:
        out.uri_start = i + 1
        closed = cython.cast(cython.p_const_uchar, memchr(p + i, 62, e - i))
        if closed == cython.NULL:
            out.uri_start = out.uri_end
            return False
        out.uri_end = cython.cast(cython.int, closed - p)
        i = out.uri_end + 1
    else:
        while i < e and p[i] != b";" and p[i] > 32:
            if p[i] == b"," or p[i] == b"?":
                return False
            i += 1
        out.uri_end = i
    if not scan_uri(p, out.uri_start, out.uri_end, uri):
        return False
    i = skip_ws(p, i, e)
    out.params = i
    while i < e and p[i] == b";":
        i = scan_param(p, i + 1, e, cython.address(param))
        if i < 0 or (not first_time(cython.address(seen), p, param.start, param.name_end) and strict):
            return False
        if same_text(p, param.start, param.name_end, b"tag", 3):
            if param.value_start < 0 or (out.tag_start >= 0 and strict):
                return False
            if out.tag_start < 0:
                out.tag_start = param.value_start
                out.tag_end = param.value_end
    out.end = i
    return i >= e


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_sent_by(p: cython.p_const_uchar, s: cython.int, e: cython.int, out: cython.pointer(ViaSpan)) -> cython.int:
    """protocol/version/transport host[:port]; the position behind it and its white space, or -1."""
    i: cython.int = skip_token(p, s, e)
    _part: cython.int
    j: cython.int
    if i == s:
        return -1
    for _part in range(2):
        i = skip_ws(p, i, e)
        if i >= e or p[i] != b"/":
            return -1
        i = skip_ws(p, i + 1, e)
        j = skip_token(p, i, e)
        if j == i:
            return -1
        out.transport_start = i
        out.transport_end = j
        i = j
    j = skip_ws(p, i, e)
    if j == i:
        return -1
    out.sent_start = out.host_start = j
    i = skip_host(p, j, e)
    if i < 0:
        return -1
    out.sent_end = out.host_end = i
    i = skip_ws(p, i, e)
    if i < e and p[i] == b":":
        i = scan_port(p, skip_ws(p, i + 1, e), e, cython.address(out.port))
        if i < 0:
            return -1
        out.sent_end = i
        i = skip_ws(p, i, e)
    out.usable = 1
    out.end = out.sent_end
    return i


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def via_param(p: cython.p_const_uchar, param: cython.pointer(Param), out: cython.pointer(ViaSpan)) -> cython.bint:
    value: cython.ulonglong = 0
    s: cython.int = param.start
    e: cython.int = param.name_end
    if same_text(p, s, e, b"branch", 6):
        if out.branch_start >= 0:
            return False
        out.branch_start = param.value_start
        out.branch_end = param.value_end
        return param.value_start >= 0
    if same_text(p, s, e, b"received", 8):
        if out.received_start >= 0:
            return False
        out.received_start = param.value_start
        out.received_end = param.value_end
        return param.value_start >= 0
    if same_text(p, s, e, b"maddr", 5):
        if out.maddr_start >= 0:
            return False
        out.maddr_start = param.value_start
        out.maddr_end = param.value_end
        return param.value_start >= 0 and skip_host(p, param.value_start, param.value_end) == param.value_end
    if same_text(p, s, e, b"rport", 5):
        if out.rport != -2:
            return False
        if param.value_start >= 0 and (
            number(p, param.value_start, param.value_end, 5, cython.address(value)) != 1 or value > 65535
        ):
            return False
        out.rport_start = s
        out.rport_end = param.end
        out.rport = -1 if param.value_start < 0 else value
    return True


def scan_via(p, s, e, out):
    """One Via value. The position behind it (at "," or e), or -1; `usable` tells whether the sent-by was read
    anyway."""
    seen: Seen
    param: Param
    i: cython.int
    seen.count = 0
    out.usable = out.port = 0
    out.branch_start = out.branch_end = out.received_start = out.received_end = -1
    out.rport_start = out.rport_end = out.maddr_start = out.maddr_end = -1
    out.rport = -2
    s = skip_ws(p, s, e)
    out.start = out.end = s
    i = scan_sent_by(p, s, e, out)
    if i < 0:
        return -1
    while i < e and p[i] == b";":
        i = scan_param(p, i + 1, e, cython.address(param))
        if i < 0 or not first_time(cython.address(seen), p, param.start, param.name_end):
            return -1
        if not via_param(p, cython.address(param), out):
            return -1
        out.end = param.end
    if i < e and p[i] != b",":
        return -1
    return i
