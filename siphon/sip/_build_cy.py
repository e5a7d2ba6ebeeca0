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
from cython.cimports.siphon.sip._message_cy import SipMessage

from siphon.sip.draft import as_bytes, canonical, header_line

_KEPT = 256
_starts = cython.declare(dict, {})
_names = cython.declare(dict, {})
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})


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
def copy_to(message: SipMessage, tag: bytes | None, parts: list) -> cython.void:
    """To, with the tag when it has none and can be read."""
    i: cython.int = message.s.i_to
    if i < 0 or tag is None or not tag or message.s.target.tag_start >= 0 or not message.s.target.end:
        copy_one(message, i, b"To", parts)
    elif message.s.status:
        parts.append(line_of(message, i, b"To")[:-2] + b";tag=" + tag + b"\r\n")
    else:
        parts.append(message.span_bytes(message.table[i].start, message.table[i].value_end))
        parts.append(b";tag=")
        parts.append(tag)
        parts.append(message.span_bytes(message.table[i].value_end, message.table[i].end))


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
    return any(known == name for known, _ in asked)


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
    parts: list = [start_line(status, reason)]
    asked: list = [known_name(name) for name, _ in headers] if headers else []
    name: str
    copy_all(request, request.s.i_via, b"Via", parts)
    if 100 < status < 300 and request.method in _DIALOG_FORMING:
        copy_all(request, request.position("record-route", 0), b"Record-Route", parts)
    copy_one(request, request.s.i_from, b"From", parts)
    copy_to(request, None if status == 100 else to_tag, parts)
    copy_one(request, request.s.i_call_id, b"Call-ID", parts)
    copy_one(request, request.s.i_cseq, b"CSeq", parts)
    if status == 100:
        copy_one(request, request.position("timestamp", 0), b"Timestamp", parts)
    if 200 <= status < 300 and request.method in ("SUBSCRIBE", "PUBLISH") and not is_there("expires", asked):
        copy_one(request, request.position("expires", 0), b"Expires", parts)
    for at, (_, value) in enumerate(headers):
        name, begun = asked[at]
        if name != "content-length":
            parts += (begun, header_value(value), b"\r\n")
    if server and not is_there("server", asked):
        parts.append(header_line("Server", server))
    parts.append(b"Content-Length: %d\r\n\r\n" % len(body) if body else b"Content-Length: 0\r\n\r\n")
    parts.append(body)
    return b"".join(parts)


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
