"""Messages that the proxy makes itself: responses, the ACK to a failure, the CANCEL of a branch.

Everything is copied from spans of the message they answer or belong to, byte for byte; only what comes from outside
(reason, headers) is checked for CR, LF and NUL (ValueError). What is copied from a malformed request loses its control
characters.
"""

# cython: initializedcheck=False
# ruff: noqa: F821, F842  (the types come from the .pxd)
import re

import cython
from cython.cimports.siphon.sip._message_cy import SipMessage

from siphon.sip.draft import as_bytes, canonical, header_line

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
    parts: list = [b"SIP/2.0 %d %s\r\n" % (status, as_bytes(reason))]
    given: set = {canonical(name) for name, _ in headers} if headers else set()
    copy_all(request, request.s.i_via, b"Via", parts)
    if 100 < status < 300 and request.method in _DIALOG_FORMING:
        copy_all(request, request.position("record-route", 0), b"Record-Route", parts)
    copy_one(request, request.s.i_from, b"From", parts)
    copy_to(request, None if status == 100 else to_tag, parts)
    copy_one(request, request.s.i_call_id, b"Call-ID", parts)
    copy_one(request, request.s.i_cseq, b"CSeq", parts)
    if status == 100:
        copy_one(request, request.position("timestamp", 0), b"Timestamp", parts)
    if 200 <= status < 300 and request.method in ("SUBSCRIBE", "PUBLISH") and "expires" not in given:
        copy_one(request, request.position("expires", 0), b"Expires", parts)
    for name, value in headers:
        if canonical(name) != "content-length":
            parts.append(header_line(name, value))
    if server and "server" not in given:
        parts.append(header_line("Server", server))
    parts.append(b"Content-Length: %d\r\n\r\n" % len(body) if body else b"Content-Length: 0\r\n\r\n")
    parts.append(body)
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
