"""One datagram in, one `SipMessage` out.

`parse` raises PeerError (a request that must be refused), BadResponse or NotSip. A request with a fault still becomes a
message as far as it goes, so that a response can be built from it. A bytes or str object exists once somebody asks
for it. A message owns its bytes: `raw` is the datagram itself, or a copy when it had to be cut (CRLFs in front, bytes
behind Content-Length) or its version was written in lower case (RFC 3261 §7.1: sent out in upper case).

Messages are read-only. What makes new ones, or new bytes, from spans of the old is in `_top_via_cy.py`.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize
from cython.cimports.libc.string import memchr, memcmp, memcpy
from cython.cimports.siphon.sip._grammar_cy import (
    ViaSpan,
    skip_list_value,
    skip_ws,
    skip_ws_back,
)
from cython.cimports.siphon.sip._scan_cy import MAX_LINES, Line, long_name, scan
from cython.cimports.siphon.sip._words import hash_name, same_span, same_text

from siphon.sip._scan_cy import COMPACT
from siphon.sip.errors import BadResponse, NotSip, PeerError

# Headers whose value may hold a comma that separates nothing.
SINGLE = frozenset(
    [
        "www-authenticate",
        "proxy-authenticate",
        "authorization",
        "proxy-authorization",
        "authentication-info",
        "proxy-authentication-info",
        "date",
        "subject",
        "user-agent",
        "server",
        "organization",
        "call-id",
        "cseq",
        "from",
        "to",
        "max-forwards",
        "content-length",
        "content-type",
        "expires",
        "min-expires",
        "retry-after",
        "timestamp",
        "mime-version",
        "event",
        "identity",
        "identity-info",
        "referred-by",
        "refer-to",
        "session-expires",
        "min-se",
        "sip-etag",
        "sip-if-match",
    ]
)

_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "UPDATE", "INFO", "MESSAGE", "SUBSCRIBE",
            "NOTIFY", "REFER", "PUBLISH")  # fmt: skip
_known_methods = cython.declare(dict, {name.encode(): name for name in _METHODS})
_lines = cython.declare(Line[1024])


@cython.final
@cython.cclass
class ParseLimits:
    """`limits.*` of the configuration: octets of the header section, of one header, number of headers, of Via
    values."""

    header_bytes = cython.declare(cython.int, visibility="readonly")
    line_bytes = cython.declare(cython.int, visibility="readonly")
    headers = cython.declare(cython.int, visibility="readonly")
    vias = cython.declare(cython.int, visibility="readonly")

    def __init__(self, header_bytes: int = 32768, line_bytes: int = 8192, headers: int = 256, vias: int = 70) -> None:
        if headers > MAX_LINES:
            raise ValueError(f"at most {MAX_LINES} headers can be allowed")
        self.header_bytes = header_bytes
        self.line_bytes = line_bytes
        self.headers = headers
        self.vias = vias


# For messages that were let in before and may have grown by our lines or a script's since.
OWN_LIMITS = cython.declare(ParseLimits, ParseLimits(65535, 65535, MAX_LINES, 65535))


@cython.final
@cython.cclass
class Via:
    """The top Via value. `raw` is shared with the message; the fields are made when they are asked for."""

    @staticmethod
    @cython.cfunc
    def of(raw: bytes, v: cython.pointer(ViaSpan)) -> Via:
        via: Via = Via.__new__(Via)
        via.raw = raw
        via.v = v[0]
        return via

    @property
    def transport(self) -> str:
        return self.raw[self.v.transport_start : self.v.transport_end].decode("ascii").upper()

    @property
    def host(self) -> bytes:
        return self.raw[self.v.host_start : self.v.host_end]

    @property
    def port(self) -> int:
        return self.v.port

    @property
    def sent_by(self) -> bytes:
        """host[:port] as written, without white space around the colon."""
        if not self.v.port:
            return self.raw[self.v.host_start : self.v.host_end]
        return self.raw[self.v.host_start : self.v.host_end] + b":%d" % self.v.port

    @property
    def branch(self) -> bytes:
        return self.raw[self.v.branch_start : self.v.branch_end] if self.v.branch_start >= 0 else b""

    @property
    def has_cookie(self) -> bool:
        """Does the branch begin with z9hG4bK, with something behind it (RFC 3261 §8.1.1.7, case ignored)?"""
        s: cython.int = self.v.branch_start
        p: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(self.raw))
        return s >= 0 and self.v.branch_end - s > 7 and same_text(p, s, s + 7, b"z9hg4bk", 7)

    @property
    def received(self) -> "bytes | None":
        """Without brackets. RFC 5118 §4.10: three colons of an old implementation mean two."""
        if self.v.received_start < 0:
            return None
        value: bytes = self.raw[self.v.received_start : self.v.received_end].strip(b"[]")
        return value.replace(b":::", b"::")

    @property
    def rport(self) -> "int | None":
        """None when absent, -1 when present without a value."""
        return None if self.v.rport == -2 else self.v.rport

    @property
    def maddr(self) -> "bytes | None":
        return self.raw[self.v.maddr_start : self.v.maddr_end] if self.v.maddr_start >= 0 else None

    @property
    def value(self) -> bytes:
        """The whole value as written."""
        return self.raw[self.v.start : self.v.end]

    def __repr__(self) -> str:
        return f"<Via {self.value!r}>"


@cython.cfunc
def method_name(p: cython.p_const_uchar, s: cython.int, e: cython.int) -> str:
    """The method as a str; the usual ones are the same object every time."""
    if e - s == 6 and memcmp(p + s, b"INVITE", 6) == 0:
        return "INVITE"
    if e - s == 3 and memcmp(p + s, b"ACK", 3) == 0:
        return "ACK"
    if e - s == 3 and memcmp(p + s, b"BYE", 3) == 0:
        return "BYE"
    if e - s == 8 and memcmp(p + s, b"REGISTER", 8) == 0:
        return "REGISTER"
    raw: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, p + s), e - s)
    known = _known_methods.get(raw)
    return known if known is not None else raw.decode("ascii")


@cython.cfunc
def unfold(p: cython.p_const_uchar, s: cython.int, e: cython.int) -> bytes:
    """The value with every fold, and the white space around it, as one SP (RFC 3261 §7.3.1)."""
    value: bytearray = bytearray(e - s)
    out: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(value))
    n: cython.int = 0
    while s < e:
        if p[s] != 13 and p[s] != 10:
            out[n] = p[s]
            n += 1
            s += 1
            continue
        while n and (out[n - 1] == 32 or out[n - 1] == 9):
            n -= 1
        s = skip_ws(p, s, e)
        out[n] = 32
        n += 1
    return PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, out), n)


@cython.final
@cython.cclass
class SipMessage:
    """A message and its offset table. Values are unfolded and stripped; names are found without regard to case, compact
    and long forms are the same header. Positions are offsets into `raw`."""

    def __dealloc__(self) -> None:
        PyMem_Free(self.table)

    def keep(self, lines, count):
        self.table = cython.cast(cython.pointer(Line), PyMem_Malloc((count + 1) * cython.sizeof(Line)))
        if self.table == cython.NULL:
            raise MemoryError
        memcpy(self.table, lines, count * cython.sizeof(Line))
        self.p = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(self.raw))
        return True

    def span_bytes(self, s, e):
        return PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, self.p + s), e - s)

    @property
    def is_request(self) -> bool:
        return self.s.is_request

    @property
    def faulty(self) -> bool:
        """Was it refused by the parser? Then only what a response needs may be asked for."""
        return self.s.status != 0

    @property
    def uri(self) -> bytes:
        """The Request-URI as written; empty in a response."""
        return self.span_bytes(self.s.uri_start, self.s.uri_end)

    @property
    def uri_start(self) -> int:
        return self.s.uri_start

    @property
    def uri_end(self) -> int:
        return self.s.uri_end

    @property
    def status(self) -> int:
        """Status code; 0 in a request."""
        return self.s.code

    @property
    def reason(self) -> bytes:
        return self.span_bytes(self.s.reason_start, self.s.reason_end)

    @property
    def via(self) -> Via:
        return Via.of(self.raw, cython.address(self.s.via))

    @property
    def via_count(self) -> int:
        return self.s.via_count

    @property
    def usable_via(self) -> bool:
        return self.s.via.usable != 0

    @property
    def from_tag(self):
        return self.span_bytes(self.s.sender.tag_start, self.s.sender.tag_end) if self.s.sender.tag_start >= 0 else None

    @property
    def to_tag(self):
        return self.span_bytes(self.s.target.tag_start, self.s.target.tag_end) if self.s.target.tag_start >= 0 else None

    @property
    def from_value(self) -> bytes:
        return self.value_of(self.s.i_from)

    @property
    def to_value(self) -> bytes:
        return self.value_of(self.s.i_to)

    @property
    def from_uri(self) -> bytes:
        return self.span_bytes(self.s.sender.uri_start, self.s.sender.uri_end)

    @property
    def to_uri(self) -> bytes:
        return self.span_bytes(self.s.target.uri_start, self.s.target.uri_end)

    @property
    def call_id(self) -> bytes:
        return self.value_of(self.s.i_call_id)

    @property
    def cseq(self) -> int:
        return self.s.cseq

    @property
    def max_forwards(self) -> int:
        """-1 when absent or above 255."""
        return self.s.max_forwards

    @property
    def content_length(self) -> int:
        """-1 when absent."""
        return self.s.content_length

    @property
    def body(self) -> bytes:
        return self.span_bytes(self.s.body_start, self.s.body_end)

    @property
    def body_start(self) -> int:
        return self.s.body_start

    @property
    def lines(self) -> int:
        """How many header lines there are."""
        return self.s.count

    def value_of(self, i):
        """The value of line i; b"" when there is no such line."""
        if i < 0 or i >= self.s.count:
            return b""
        if self.table[i].folded:
            return unfold(self.p, self.table[i].value_start, self.table[i].value_end)
        return self.span_bytes(self.table[i].value_start, self.table[i].value_end)

    def line(self, i: cython.int):
        """(name as written, value) of line i."""
        if i < 0 or i >= self.s.count:
            raise IndexError(i)
        return self.span_bytes(self.table[i].start, self.table[i].name_end), self.value_of(i)

    def span(self, i: cython.int):
        """(start, value_start, value_end, end) of line i; end is behind its CRLF."""
        if i < 0 or i >= self.s.count:
            raise IndexError(i)
        return self.table[i].start, self.table[i].value_start, self.table[i].value_end, self.table[i].end

    def position(self, name, start):
        size: cython.Py_ssize_t = 0
        want: cython.p_const_uchar
        have: cython.p_const_uchar = cython.NULL
        i: cython.int
        length: cython.int
        h: cython.uint
        if isinstance(name, bytes):
            want = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(name))
            size = PyBytes_GET_SIZE(name)
        else:
            want = cython.cast(cython.p_const_uchar, PyUnicode_AsUTF8AndSize(name, cython.address(size)))
        length = long_name(want, size, cython.address(want))
        h = hash_name(want, 0, length)
        for i in range(start if start > 0 else 0, self.s.count):
            if self.table[i].hash == h:
                size = long_name(
                    self.p + self.table[i].start, self.table[i].name_end - self.table[i].start, cython.address(have)
                )
                if same_span(want, 0, length, have, 0, size):
                    return i
        return -1

    def find(self, name, start: cython.int = 0) -> int:
        """Number of the first line of that name from line `start` on, or -1."""
        return self.position(name, start)

    def has(self, name) -> bool:
        return self.position(name, 0) >= 0

    def first(self, name):
        """Value of the first line of that name, or None."""
        i: cython.int = self.position(name, 0)
        return self.value_of(i) if i >= 0 else None

    def all_lines(self, name):
        """Values of all lines of that name, not split at commas."""
        found: list = []
        i: cython.int = self.position(name, 0)
        while i >= 0:
            found.append(self.value_of(i))
            i = self.position(name, i + 1)
        return found

    def listed(self, name):
        """As values(), of a header whose grammar is known to be a list."""
        found: list = []
        value: bytes
        i: cython.int = self.position(name, 0)
        while i >= 0:
            value = self.value_of(i)
            if memchr(PyBytes_AS_STRING(value), 44, PyBytes_GET_SIZE(value)) != cython.NULL:
                found.extend(split_list(value))
            elif PyBytes_GET_SIZE(value):
                found.append(value)
            i = self.position(name, i + 1)
        return found

    def values(self, name):
        """All values of that header in order, lists split at their commas (quotes and <> respected, RFC 3261 §7.3.1);
        headers whose grammar has no list are not split. Empty values are left out."""
        found: list = self.all_lines(name)
        return [part for value in found for part in split_list(value)] if found and is_list(name) else found

    def __repr__(self) -> str:
        return f"<SipMessage {self.raw[: self.raw.find(10)]!r}>"


@cython.ccall
def is_list(name) -> cython.bint:
    """May the header hold several values on a line, separated by commas?"""
    return long_form((name if isinstance(name, str) else name.decode("latin-1")).lower()) not in SINGLE


def long_form(name: str) -> str:
    """The long form, in lower case, of a header name given in lower case."""
    return COMPACT.get(name, name)


def split_list(value: bytes):
    """The values of a comma list, stripped; empty ones are left out."""
    found: list = []
    p: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(value))
    s: cython.int = 0
    i: cython.int
    size: cython.int = len(value)
    while s < size:
        s = skip_ws(p, s, size)
        i = skip_list_value(p, s, size)
        if i > s:
            found.append(value[s : skip_ws_back(p, s, i)])
        s = i + 1
    return found


def parse(raw: bytes, limits: ParseLimits | None = None) -> SipMessage:
    """One datagram. RFC 3261 §7; verdicts as in §8.1.1, §8.2, §16.3, §18.3, §20.16.

    `limits` are for what peers send. Without them (a stored request, a copy of ours) only the size of a datagram and
    of the line table limit a message."""
    if limits is None:
        limits = OWN_LIMITS
    m: SipMessage = SipMessage.__new__(SipMessage)
    p: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(raw))
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(raw)
    begin: cython.Py_ssize_t = 0
    while begin < size and (p[begin] == 13 or p[begin] == 10):
        begin += 1
    if size - begin > 65535:
        raise NotSip("longer than a datagram")
    scan(
        p + begin,
        size - begin,
        _lines,
        limits.header_bytes,
        limits.line_bytes,
        limits.headers,
        limits.vias,
        cython.address(m.s),
    )
    if not m.s.sip:
        raise NotSip("no SIP start-line")
    if not m.s.is_request and m.s.status:
        raise BadResponse(m.s.fault.decode("ascii"))
    if begin or begin + m.s.body_end < size:
        raw = raw[begin : begin + m.s.body_end]
    if not m.s.upper_version:
        raw = raw[: m.s.version] + b"SIP" + raw[m.s.version + 3 :]
    m.raw = raw
    m.keep(_lines, m.s.count)
    m.cseq_method = method_name(m.p, m.s.cseq_method_start, m.s.cseq_method_end)
    m.method = m.cseq_method if not m.s.is_request else method_name(m.p, 0, m.s.method_end)
    if m.s.status:
        fault = m.s.fault.decode("ascii")
        raise PeerError(m.s.status, fault, m if m.s.via.usable else None, partial=m)
    return m
