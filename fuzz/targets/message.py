"""One datagram through the compiled parser, and every function that takes the message which it gives."""

from __future__ import annotations

import re

from fuzz.target import Check, Target, holds, stored_messages
from siphon.sip.build import ack_for, cancel_for, response
from siphon.sip.draft import Draft
from siphon.sip.message import (
    BadResponse,
    NotSip,
    ParseLimits,
    PeerError,
    SipMessage,
    is_list,
    parse,
    stamp_source,
    strip_top_via,
)
from siphon.sip.splices import apply_splices, diff_splices

LIMITS = (
    ParseLimits(),
    ParseLimits(65535, 65535, 1024, 1024),
    ParseLimits(header_bytes=600, line_bytes=90, headers=9, vias=2),
)
NAMES = ("Via", "Contact", "Route", "Record-Route", "Authorization", "m", "Supported", "Proxy-Require", "X-None")
_BARE_NUL = re.compile(rb"(?<!\\)\0")


def check(data: bytes) -> None:
    """The first byte chooses the limits."""
    raw = data[1:]
    try:
        message = parse(raw, LIMITS[data[0] % len(LIMITS)] if data else None)
    except (NotSip, BadResponse):
        return
    except PeerError as error:
        holds(error.partial is not None and 400 <= error.status < 600, "an error says what to answer")
        if error.partial is not None:
            read_all(error.partial)
            check_answer(error.partial, error.status, error.reason)
        return
    read_all(message)
    check_copies(message)
    if message.is_request:
        check_answer(message, 200, "OK")
        check_hop_requests(message)


def read_all(message: SipMessage) -> None:
    """Each span lies inside the message, in order, and each value is what its span says."""
    raw, before = message.raw, 0
    for i in range(message.lines):
        start, value, value_end, end = message.span(i)
        holds(before <= start <= value <= value_end <= end <= len(raw), "the spans of a line are in order")
        holds(message.value_of(i) == message.line(i)[1], "a line has one value")
        holds(
            message.faulty or message.line(i)[1] in (raw[value:value_end], unfolded(message, i)), "a value is its span"
        )
        before = end
    holds(message.body_start <= len(raw) and message.body == raw[message.body_start :], "the body is the rest")
    for name in NAMES:
        values, lines = message.values(name), message.all_lines(name)
        holds(message.has(name) == bool(lines) and message.first(name) == (lines[0] if lines else None), "first of all")
        holds(is_list(name) or values == lines, "only lists are split")
    via = message.via
    for part in (via.transport, via.host, via.port, via.sent_by, via.branch, via.has_cookie, via.received, via.maddr):
        holds(part is not NotImplemented, "a Via has parts")
    holds(via.rport is None or -1 <= via.rport <= 65535, "rport is a port")
    for uri, whole in ((message.from_uri, message.from_value), (message.to_uri, message.to_value)):
        holds(message.faulty or uri in whole, "a URI is part of its value")


def unfolded(message: SipMessage, i: int) -> bytes:
    """The value where it is folded."""
    return message.value_of(i) if b"\n" in message.raw[message.span(i)[1] : message.span(i)[2]] else b""


def check_copies(message: SipMessage) -> None:
    """What nobody changed prints back equal; what was changed is what parsing gives."""
    draft = Draft(message)
    printed = draft.to_bytes()
    holds(message.content_length < 0 or printed == message.raw, "an unchanged message prints back")
    wide = LIMITS[1]
    stamped = stamp_source(message, "2001:db8::77", 7777, True)
    again = parse(stamped.raw, wide)
    spans = [stamped.span(i) for i in range(stamped.lines)]
    holds(spans == [again.span(i) for i in range(again.lines)], "a stamped message has the spans of its bytes")
    holds(
        (stamped.body, stamped.to_tag, stamped.via.branch) == (message.body, message.to_tag, message.via.branch), "kept"
    )
    stripped = strip_top_via(message)
    if message.via_count > 1:
        holds(parse(stripped, wide).via_count == message.via_count - 1, "one Via less")
    draft.set("Subject", "changed")
    draft.remove("Via")
    edited = draft.to_bytes()
    holds(apply_splices(message.raw, draft.splices()) == edited, "splices are the edit")
    holds(apply_splices(message.raw, diff_splices(message.raw, edited)) == edited, "the difference is the edit")


def check_answer(message: SipMessage, status: int, reason: str) -> None:
    """A response to it has clean lines, whatever stood in the request."""
    answer = response(stamp_source(message, "192.0.2.1", 5060), status, reason, b"t", [("Server", "x")])
    head, separator, body = answer.partition(b"\r\n\r\n")
    rest = head.replace(b"\r\n", b"\n")
    holds(separator and not body, "a response has a head and no body")
    holds(b"\r" not in rest and not _BARE_NUL.search(rest), "no bare CR, and NUL in quoted pairs only")
    holds(all(b":" in line or line[:1] in (b" ", b"\t") for line in rest.split(b"\n")[1:]), "each line is a header")


def check_hop_requests(message: SipMessage) -> None:
    """ACK and CANCEL of it are requests that parse."""
    final = parse(response(message, 486, "Busy", b"t"), LIMITS[1])
    for made, method in ((ack_for(message, final), "ACK"), (cancel_for(message), "CANCEL")):
        holds(parse(made, LIMITS[1]).method == method, f"an {method} parses")


def seeds() -> list[bytes]:
    return [bytes([limit]) + raw for raw in stored_messages() if len(raw) < 4000 for limit in (0, 2)]


def make() -> Check:
    return check


TARGET = Target(
    "message",
    "Whatever the bytes are, the parser gives a verdict or a message whose spans all lie in it and print back equal.",
    make,
    seeds,
    2000,
)
