"""The scanner: one walk over a datagram, offsets into C structs (see the .pxd).

In: bytes and the limits. Out: a `Scan` and a table of lines; `sip` false when it is no SIP, `status` and `fault` when
something must be refused, and then the table as far as it goes, so that a response can be built. Nothing is allocated.

Checked here, since it must be answered 400: Request-URI, Via, From, To, Call-ID, CSeq, Max-Forwards, Content-Length and
what must not be repeated. Every other header is a line with a name and a colon until somebody asks for it.

Knowingly imperfect: past MAX_LINES header lines nothing is looked at; the limits refuse such messages anyway.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.libc.string import memchr, memcmp, memset
from cython.cimports.siphon.sip._grammar_cy import (
    number,
    scan_address,
    scan_uri,
    scan_via,
    skip_token,
    skip_ws,
    skip_ws_back,
    unique_uri_params,
    utf8,
)
from cython.cimports.siphon.sip._words import hash_name, is_ascii, same_text, usual_name, visible

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

USUAL_NAMES = (
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "max-forwards",
    "content-length",
    "contact",
    "content-type",
    "record-route",
    "route",
    "user-agent",
    "allow",
    "supported",
    "server",
)
"""By usual_name()'s numbers."""

_long_name = cython.declare(cython.char[6144])  # 24 bytes a character
_long_size = cython.declare(cython.int[256])
_long_hash = cython.declare(cython.uint[256])
_usual_hash = cython.declare(cython.uint[16])


def _prepare() -> None:
    i: cython.int
    for letter, name in COMPACT.items():
        text: bytes = name.encode()
        for code in (ord(letter), ord(letter.upper())):
            for i in range(len(text)):
                _long_name[code * 24 + i] = text[i]
            _long_size[code] = len(text)
            _long_hash[code] = _hash(text)
    hashes = [_hash(name.encode()) for name in USUAL_NAMES]
    if len(set(hashes)) != len(hashes):
        raise ImportError("two usual names of headers have one hash")
    for i in range(len(hashes)):
        _usual_hash[i] = hashes[i]


def _hash(text: bytes) -> int:
    return hash_name(cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(text)), 0, len(text))


