"""What media relays and callers send: NG answers, events, session descriptions, bodies of several parts."""

from __future__ import annotations

from contextlib import suppress

from fuzz.target import Check, Target, holds
from siphon.services.media.bencode import BadBencoding, decode, encode
from siphon.services.media.multipart import sdp_span
from siphon.services.media.notices import DIGITS, dtmf_of, timeout_of
from siphon.services.media.sdp import SessionDescription

MIXED = "multipart/mixed;boundary=x"


def check(data: bytes) -> None:
    """The same bytes as each of them."""
    with suppress(BadBencoding):
        holds(decode(encode(value := decode(data))) == value, "a value that was decoded is encoded to itself")
    digit = dtmf_of(data)
    holds(digit is None or digit.digit in DIGITS, "an event of DTMF is a digit")
    closed = timeout_of(data)
    holds(closed is None or bool(closed.call_id), "a call that was closed has a name")
    span = sdp_span(MIXED, data)
    holds(span is None or 0 <= span[0] <= span[1] <= len(data), "a part lies in the body")
    described(data if span is None else data[span[0] : span[1]])


def described(data: bytes) -> None:
    """A description survives being written and being changed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    one = SessionDescription(text)
    written = str(one)
    holds(str(SessionDescription(written)) == written, "what was written is read and written again as it is")
    one.filter_codecs(["PCMU"])
    for section in one.media:
        holds(section.port == 0 or {name.upper() for name in section.codecs} <= {"PCMU"}, "other codecs are gone")
    once = str(one)
    one.filter_codecs(["PCMU"])
    holds(str(one) == once, "a filter twice is a filter once")
    one.set_attr("x", "y")
    holds(SessionDescription(str(one)).get_attr("x") == "y", "an attribute that was set is there")


def seeds() -> list[bytes]:
    sdp = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=ice-lite\r\n"
        b"m=audio 4000/2 RTP/AVP 0 8 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 x=1\r\nm=image 5 udptl t38\r\n"
    )
    return [
        sdp,
        sdp.replace(b"\r\n", b"\n"),
        b"--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x\r\nContent-Type: application/sdp\r\n\r\n"
        + sdp
        + b"\r\n--x--",
        encode({"result": "ok", "sdp": sdp, "tags": {"a": {"medias": [{"index": 1, "streams": [[], {}]}]}}}),
        b"d6:result5:error12:error-reason15:Unknown call-ide",
        b'{"callid":"c1","source_tag":"a","type":"DTMF","event":5,"duration":100,"volume":10}',
        b"<methodCall><methodName>dlg.terminate_dlg</methodName><params><param><value><string>c1&amp;</string></value>"
        b"</param></params></methodCall>",
    ]


def make() -> Check:
    return check


TARGET = Target(
    "media",
    "Whatever a relay or a caller sends is read within its bounds, and a description keeps what was not changed.",
    make,
    seeds,
    4000,
    python=True,
)
