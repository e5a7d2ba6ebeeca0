"""URIs and addresses as values: parsed by the compiled grammar, printed back exactly as they were written.

`Uri.parse` and `NameAddr.parse` take bytes or str and raise ValueError for what breaks the grammar, and for a URI that
is not UTF-8: it may become the Request-URI of what we send, and nobody would take that. In display names and header
parameters such bytes survive as surrogate escapes. Attributes may be assigned; printing refuses CR, LF and NUL
(ValueError). Escapes stay as they are: nothing is decoded but for comparing, and then once only (RFC 3261 §19.1.2).
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import re

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.siphon.sip._grammar_cy import (
    AddressSpan,
    Param,
    UriSpan,
    scan_address,
    scan_param,
    scan_uri,
    utf8,
)

from siphon.sip.hosts import bracketed, canonical_host

_FORBIDDEN = re.compile("[\r\n\0]")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")
_SEPARATORS = str.maketrans("", "", "-.()")
_COMPARED = ("transport", "user", "ttl", "method", "maddr")  # in one URI only: not equal (RFC 3261 §19.1.4)


@cython.cfunc
def as_data(text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


@cython.cfunc
def cut(data: bytes, s: cython.int, e: cython.int) -> str:
    return data[s:e].decode("utf-8", "surrogateescape")


@cython.cfunc
def printable(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise ValueError("CR, LF or NUL in a URI or address")
    return text


@cython.cfunc
def joined(params: list) -> str:
    """`;name=value` of each parameter."""
    text: str = ""
    for name, value in params:
        text += ";" + name if value is None else ";" + name + "=" + value
    return text


@cython.cfunc
def value_of(params: list, name: str):
    """The first value of that name: None when absent, "" for a flag."""
    wanted: str = name.lower()
    for key, value in params:
        if key.lower() == wanted:
            return "" if value is None else value
    return None


@cython.cfunc
def uri_params(text: str) -> list:
    """The parameters of `;a=b;c`."""
    found: list = []
    for item in text[1:].split(";") if text else ():
        name, equals, value = item.partition("=")
        found.append((name, value if equals else None))
    return found


@cython.final
@cython.cclass
class Uri:
    """A URI taken apart. `host` keeps its brackets when it is an IPv6 address; `params` are (name, value), None without
    "="; `headers` is the text behind "?". tel: the number is `user`, `host` is "". Other schemes: `opaque` holds it
    all."""

    scheme = cython.declare(str, visibility="public")
    user = cython.declare(object, visibility="public")
    password = cython.declare(object, visibility="public")
    host = cython.declare(str, visibility="public")
    port = cython.declare(object, visibility="public")
    params = cython.declare(list, visibility="public")
    headers = cython.declare(object, visibility="public")
    opaque = cython.declare(object, visibility="public")
    written_scheme = cython.declare(str)
    written_port = cython.declare(str)

    def __init__(
        self, scheme="sip", user=None, host="", port=None, params=None, headers=None, password=None, opaque=None
    ) -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.params = [] if params is None else params
        self.headers = headers
        self.opaque = opaque
        self.written_scheme = scheme
        self.written_port = ""

    @classmethod
    def parse(cls, text) -> Uri:
        data: bytes = as_data(text)
        span: UriSpan
        size: cython.int = PyBytes_GET_SIZE(data)
        p: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data))
        if PyBytes_GET_SIZE(data) > 65535 or not scan_uri(p, 0, size, cython.address(span)) or not utf8(p, 0, size):
            raise ValueError(f"not a URI: {text!r}")
        return uri_from(data, 0, size, cython.address(span))

    @property
    def is_sip(self) -> bool:
        return self.scheme == "sip" or self.scheme == "sips"

    def has_param(self, name: str) -> bool:
        return value_of(self.params, name) is not None

    def param(self, name: str):
        """Value of the parameter, name without regard to case; "" for a flag, None when absent. The first one
        counts."""
        return value_of(self.params, name)

    def copy(self) -> Uri:
        new: Uri = Uri(
            self.scheme, self.user, self.host, self.port, list(self.params), self.headers, self.password, self.opaque
        )
        new.written_scheme = self.written_scheme
        new.written_port = self.written_port
        return new

    def __str__(self) -> str:
        scheme: str = self.written_scheme
        if scheme is None or scheme.lower() != self.scheme.lower():
            scheme = self.scheme
        if self.opaque is not None:
            return printable(scheme + ":" + self.opaque)
        text: str = scheme + ":"
        if self.user is not None:
            text += self.user
            if self.password is not None:
                text += ":" + self.password
            if self.scheme != "tel":
                text += "@"
        text += self.host
        if self.port is not None:
            port: str = str(self.port)
            text += ":" + (self.written_port if self.written_port.lstrip("0") == port else port)
        if self.params:
            text += joined(self.params)
        if self.headers is not None:
            text += "?" + self.headers
        return printable(text)

    def to_bytes(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"Uri({str(self)!r})"

    def __eq__(self, other) -> bool:
        return isinstance(other, Uri) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


@cython.cfunc
def uri_from(data: bytes, s: cython.int, e: cython.int, u: cython.pointer(UriSpan)) -> Uri:
    written: str = cut(data, s, u.scheme_end)
    uri: Uri = Uri(written.lower())
    uri.written_scheme = written
    if u.kind == 3:
        number: str = cut(data, u.scheme_end + 1, e)
        uri.user, mark, rest = number.partition(";")
        uri.params = uri_params(mark + rest)
        return uri
    if u.kind == 0:
        uri.opaque = cut(data, u.scheme_end + 1, e)
        return uri
    if u.user_start >= 0:
        uri.user = cut(data, u.user_start, u.user_end)
    if u.password_start >= 0:
        uri.password = cut(data, u.password_start, u.password_end)
    uri.host = cut(data, u.host_start, u.host_end)
    if u.port:
        uri.port = u.port
        uri.written_port = cut(data, u.host_end + 1, u.params)
    if u.headers > u.params:
        uri.params = uri_params(cut(data, u.params, u.headers))
    if u.headers < e:
        uri.headers = cut(data, u.headers + 1, e)
    return uri


@cython.final
@cython.cclass
class NameAddr:
    """An address with its header parameters (RFC 3261 §20.10). `display` is the name without quotes and escapes, ""
    when there is none; `params` are (name, value as written), None without "=". Unchanged it prints back as it was
    written."""

    display = cython.declare(str, visibility="public")
    uri = cython.declare(Uri, visibility="public")
    params = cython.declare(list, visibility="public")
    bracketed = cython.declare(cython.bint, visibility="public")
    written_display = cython.declare(str)
    plain_display = cython.declare(str)

    def __init__(self, display="", uri=None, params=None) -> None:
        self.display = display
        self.uri = uri
        self.params = [] if params is None else params
        self.bracketed = True
        self.written_display = ""
        self.plain_display = ""

    @classmethod
    def parse(cls, value) -> NameAddr:
        data: bytes = as_data(value)
        a: AddressSpan
        u: UriSpan
        size: cython.int = PyBytes_GET_SIZE(data)
        p: cython.p_const_uchar = cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data))
        if (
            PyBytes_GET_SIZE(data) > 65535
            or not scan_address(p, 0, size, cython.address(a), cython.address(u), False)
            or not utf8(p, a.uri_start, a.uri_end)
        ):
            raise ValueError(f"not an address: {value!r}")
        found: NameAddr = NameAddr("", uri_from(data, a.uri_start, a.uri_end, cython.address(u)))
        found.bracketed = a.bracketed
        if a.display_start >= 0:
            found.written_display = cut(data, a.display_start, a.uri_start - 1)
            found.display = found.plain_display = plain(cut(data, a.display_start, a.display_end))
        found.params = address_params(data, p, a.params, size)
        return found

    def has_param(self, name: str) -> bool:
        return value_of(self.params, name) is not None

    def param(self, name: str):
        """Value as written; "" for a flag, None when absent. The first one counts."""
        return value_of(self.params, name)

    def __str__(self) -> str:
        name: str = self.written_display
        if self.display != self.plain_display:
            name = '"' + self.display.replace("\\", "\\\\").replace('"', '\\"') + '" ' if self.display else ""
        address: str = str(self.uri)
        if (
            self.bracketed
            or name
            or self.uri.params
            or self.uri.headers is not None
            or "," in address
            or "?" in address
        ):
            address = name + "<" + address + ">"
        return printable(address + joined(self.params))

    def to_bytes(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"NameAddr({str(self)!r})"


@cython.cfunc
def plain(display: str) -> str:
    """A display name without its quotes and escapes."""
    if display.startswith('"'):
        return _QUOTED_PAIR.sub(r"\1", display[1:-1])
    return display


@cython.cfunc
def address_params(data: bytes, p: cython.p_const_uchar, s: cython.int, e: cython.int) -> list:
    found: list = []
    param: Param
    while s < e and p[s] == b";":
        s = scan_param(p, s + 1, e, cython.address(param))
        if s < 0:
            break
        value = cut(data, param.value_start, param.value_end) if param.value_start >= 0 else None
        found.append((cut(data, param.start, param.name_end), value))
    return found


def _decode(match) -> str:
    character: str = chr(int(match.group(1), 16))
    return character if character in _UNRESERVED else match.group(0).upper()


def unescape(text: str) -> str:
    """For comparing: escapes of unreserved characters decoded, once; all others in upper case."""
    return _ESCAPE.sub(_decode, text) if "%" in text else text


@cython.cfunc
def as_uri(uri) -> Uri:
    return uri if isinstance(uri, Uri) else Uri.parse(uri)


def same_uri(a, b) -> bool:
    """URI equality of RFC 3261 §19.1.4; tel by RFC 3966 §4. ValueError when an argument is no URI."""
    x: Uri = as_uri(a)
    y: Uri = as_uri(b)
    if x.scheme.lower() != y.scheme.lower():
        return False
    if x.opaque is not None or y.opaque is not None:
        return x.opaque == y.opaque
    if x.scheme.lower() == "tel":
        return tel_number(x) == tel_number(y) and lower_params(x, True) == lower_params(y, True)
    if (x.user is None) != (y.user is None) or (x.password is None) != (y.password is None) or x.port != y.port:
        return False
    if unescape(x.user or "") != unescape(y.user or "") or unescape(x.password or "") != unescape(y.password or ""):
        return False
    return canonical_host(x.host) == canonical_host(y.host) and same_params(x, y) and same_headers(x, y)


@cython.cfunc
def tel_number(uri: Uri) -> str:
    return (uri.user or "").translate(_SEPARATORS).lower()


@cython.cfunc
def lower_params(uri: Uri, tel: cython.bint) -> dict:
    """Names and values for comparing; the first of equal names counts."""
    found: dict = {}
    for name, value in uri.params:
        text = unescape(value or "").lower()
        if tel and name.lower() in ("ext", "phone-context"):
            text = text.translate(_SEPARATORS) if text[:1] in "+0123456789" else text
        found.setdefault(unescape(name).lower(), text)
    return found


@cython.cfunc
def same_params(x: Uri, y: Uri) -> cython.bint:
    if not x.params and not y.params:
        return True
    a: dict = lower_params(x, False)
    b: dict = lower_params(y, False)
    for name in _COMPARED:
        if (name in a) != (name in b):
            return False
    return all(b.get(name, value) == value for name, value in a.items())


@cython.cfunc
def same_headers(x: Uri, y: Uri) -> cython.bint:
    if x.headers is None and y.headers is None:
        return True
    return header_pairs(x.headers or "") == header_pairs(y.headers or "")


@cython.cfunc
def header_pairs(text: str) -> list:
    pairs: list = []
    for item in text.split("&") if text else ():
        name, _, value = item.partition("=")
        pairs.append((unescape(name).lower(), unescape(value)))
    return sorted(pairs)


def address_of_record(uri) -> str:
    """`scheme:user@host[:port]`: no display name, password, parameters or headers; escapes of unreserved characters
    decoded, host in its canonical form, default port dropped. Without a scheme it is a sip URI."""
    found: Uri
    if isinstance(uri, Uri):
        found = uri
    else:
        text: str = (uri if isinstance(uri, str) else uri.decode("utf-8", "surrogateescape")).strip()
        if _FORBIDDEN.search(text):
            raise ValueError("CR, LF or NUL in an address of record")
        if "<" in text:
            found = NameAddr.parse(text).uri
        else:
            try:
                found = Uri.parse(text)
                if found.opaque is not None and (not found.scheme.isalpha() or found.opaque.isdigit()):
                    raise ValueError(text)  # host:port, not scheme:rest
            except ValueError:
                found = Uri.parse("sip:" + text)
    if found.opaque is not None:
        return str(found)
    scheme: str = found.scheme.lower()
    if scheme == "tel":
        return "tel:" + tel_number(found)
    host: str = bracketed(canonical_host(found.host))
    name: str = scheme + ":" + (unescape(found.user) + "@" if found.user else "") + host
    if found.port is None or found.port == (5061 if scheme == "sips" else 5060):
        return name
    return name + ":" + str(found.port)