_prepare()
H_VIA = cython.declare(cython.uint, _hash(b"via"))
H_FROM = cython.declare(cython.uint, _hash(b"from"))
H_TO = cython.declare(cython.uint, _hash(b"to"))
H_CALL_ID = cython.declare(cython.uint, _hash(b"call-id"))
H_CSEQ = cython.declare(cython.uint, _hash(b"cseq"))
H_MAX_FORWARDS = cython.declare(cython.uint, _hash(b"max-forwards"))
H_CONTENT_LENGTH = cython.declare(cython.uint, _hash(b"content-length"))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def fail(s: cython.pointer(Scan), status: cython.int, fault: cython.p_const_char) -> cython.void:
    """Only the first fault counts."""
    if not s.status:
        s.status = status
        s.fault = fault


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_version(p: cython.p_const_uchar, start: cython.int, end: cython.int) -> cython.int:
    """200 for SIP/2.0, 505 for another version, 400 for what is none."""
    i: cython.int = start + 4
    dot: cython.int
    if same_text(p, start, end, b"sip/2.0", 7):
        return 200
    while i < end and 48 <= p[i] <= 57:
        i += 1
    if i == start + 4 or i >= end or p[i] != b".":
        return 400
    dot = i
    i += 1
    while i < end and 48 <= p[i] <= 57:
        i += 1
    return 505 if i == end and i > dot + 1 else 400


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_status_line(p: cython.p_const_uchar, end: cython.int, s: cython.pointer(Scan)) -> cython.void:
    i: cython.int = 4
    s.sip = True
    while i < end and p[i] != b" ":
        i += 1
    s.upper_version = memcmp(p, b"SIP", 3) == 0
    if scan_version(p, 0, i) != 200:
        fail(s, 505, b"Version Not Supported")
        return
    i += 1
    if end - i < 3 or not (49 <= p[i] <= 54 and 48 <= p[i + 1] <= 57 and 48 <= p[i + 2] <= 57):
        fail(s, 400, b"Bad Status Code")
        return
    s.code = (p[i] - 48) * 100 + (p[i + 1] - 48) * 10 + (p[i + 2] - 48)
    i += 3
    if i < end and p[i] != b" ":
        fail(s, 400, b"Bad Status Code")
        return
    s.reason_start = i + 1 if i < end else i
    s.reason_end = end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_request_line(p: cython.p_const_uchar, end: cython.int, s: cython.pointer(Scan)) -> cython.void:
    """Method SP Request-URI SP SIP-Version. `sip` stays false when it is no such line."""
    i: cython.int = skip_token(p, 0, end)
    last: cython.int = skip_ws_back(p, 0, end)
    verdict: cython.int
    s.is_request = True
    s.method_end = i
    if i == 0 or i >= end or p[i] != b" ":
        return
    s.version = last
    while s.version > i and p[s.version - 1] > 32:
        s.version -= 1
    if last - s.version < 5 or not same_text(p, s.version, s.version + 4, b"sip/", 4) or s.version - 1 <= i:
        return
    s.sip = True
    s.uri_start = i + 1
    s.uri_end = s.version - 1
    s.upper_version = memcmp(p + s.version, b"SIP", 3) == 0
    verdict = scan_version(p, s.version, last)
    if verdict == 505:
        fail(s, 505, b"Version Not Supported")
    elif verdict == 400 or last != end:
        fail(s, 400, b"Bad Request-Line")
    elif p[s.uri_end] != b" " or not scan_uri(p, s.uri_start, s.uri_end, cython.address(s.uri)):
        fail(s, 400, b"Bad Request-URI")
    elif s.uri.kind in (1, 2) and s.uri.headers != s.uri_end:
        fail(s, 400, b"Headers In Request-URI")
    elif s.uri.kind in (1, 2) and not unique_uri_params(p, cython.address(s.uri)):
        fail(s, 400, b"Repeated Parameter In Request-URI")


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_name(
    p: cython.p_const_uchar, line: cython.pointer(Line), end: cython.int, s: cython.pointer(Scan), usual: cython.p_int
) -> cython.bint:
    """The header's name, its hash and where the value lies. `usual`: the number of a name that is known at sight."""
    start: cython.int = line.start
    i: cython.int = 0
    colon: cython.int
    usual[0] = usual_name(p + start, end - start, cython.address(i))
    if usual[0] >= 0:
        line.name_end = colon = start + i
        line.hash = _usual_hash[usual[0]]
    else:
        i = skip_token(p, start, end)
        colon = i
        line.name_end = i
        while colon < end and (p[colon] == 32 or p[colon] == 9):
            colon += 1
        if i == start or colon >= end or p[colon] != b":":
            fail(s, 400, b"Bad Header Line")
            return False
        if i - start == 1 and _long_size[p[start]]:
            line.hash = _long_hash[p[start]]
        else:
            line.hash = hash_name(p, start, i)
    scan_value(p, line, colon + 1, end)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_value(p: cython.p_const_uchar, line: cython.pointer(Line), i: cython.int, end: cython.int) -> cython.void:
    """Where the value lies that begins behind the colon, at i. Most have one space in front and CRLF behind."""
    if end - i > 3 and p[i] == 32 and p[i + 1] > 32 and p[end - 3] > 32 and p[end - 2] == 13 and p[end - 1] == 10:
        line.value_start = i + 1
        line.value_end = end - 2
        return
    line.value_start = skip_ws(p, i, end)
    line.value_end = skip_ws_back(p, line.value_start, end)
    if line.value_start == end:  # empty: in its line, or a value written there would begin the next one
        line.value_start = line.value_end = i


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def named(
    p: cython.p_const_uchar, line: cython.pointer(Line), text: cython.p_const_char, size: cython.int
) -> cython.bint:
    """Is it this header? The hash has matched already."""
    start: cython.int = line.start
    if line.name_end - start == 1:
        return _long_size[p[start]] == size and memcmp(cython.address(_long_name[p[start] * 24]), text, size) == 0
    return same_text(p, start, line.name_end, text, size)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def once(index: cython.p_int, n: cython.int, s: cython.pointer(Scan), fault: cython.p_const_char) -> cython.void:
    if index[0] < 0:
        index[0] = n
    else:
        fail(s, 400, fault)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note(
    p: cython.p_const_uchar, line: cython.pointer(Line), n: cython.int, s: cython.pointer(Scan), usual: cython.int
) -> cython.void:
    """Remember where the headers are that the core needs; the hash of a usual name is nobody else's among them."""
    h: cython.uint = line.hash
    if h == H_VIA and (usual >= 0 or named(p, line, b"via", 3)):
        scan_vias(p, line, n, s)
    elif h == H_FROM and (usual >= 0 or named(p, line, b"from", 4)):
        once(cython.address(s.i_from), n, s, b"Repeated From")
    elif h == H_TO and (usual >= 0 or named(p, line, b"to", 2)):
        once(cython.address(s.i_to), n, s, b"Repeated To")
    elif h == H_CALL_ID and (usual >= 0 or named(p, line, b"call-id", 7)):
        once(cython.address(s.i_call_id), n, s, b"Repeated Call-ID")
    elif h == H_CSEQ and (usual >= 0 or named(p, line, b"cseq", 4)):
        once(cython.address(s.i_cseq), n, s, b"Repeated CSeq")
    elif h == H_MAX_FORWARDS and s.is_request and (usual >= 0 or named(p, line, b"max-forwards", 12)):
        once(cython.address(s.i_max_forwards), n, s, b"Repeated Max-Forwards")
    elif h == H_CONTENT_LENGTH and (usual >= 0 or named(p, line, b"content-length", 14)):
        scan_content_length(p, line, n, s)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_content_length(
    p: cython.p_const_uchar, line: cython.pointer(Line), n: cython.int, s: cython.pointer(Scan)
) -> cython.void:
    """Digits only; repeated with the same value is accepted. Longer than any datagram counts as its own fault later."""
    value: cython.ulonglong = 0
    verdict: cython.int = number(p, line.value_start, line.value_end, 9, cython.address(value))
    if verdict < 0:
        value = 999999999
    if not verdict or (s.i_content_length >= 0 and s.content_length != cython.cast(cython.int, value)):
        fail(s, 400, b"Bad Content-Length")
        return
    s.i_content_length = n
    s.content_length = value


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_vias(
    p: cython.p_const_uchar, line: cython.pointer(Line), n: cython.int, s: cython.pointer(Scan)
) -> cython.void:
    """All values of one Via line; the first of all is kept."""
    other: ViaSpan
    i: cython.int = line.value_start
    e: cython.int = line.value_end
    while True:
        s.via_count += 1
        if s.i_via < 0:
            s.i_via = n
            i = scan_via(p, i, e, cython.address(s.via))
        else:
            i = scan_via(p, i, e, cython.address(other))
        if i < 0:
            fail(s, 400, b"Bad Via")
            return
        if i >= e:
            return
        i += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def line_end(
    p: cython.p_const_uchar, start: cython.int, size: cython.int, line: cython.pointer(Line), s: cython.pointer(Scan)
) -> cython.int:
    """Behind the line (continuations included) that begins at start; sets `folded`."""
    i: cython.int = start
    at: cython.p_const_uchar
    stray: cython.p_const_uchar
    line.folded = 0
    while True:
        at = cython.cast(cython.p_const_uchar, memchr(p + i, 10, size - i))
        if at == cython.NULL:
            fail(s, 400, b"No End Of Headers")
            return size
        stray = cython.cast(cython.p_const_uchar, memchr(p + i, 13, at - p - i))
        if stray != at - 1:
            fail(s, 400, b"Bad Line End")
        i = cython.cast(cython.int, at - p) + 1
        if i >= size or (p[i] != 32 and p[i] != 9):
            return i
        line.folded = 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def scan_lines(
    p: cython.p_const_uchar,
    i: cython.int,
    size: cython.int,
    lines: cython.pointer(Line),
    limits_line: cython.int,
    limits_headers: cython.int,
    s: cython.pointer(Scan),
) -> cython.int:
    """All header lines from i on; the start of the body."""
    line: cython.pointer(Line)
    end: cython.int
    usual: cython.int = -1
    seen: cython.int = 0
    while True:
        if i >= size:
            fail(s, 400, b"No End Of Headers")
            return size
        if p[i] == 13 and i + 1 < size and p[i + 1] == 10:
            return i + 2
        if p[i] == 10:
            fail(s, 400, b"Bad Line End")
            return i + 1
        line = cython.address(lines[s.count])
        line.start = i
        end = line_end(p, i, size, line, s)
        line.end = end
        seen += 1
        if seen > limits_headers:
            fail(s, 513, b"Too Many Headers")
        if end - i > limits_line:
            fail(s, 513, b"Header Too Long")
        if scan_name(p, line, end, s, cython.address(usual)) and s.count < MAX_LINES - 1:
            note(p, line, s.count, s, usual)
            s.count += 1
        i = end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_cseq(p: cython.p_const_uchar, line: cython.pointer(Line), s: cython.pointer(Scan)) -> cython.void:
    """1*DIGIT LWS Method; the number below 2^31; a request's method the same as the start-line's."""
    value: cython.ulonglong = 0
    i: cython.int = line.value_start
    end: cython.int = line.value_end
    while i < end and 48 <= p[i] <= 57:
        i += 1
    s.cseq_method_start = skip_ws(p, i, end)
    s.cseq_method_end = skip_token(p, s.cseq_method_start, end)
    if number(p, line.value_start, i, 10, cython.address(value)) != 1 or value > 2147483647:
        fail(s, 400, b"Bad CSeq")
    elif s.cseq_method_start == i or s.cseq_method_end != end or s.cseq_method_end == s.cseq_method_start:
        s.cseq_method_end = s.cseq_method_start
        fail(s, 400, b"Bad CSeq")
    else:
        s.cseq = value
        if s.is_request and (
            end - s.cseq_method_start != s.method_end or memcmp(p, p + s.cseq_method_start, s.method_end) != 0
        ):
            fail(s, 400, b"CSeq Method Mismatch")


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_address(
    p: cython.p_const_uchar,
    line: cython.pointer(Line),
    out: cython.pointer(AddressSpan),
    s: cython.pointer(Scan),
    fault: cython.p_const_char,
) -> cython.void:
    uri: UriSpan
    if not scan_address(p, line.value_start, line.value_end, out, cython.address(uri), True):
        fail(s, 400, fault)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_call_id(p: cython.p_const_uchar, line: cython.pointer(Line), s: cython.pointer(Scan)) -> cython.void:
    """One word, perhaps with an "@": anything visible."""
    if line.value_end == line.value_start or not visible(p, line.value_start, line.value_end):
        fail(s, 400, b"Bad Call-ID")


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_headers(p: cython.p_const_uchar, lines: cython.pointer(Line), s: cython.pointer(Scan)) -> cython.void:
    """What must be there is there and can be read."""
    value: cython.ulonglong = 0
    verdict: cython.int
    if s.i_via < 0:
        fail(s, 400, b"Missing Via")
    if s.i_from < 0:
        fail(s, 400, b"Missing From")
    else:
        check_address(p, cython.address(lines[s.i_from]), cython.address(s.sender), s, b"Bad From")
    if s.i_to < 0:
        fail(s, 400, b"Missing To")
    else:
        check_address(p, cython.address(lines[s.i_to]), cython.address(s.target), s, b"Bad To")
    if s.i_call_id < 0:
        fail(s, 400, b"Missing Call-ID")
    else:
        check_call_id(p, cython.address(lines[s.i_call_id]), s)
    if s.i_cseq < 0:
        fail(s, 400, b"Missing CSeq")
    else:
        check_cseq(p, cython.address(lines[s.i_cseq]), s)
    if s.i_max_forwards >= 0:
        verdict = number(
            p, lines[s.i_max_forwards].value_start, lines[s.i_max_forwards].value_end, 3, cython.address(value)
        )
        if not verdict:
            fail(s, 400, b"Bad Max-Forwards")
        elif verdict > 0 and value <= 255:
            s.max_forwards = value


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_bytes(p: cython.p_const_uchar, lines: cython.pointer(Line), s: cython.pointer(Scan)) -> cython.void:
    """No NUL outside a quoted-pair; UTF-8 where we look at the text (Request-URI, Via, From, To)."""
    i: cython.int = 0
    n: cython.int
    line: cython.pointer(Line)
    at: cython.p_const_uchar
    while True:
        at = cython.cast(cython.p_const_uchar, memchr(p + i, 0, s.body_start - i))
        if at == cython.NULL:
            break
        i = cython.cast(cython.int, at - p)
        n = i
        while n > 0 and p[n - 1] == b"\\":
            n -= 1
        if not (i - n) & 1:
            fail(s, 400, b"NUL In Header")
            break
        i += 1
    if is_ascii(p, s.body_start):
        return
    if s.is_request and not utf8(p, s.uri_start, s.uri_end):
        fail(s, 400, b"Bad Request-URI")
    for n in range(s.count):
        line = cython.address(lines[n])
        if (n == s.i_from or n == s.i_to or (line.hash == H_VIA and named(p, line, b"via", 3))) and not utf8(
            p, line.value_start, line.value_end
        ):
            fail(s, 400, b"Bad UTF-8")


