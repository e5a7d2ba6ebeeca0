"""Messages that the proxy makes itself: responses, the ACK to a failure, the CANCEL of a branch.

Everything is copied from spans of the message they answer or belong to, byte for byte; only what comes from outside
(reason, headers) is checked for CR, LF and NUL (ValueError). What is copied from a malformed request loses its control
characters.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import re

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.libc.string import memchr
from cython.cimports.siphon.sip._buffer import Buffer, begin, put, put_bytes, put_plain, release, taken
from cython.cimports.siphon.sip._message_cy import SipMessage

from siphon.sip.draft import as_bytes, canonical, header_line

_KEPT = 256
_starts = cython.declare(dict, {})
_names = cython.declare(dict, {})
_servers = cython.declare(dict, {})
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})
_EVENTS = frozenset({"SUBSCRIBE", "PUBLISH"})


@cython.cfunc
def line_of(message: SipMessage, i: cython.int, name: bytes) -> bytes:
    """Line i as it is; of a malformed message without control characters."""
    if message.s.status:
        return name + b": " + _CONTROL.sub(b" ", message.value_of(i)) + b"\r\n"
    return message.span_bytes(message.table[i].start, message.table[i].end)


@cython.cfunc
def copy_one(message: SipMessage, i: cython.int, name: bytes, parts: list) -> cython.void:
    if i >= 0:
        parts.append(line_of(message, i, name))


@cython.cfunc
def copy_all(message: SipMessage, i: cython.int, name: bytes, parts: list) -> cython.void:
    """Line i and all of that name behind it, in order."""
    while i >= 0:
        parts.append(line_of(message, i, name))
        i = message.position(name, i + 1)


@cython.cfunc
def start_line(status: cython.int, reason) -> bytes:
    """The status line. Those of reasons that are text are kept: a script has a few."""
    asked = (status, reason)
    known = _starts.get(asked)
    if known is not None:
        return known
    line: bytes = b"SIP/2.0 %d %s\r\n" % (status, as_bytes(reason))
    if isinstance(reason, str) and len(_starts) < _KEPT:
        _starts[asked] = line
    return line


@cython.cfunc
def known_name(name) -> tuple:
    """(canonical name, how its line begins); ValueError for what is no header name."""
    known = _names.get(name)
    if known is not None:
        return known
    made: tuple = canonical(name), header_line(name, b"")[:-2]
    if isinstance(name, str) and len(_names) < _KEPT:
        _names[name] = made
    return made


@cython.cfunc
def header_value(value) -> bytes:
    """As it goes on the wire; ValueError for what would end the line."""
    data: bytes = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
    p: cython.p_const_char = PyBytes_AS_STRING(data)
    n: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
    if memchr(p, 13, n) != cython.NULL or memchr(p, 10, n) != cython.NULL or memchr(p, 0, n) != cython.NULL:
        as_bytes(data)
    if n and (p[0] <= 32 or p[n - 1] <= 32):
        return data.strip()
    return data


@cython.cfunc
def is_there(name: str, asked: list) -> cython.bint:
    """Whether one of the headers that are asked for is this one."""
    for known in asked:  # noqa: SIM110  (compiled, any() makes a generator)
        if cython.cast(tuple, known)[0] == name:
            return True
    return False


@cython.cfunc
def server_line(server) -> bytes:
    """The line of Server; there are one or two in a process."""
    known = _servers.get(server)
    if known is not None:
        return known
    line: bytes = header_line("Server", server)
    if isinstance(server, str) and len(_servers) < _KEPT:
        _servers[server] = line
    return line


@cython.cfunc
@cython.exceptval(-1)
def put_line(b: cython.pointer(Buffer), message: SipMessage, i: cython.int, name: bytes) -> cython.int:
    """As line_of; nothing where there is no such line."""
    if i < 0:
        return 0
    if message.s.status:
        return put_bytes(b, line_of(message, i, name))
    return put(b, message.p + message.table[i].start, message.table[i].end - message.table[i].start)


@cython.cfunc
@cython.exceptval(-1)
def put_lines(b: cython.pointer(Buffer), message: SipMessage, i: cython.int, name: bytes) -> cython.int:
    """Line i and all of that name behind it, in order."""
    while i >= 0:
        put_line(b, message, i, name)
        i = message.position(name, i + 1)
    return 0


@cython.cfunc
@cython.exceptval(-1)
def put_to(b: cython.pointer(Buffer), message: SipMessage, tag: bytes | None) -> cython.int:
    """To, with the tag when it has none and can be read."""
    i: cython.int = message.s.i_to
    value_end: cython.int
    if i < 0 or tag is None or not tag or message.s.target.tag_start >= 0 or not message.s.target.end:
        return put_line(b, message, i, b"To")
    if message.s.status:
        put_bytes(b, line_of(message, i, b"To")[:-2])
        put(b, b";tag=", 5)
        put_bytes(b, tag)
        return put(b, b"\r\n", 2)
    value_end = message.table[i].value_end
    put(b, message.p + message.table[i].start, value_end - message.table[i].start)
    put(b, b";tag=", 5)
    put_bytes(b, tag)
    return put(b, message.p + value_end, message.table[i].end - value_end)


@cython.cfunc
@cython.exceptval(-1)
def put_response(
    b: cython.pointer(Buffer),
    request: SipMessage,
    status: cython.int,
    to_tag: bytes | None,
    headers,
    asked: list,
    server,
) -> cython.int:
    """The headers of a response but for Content-Length."""
    known: tuple
    put_lines(b, request, request.s.i_via, b"Via")
    if 100 < status < 300 and request.method in _DIALOG_FORMING:
        put_lines(b, request, request.position(b"record-route", 0), b"Record-Route")
    put_line(b, request, request.s.i_from, b"From")
    put_to(b, request, None if status == 100 else to_tag)
    put_line(b, request, request.s.i_call_id, b"Call-ID")
    put_line(b, request, request.s.i_cseq, b"CSeq")
    if status == 100:
        put_line(b, request, request.position(b"timestamp", 0), b"Timestamp")
    if 200 <= status < 300 and request.method in _EVENTS and not is_there("expires", asked):
        put_line(b, request, request.position(b"expires", 0), b"Expires")
    for at, (_, value) in enumerate(headers):
        known = asked[at]
        if known[0] != "content-length":
            put_bytes(b, known[1])
            if not put_plain(b, value):
                put_bytes(b, header_value(value))
            put(b, b"\r\n", 2)
    if server and not is_there("server", asked):
        put_bytes(b, server_line(server))
    return 0


@cython.cfunc
def response_of(
    request: SipMessage, status: cython.int, reason, to_tag: bytes | None, headers, body: bytes, server
) -> bytes:
    """As response()."""
    b = cython.declare(Buffer)
    asked: list = [known_name(name) for name, _ in headers] if headers else []
    begin(cython.address(b))
    try:
        put_bytes(cython.address(b), start_line(status, reason))
        put_response(cython.address(b), request, status, to_tag, headers, asked, server)
        if body:
            put_bytes(cython.address(b), b"Content-Length: %d\r\n\r\n" % len(body))
            put_bytes(cython.address(b), body)
        else:
            put(cython.address(b), b"Content-Length: 0\r\n\r\n", 21)
        return taken(cython.address(b))
    finally:
        release(cython.address(b))


def response(
    request: SipMessage,
    status: cython.int,
    reason,
    to_tag: bytes | None,
    headers=(),
    body: bytes = b"",
    server=None,
) -> bytes:
    """A response to `request` (RFC 3261 §8.2.6): all Via lines in order, From, To, Call-ID and CSeq copied, To with
    `to_tag` when it has none (not in 100), Timestamp in 100, Record-Route in 101-299 to what forms a dialog, Expires in
    2xx to SUBSCRIBE and PUBLISH, then `headers`, Server and Content-Length."""
    return response_of(request, status, reason, to_tag, headers, body, server)


@cython.cfunc
def trying_for(request: SipMessage, server_line: bytes) -> bytes:
    """As `response(request, 100, "Trying", ...)` to a request that is well-formed; `server_line` is b"" for none."""
    parts: list = [b"SIP/2.0 100 Trying\r\n"]
    copy_all(request, request.s.i_via, b"Via", parts)
    copy_one(request, request.s.i_from, b"From", parts)
    copy_one(request, request.s.i_to, b"To", parts)
    copy_one(request, request.s.i_call_id, b"Call-ID", parts)
    copy_one(request, request.s.i_cseq, b"CSeq", parts)
    copy_one(request, request.position(b"timestamp", 0), b"Timestamp", parts)
    parts.append(server_line)
    parts.append(b"Content-Length: 0\r\n\r\n")
    return b"".join(parts)


def ack_for(invite: SipMessage, response: SipMessage) -> bytes:
    """The ACK to a failure (RFC 3261 §17.1.1.3): `invite` as it was sent, To from the response."""
    parts: list = in_transaction(invite, b"ACK", response.value_of(response.s.i_to))
    parts.append(b"Content-Length: 0\r\n\r\n")
    return b"".join(parts)


def cancel_for(invite: SipMessage, reason_lines=()) -> bytes:
    """The CANCEL of `invite` as it was sent (RFC 3261 §9.1), with values of Reason (RFC 3326)."""
    parts: list = in_transaction(invite, b"CANCEL", invite.value_of(invite.s.i_to))
    for value in reason_lines:
        parts.append(header_line(b"Reason", value))
    parts.append(b"Content-Length: 0\r\n\r\n")
    return b"".join(parts)


@cython.cfunc
def in_transaction(invite: SipMessage, method: bytes, to_value: bytes) -> list:
    """What ACK and CANCEL have in common: Request-URI, top Via, Route, From, Call-ID, CSeq number of the INVITE."""
    via: bytes = invite.span_bytes(invite.s.via.start, invite.s.via.end)
    parts: list = [b"%s %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\n" % (method, invite.uri, via)]
    copy_all(invite, invite.position("route", 0), b"Route", parts)
    copy_one(invite, invite.s.i_from, b"From", parts)
    parts.append(b"To: %s\r\n" % to_value)
    copy_one(invite, invite.s.i_call_id, b"Call-ID", parts)
    parts.append(b"CSeq: %d %s\r\n" % (invite.s.cseq, method))
    return parts
