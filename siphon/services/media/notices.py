"""What RTPEngine tells by itself: DTMF digits, and calls that it has closed because no media came.

DTMF (`dtmf-log-dest` of RTPEngine): a UDP datagram with a JSON object, e.g.

    {"callid":"c1","source_tag":"a","tags":["a","b"],"type":"DTMF","timestamp":1795666282,"source_ip":"192.0.2.1",
     "event":5,"duration":100,"volume":10}

A call closed for want of media (`b2b-url` of RTPEngine): an XMLRPC call by HTTP. With `xmlrpc-format = 2` its strings
are Call-ID, From tag and To tag, with 1 the Call-ID alone; the format 0 (SEMS) is not understood.

Both come from the network: what is not understood gives None. XML is not parsed as XML, so nothing in it is expanded
but the five entities of text.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import NamedTuple

DIGITS = "0123456789*#ABCD"
LONGEST = 65_535
_METHODS = {b"dlg.terminate_dlg", b"teardown"}
_METHOD = re.compile(rb"<methodName>\s*([\w.]{1,40})\s*</methodName>")
_STRING = re.compile(rb"<value>\s*(?:<string>)?([^<]{0,1000})(?:</string>)?\s*</value>")


class Dtmf(NamedTuple):
    """A digit that a party of a call has sent; milliseconds, and decibels below full scale."""

    call_id: str
    from_tag: str
    digit: str
    duration_ms: int
    volume: int


class MediaTimeout(NamedTuple):
    """A call that a relay has closed. `from_tag` is "" where it does not say."""

    call_id: str
    from_tag: str


def dtmf_of(datagram: bytes) -> Dtmf | None:
    """The digit that a datagram tells of."""
    try:
        facts = json.loads(datagram)
    except (ValueError, RecursionError):
        return None
    if not isinstance(facts, dict) or facts.get("type") != "DTMF":
        return None
    texts = [one for name in ("callid", "source_tag") if isinstance(one := facts.get(name), str)]
    numbers = [one for name in ("event", "duration", "volume") if type(one := facts.get(name, 0)) is int]
    if len(texts) < 2 or len(numbers) < 3 or not 0 <= numbers[0] < len(DIGITS):
        return None
    return Dtmf(texts[0], texts[1], DIGITS[numbers[0]], numbers[1], numbers[2])


def timeout_of(body: bytes) -> MediaTimeout | None:
    """The call that an XMLRPC call tells of."""
    method = _METHOD.search(body)
    if method is None or method[1] not in _METHODS:
        return None
    values = [unescape(one.decode("utf-8", "surrogateescape")) for one in _STRING.findall(body)]
    if not values or not values[0]:
        return None
    return MediaTimeout(values[0], values[1] if len(values) > 1 else "")