def scan(p, size, lines, header_bytes, line_bytes, headers, vias, s):
    """The whole message. `sip` false: not SIP; `status` set: the first fault, and the table as far as it goes."""
    at: cython.p_const_uchar = cython.cast(cython.p_const_uchar, memchr(p, 10, size))
    end: cython.int
    memset(s, 0, cython.sizeof(Scan))
    s.i_via = s.i_from = s.i_to = s.i_call_id = s.i_cseq = s.i_max_forwards = s.i_content_length = -1
    s.content_length = s.max_forwards = -1
    s.cseq = -1
    s.sender.tag_start = s.target.tag_start = -1
    if at == cython.NULL:
        return
    end = cython.cast(cython.int, at - p)
    if end and p[end - 1] == 13:
        end -= 1
    else:
        fail(s, 400, b"Bad Line End")
    if end > 4 and same_text(p, 0, 4, b"sip/", 4):
        scan_status_line(p, end, s)
    else:
        scan_request_line(p, end, s)
    if not s.sip:
        return
    if memchr(p, 13, end) != cython.NULL:
        fail(s, 400, b"Bad Line End")
    end = cython.cast(cython.int, at - p) + 1
    if end < size and (p[end] == 32 or p[end] == 9):
        fail(s, 400, b"Bad Header Line")
    s.body_start = scan_lines(p, end, size, lines, line_bytes, headers, s)
    s.body_end = size
    if s.body_start > header_bytes:
        fail(s, 513, b"Header Section Too Long")
    if s.via_count > vias:
        fail(s, 400, b"Too Many Vias")
    check_headers(p, lines, s)
    check_bytes(p, lines, s)
    if s.content_length > size - s.body_start:
        fail(s, 400, b"Content-Length Too Large")
    elif s.content_length >= 0:
        s.body_end = s.body_start + s.content_length


def long_name(p, size, out):
    """The long form of a header name, letters in lower case except in names that have no compact form; its size."""
    if size == 1 and _long_size[p[0]]:
        out[0] = cython.cast(cython.p_const_uchar, cython.address(_long_name[p[0] * 24]))
        return _long_size[p[0]]
    out[0] = p
    return size
