"""Messages that the proxy makes itself: responses, the ACK to a failure, the CANCEL of a branch.

Everything is copied from spans of the message they answer or belong to, byte for byte; only what comes from outside
(reason, headers) is checked for CR, LF and NUL (ValueError).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from siphon.sip._message_cy import SipMessage, strip_top_via
from siphon.sip.draft import as_bytes, canonical, header_line

__all__ = ["REASONS", "ack_for", "cancel_for", "reason_for", "response", "strip_top_via"]

REASONS: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})


def reason_for(status: int) -> str:
    """The standard phrase, or that of the class (RFC 3261 §8.1.3.2: an unknown code is its class's x00)."""
    return REASONS.get(status) or REASONS[status // 100 * 100]


def response(
    request: SipMessage,
    status: int,
    reason: bytes | str,
    to_tag: bytes | None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    server: str | None = None,
) -> bytes:
    """A response to `request` (RFC 3261 §8.2.6): all Via lines in order, From, To, Call-ID and CSeq copied, To with
    `to_tag` when it has none (not in 100), Timestamp in 100, Record-Route in 101-299 to what forms a dialog, Expires in
    2xx to SUBSCRIBE and PUBLISH, then `headers`, Server and Content-Length."""
    parts = [b"SIP/2.0 %d %s\r\n" % (status, as_bytes(reason))]
    _copy(request, "Via", parts)
    if 100 < status < 300 and request.method in _DIALOG_FORMING:
        _copy(request, "Record-Route", parts)
    _copy(request, "From", parts)
    _copy_to(request, b"" if status == 100 else to_tag or b"", parts)
    _copy(request, "Call-ID", parts)
    _copy(request, "CSeq", parts)
    if status == 100:
        _copy(request, "Timestamp", parts)
    given = {canonical(name) for name, _ in headers}
    if 200 <= status < 300 and request.method in ("SUBSCRIBE", "PUBLISH") and "expires" not in given:
        _copy(request, "Expires", parts)
    parts.extend(header_line(name, value) for name, value in headers if canonical(name) != "content-length")
    if server and "server" not in given:
        parts.append(header_line("Server", server))
    parts.append(b"Content-Length: %d\r\n\r\n" % len(body))
    parts.append(body)
    return b"".join(parts)


def ack_for(invite: SipMessage, response: SipMessage) -> bytes:
    """The ACK to a failure (RFC 3261 §17.1.1.3): `invite` as it was sent, To from the response."""
    parts = _in_transaction(invite, b"ACK", response.to_value)
    parts.append(b"Content-Length: 0\r\n\r\n")
    return b"".join(parts)


def cancel_for(invite: SipMessage, reason_lines: Sequence[bytes] = ()) -> bytes:
    """The CANCEL of `invite` as it was sent (RFC 3261 §9.1), with values of Reason (RFC 3326)."""
    parts = _in_transaction(invite, b"CANCEL", invite.to_value)
    parts.extend(header_line(b"Reason", value) for value in reason_lines)
    parts.append(b"Content-Length: 0\r\n\r\n")
    return b"".join(parts)


def _in_transaction(invite: SipMessage, method: bytes, to_value: bytes) -> list[bytes]:
    """What ACK and CANCEL have in common: Request-URI, top Via, Route, From, Call-ID, CSeq number of the INVITE."""
    parts = [b"%s %s SIP/2.0\r\nVia: %s\r\nMax-Forwards: 70\r\n" % (method, invite.uri, invite.via.value)]
    _copy(invite, "Route", parts)
    _copy(invite, "From", parts)
    parts.append(b"To: %s\r\n" % to_value)
    _copy(invite, "Call-ID", parts)
    parts.append(b"CSeq: %d %s\r\n" % (invite.cseq, method))
    return parts


def _copy(message: SipMessage, name: str, parts: list[bytes]) -> None:
    """All lines of that name as they are; those of a malformed message without control characters."""
    i = message.find(name)
    while i >= 0:
        if message.faulty:
            parts.append(name.encode() + b": " + _CONTROL.sub(b" ", message.value_of(i)) + b"\r\n")
        else:
            start, _, _, end = message.span(i)
            parts.append(message.raw[start:end])
        i = message.find(name, i + 1)


def _copy_to(message: SipMessage, tag: bytes, parts: list[bytes]) -> None:
    i = message.find("To")
    if i < 0:
        return
    if message.faulty or message.to_tag is not None or not tag:
        _copy(message, "To", parts)
        return
    start, _, value_end, end = message.span(i)
    parts.append(message.raw[start:value_end] + b";tag=" + tag + message.raw[value_end:end])
