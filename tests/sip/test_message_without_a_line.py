"""A message without a line is what parse() makes of its bytes."""

from pathlib import Path

import pytest

from siphon.sip._shorter import without
from siphon.sip.errors import BadResponse, NotSip, PeerError
from siphon.sip.message import parse

MESSAGES = sorted((Path(__file__).parents[1] / "messages").rglob("*.sip"))
FACTS = (
    *(
        "raw",
        "method",
        "cseq_method",
        "is_request",
        "faulty",
        "uri",
        "uri_start",
        "uri_end",
        "status",
        "reason",
        "lines",
    ),
    *(
        "via_count",
        "usable_via",
        "from_tag",
        "to_tag",
        "from_value",
        "to_value",
        "from_uri",
        "to_uri",
        "call_id",
        "cseq",
    ),
    *("max_forwards", "content_length", "body", "body_start"),
)
VIA = ("transport", "host", "port", "branch", "received", "rport", "maddr", "value", "sent_by", "has_cookie")


def facts(m):
    rows = [(m.line(i), m.span(i)) for i in range(m.lines)]
    found = [m.find(name) for name in ("Via", "From", "t", "Call-ID", "CSeq", "Max-Forwards", "l", "Route", "Contact")]
    return [getattr(m, name) for name in FACTS], [getattr(m.via, name) for name in VIA], rows, found


def parsed(data):
    try:
        return parse(data)
    except (PeerError, BadResponse, NotSip):
        return None


def test_every_line_of_every_message_of_the_corpus_may_be_the_one():
    compared = 0
    for path in MESSAGES:
        message = parsed(path.read_bytes())
        if message is None:
            continue
        for i in range(message.lines):
            found = without(message, i)
            if found is not None:
                start, _, _, end = message.span(i)
                assert found.raw == message.raw[:start] + message.raw[end:]
                assert facts(found) == facts(parse(found.raw)), (path, i)
                compared += 1
    assert compared > 100


@pytest.mark.parametrize("place", range(9))
def test_a_route_may_stand_anywhere(place):
    lines = [
        "Via: SIP/2.0/UDP h:5070;branch=z9hG4bK1;rport",
        "Via: SIP/2.0/UDP i;branch=z9hG4bK2",
        'From: "A, b" <sip:a@h>;tag=1;x=y',
        "To: sip:b@h;tag=2",
        "Call-ID: c",
        "CSeq: 1 BYE",
        "Max-Forwards: 7",
        "Content-Length: 3",
    ]
    lines.insert(place, "Route: <sip:r;lr>,\r\n <sip:s;lr>")
    message = parse("\r\n".join(["BYE sip:b@h SIP/2.0", *lines, "", "abc"]).encode())
    found = without(message, message.find("Route"))
    assert (found is None) == (place == 0)
    if found is not None:
        assert not found.has("Route") and facts(found) == facts(parse(found.raw))
    assert all(without(message, message.find(name)) is None for name in ("From", "To", "CSeq", "Call-ID", "l"))
    assert without(message, -1) is None and without(message, message.lines) is None
