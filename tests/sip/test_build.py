"""Responses, ACK and CANCEL made here."""

from random import Random

import pytest

from siphon.sip.build import REASONS, ack_for, cancel_for, reason_for, response
from siphon.sip.draft import canonical, header_line
from siphon.sip.message import PeerError, SipMessage, parse

RAW = (
    b"INVITE sip:bob@example.com;x SIP/2.0\r\nVia: SIP/2.0/UDP us:5060;branch=z9hG4bKo;rport, SIP/2.0/UDP b\r\n"
    b"v: SIP/2.0/UDP c\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nRecord-Route: <sip:r;lr>\r\n"
    b"f: <sip:a@x>;tag=1\r\nTo : <sip:b@x> \r\nCall-ID: c\r\nCSeq: 0042 INVITE\r\n"
    b"Timestamp: 54\r\nRequire: 100rel\r\nProxy-Require: x\r\n"
    b"Expires: 9\r\nMax-Forwards: 70\r\nContent-Length: 2\r\n\r\nhi"
)
INVITE = parse(RAW)


def other(method: str) -> SipMessage:
    return parse(RAW.replace(b"INVITE", method.encode()))


def test_prx_32_a_response_copies_what_identifies_the_transaction() -> None:
    assert response(INVITE, 486, "Busy Here", b"t") == (
        b"SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP us:5060;branch=z9hG4bKo;rport, SIP/2.0/UDP b\r\n"
        b"v: SIP/2.0/UDP c\r\nf: <sip:a@x>;tag=1\r\nTo : <sip:b@x>;tag=t \r\nCall-ID: c\r\nCSeq: 0042 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_prx_32_no_tag_but_a_timestamp_in_100() -> None:
    trying = parse(response(INVITE, 100, "Trying", b"t"))
    assert (trying.to_tag, trying.first("Timestamp")) == (None, b"54")
    assert parse(response(INVITE, 180, "Ringing", b"t")).first("Timestamp") is None


def test_prx_53_a_tag_that_is_there_is_kept() -> None:
    m = parse(RAW.replace(b"<sip:b@x> ", b"<sip:b@x>;tag=old"))
    assert parse(response(m, 200, "OK", b"new")).to_tag == b"old"


@pytest.mark.parametrize(
    ("method", "status", "copied"),
    [("INVITE", 180, True), ("INVITE", 200, True), ("REFER", 202, True), ("INVITE", 100, False), ("INVITE", 300, False)]
    + [("OPTIONS", 200, False), ("REGISTER", 200, False)],
)
def test_record_route_is_copied_into_what_forms_a_dialog(method: str, status: int, copied: bool) -> None:
    assert parse(response(other(method), status, "x", b"t")).has("Record-Route") == copied


def test_expires_is_copied_into_2xx_to_subscribe_and_publish() -> None:
    for method, expected in (("SUBSCRIBE", b"9"), ("PUBLISH", b"9"), ("INVITE", None)):
        assert parse(response(other(method), 200, "OK", b"t")).first("Expires") == expected
    assert parse(response(other("PUBLISH"), 200, "OK", b"t", [("Expires", "5")])).all_lines("expires") == [b"5"]


def test_headers_body_and_server_are_added() -> None:
    m = parse(response(INVITE, 200, "OK", b"t", [("Contact", "<sip:me>"), ("l", "77")], b"body", "siphond"))
    assert (m.first("Contact"), m.first("Server"), m.body, m.content_length) == (b"<sip:me>", b"siphond", b"body", 4)


@pytest.mark.parametrize("evil", ["x\r\nEvil: 1", "x\n", "a\0b"])
def test_sec_07_reasons_and_headers_cannot_break_out(evil: str) -> None:
    for reason, header, server in ((evil, "x", None), ("OK", evil, None), ("OK", "x", evil)):
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            response(INVITE, 200, reason, b"t", [("X", header)], b"", server)


def test_a_malformed_request_is_answered_without_its_control_characters() -> None:
    raw = RAW.replace(b"Call-ID: c", b"Call-ID: c\rd\0e").replace(b"f: ", b"f: <sip:x>\r\nFrom: ")
    with pytest.raises(PeerError) as raised:
        parse(raw)
    assert raised.value.message is not None
    answer = response(raised.value.message, 400, raised.value.reason, b"t")
    assert b"\r\nCall-ID: c d e\r\n" in answer and b"\0" not in answer and answer.count(b"\r\nFrom: ") == 1
    assert b"To: <sip:b@x>;tag=t\r\n" in answer and answer.startswith(b"SIP/2.0 400 ")


def test_tor_badinv01_is_answered_even_though_its_via_is_faulty() -> None:
    with pytest.raises(PeerError) as raised:
        parse(RAW.replace(b"us:5060;branch=z9hG4bKo;rport, SIP/2.0/UDP b", b"192.0.2.15;;,;,,"))
    assert raised.value.message is not None and raised.value.message.via.host == b"192.0.2.15"
    assert b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n" in response(raised.value.message, 400, "Bad Via", None)


def test_txn_09_the_ack_to_a_failure() -> None:
    failure = parse(response(INVITE, 486, "Busy Here", b"t"))
    assert ack_for(INVITE, failure) == (
        b"ACK sip:bob@example.com;x SIP/2.0\r\nVia: SIP/2.0/UDP us:5060;branch=z9hG4bKo;rport\r\nMax-Forwards: 70\r\n"
        b"Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nf: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=t\r\nCall-ID: c\r\n"
        b"CSeq: 42 ACK\r\nContent-Length: 0\r\n\r\n"
    )


def test_can_02_a_cancel_has_nothing_but_what_belongs_to_the_branch() -> None:
    m = parse(cancel_for(INVITE, [b"SIP;cause=200"]))
    assert (m.method, m.uri, m.via_count, m.via.branch, m.cseq) == ("CANCEL", INVITE.uri, 1, b"z9hG4bKo", 42)
    assert m.values("Route") == [b"<sip:p1;lr>", b"<sip:p2;lr>"] and m.to_value == b"<sip:b@x>"
    assert not m.has("Require") and not m.has("Proxy-Require") and m.body == b""


def test_can_10_reasons_are_copied() -> None:
    assert parse(cancel_for(INVITE, [b"SIP;cause=200", b"Q.850;cause=16"])).all_lines("Reason") == [
        b"SIP;cause=200",
        b"Q.850;cause=16",
    ]


def test_every_code_has_a_reason() -> None:
    assert (reason_for(486), reason_for(499), reason_for(699)) == ("Busy Here", "Bad Request", "Busy Everywhere")
    assert all(reason_for(code) for code in range(100, 700)) and list(REASONS) == sorted(REASONS)


def plainly(m: SipMessage, status: int, tag: bytes | None, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """`response` once more, line by line in Python, of a request that is well-formed."""

    def lines(name: str, most: int = 99) -> list[bytes]:
        return [m.raw[m.span(i)[0] : m.span(i)[3]] for i in range(m.lines) if canonical(m.line(i)[0]) == name][:most]

    _, _, value_end, end = m.span(m.find("To"))
    to = lines("to", 1)[0]
    if tag and status != 100 and m.to_tag is None:
        to = to[: len(to) - (end - value_end)] + b";tag=" + tag + m.raw[value_end:end]
    given = {canonical(name) for name, _ in headers}
    made = [b"SIP/2.0 %d Reason\r\n" % status, *lines("via")]
    made += lines("record-route") if 100 < status < 300 and m.method in ("INVITE", "SUBSCRIBE", "REFER") else []
    made += [*lines("from", 1), to, *lines("call-id", 1), *lines("cseq", 1)]
    made += lines("timestamp", 1) if status == 100 else []
    copied = 200 <= status < 300 and m.method in ("SUBSCRIBE", "PUBLISH") and "expires" not in given
    made += lines("expires", 1) if copied else []
    made += [header_line(name, value) for name, value in headers if canonical(name) != "content-length"]
    made += [b"Server: siphond\r\n"] if "server" not in given else []
    return b"".join([*made, b"Content-Length: %d\r\n\r\n" % len(body), body])


VALUES = ["x", " x", "x\t", "", "\x01x", "h\xe9", "\udce9", "<sip:a@b>;expires=5", "y" * 3000]


@pytest.mark.parametrize("seed", range(40))
def test_a_response_of_any_size_is_what_its_lines_are(seed: int) -> None:
    random = Random(seed)
    method = random.choice(["INVITE", "SUBSCRIBE", "PUBLISH", "REGISTER", "REFER"])
    raw = RAW.replace(b"INVITE", method.encode())
    if seed % 3 == 0:
        more = range(random.choice([1, 20, 60]))
        raw = raw.replace(b"v: ", b"".join([b"v: SIP/2.0/UDP %d\r\n" % i for i in more]) + b"v: ")
    m = parse(raw if seed % 5 else raw.replace(b"<sip:b@x> ", b"<sip:b@x>;tag=old"))
    for status in (100, 180, 200, 404):
        names = random.sample(["Contact", "m", "Server", "Expires", "l", "X-Y", "Date"], random.randrange(6))
        headers = [(name, random.choice(VALUES)) for name in names]
        body, tag = random.choice([b"", b"hi", b"z" * 5000]), random.choice([None, b"", b"t", b"u" * 40])
        assert response(m, status, "Reason", tag, headers, body, "siphond") == plainly(m, status, tag, headers, body)


def test_each_server_has_its_line() -> None:
    for server in ("one", "two/1.0", "one", " padded "):
        assert parse(response(INVITE, 200, "OK", b"t", server=server)).first("Server") == server.strip().encode()
    for evil in ("x\r\nEvil: 1", "x\n"):
        for _ in range(2):
            with pytest.raises(ValueError, match="CR, LF or NUL"):
                response(INVITE, 200, "OK", b"t", server=evil)
