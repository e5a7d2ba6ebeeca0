"""`from siphon import sdp` on messages (section 15.6)."""

import pytest
from script_kit import Bench, response, sip

from siphon import sdp
from siphon.script.reply import Reply
from siphon.sip.message import parse

BODY = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\na=sendrecv\r\n"
MIXED = b"--q\r\nContent-Type: text/plain\r\n\r\nhello\r\n--q\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--q--\r\n"


@pytest.fixture
def make(tmp_path):
    bench = Bench(tmp_path, "")
    return lambda body=BODY, kind="application/sdp": bench.request(
        sip("INVITE", "sip:b@h", f"Content-Type: {kind}", body=body)
    )


def sent(message):
    return parse(message._draft.to_bytes())


def test_the_message_changes_only_with_apply(make):
    request = make()
    one = sdp.parse(request)
    one.media[0].port = 5000
    assert (request.body, request._draft) == (BODY, None)
    one.apply(request)
    changed = BODY.replace(b"4000", b"5000")
    assert (request.body, sent(request).body) == (changed, changed)
    assert (request.content_type, request.get_header("Content-Length")) == ("application/sdp", str(len(changed)))


def test_a_description_may_go_into_another_message(make):
    reply = Reply(parse(response(200, "OK", "Content-Type: text/plain", body=b"x")), None)
    sdp.parse(make()).apply(reply)
    assert (reply.body, reply.content_type) == (BODY, "application/sdp")


def test_text_and_bytes_are_taken_and_nothing_gives_nothing():
    assert str(sdp.parse(BODY.decode())) == str(sdp.parse(BODY)) == BODY.decode()
    assert (str(sdp.parse("")), bytes(sdp.parse(b""))) == ("", b"")


def test_of_a_body_of_several_parts_it_is_that_part(make):
    request = make(MIXED % BODY, "multipart/mixed;boundary=q")
    one = sdp.parse(request)
    assert bytes(one) == BODY
    one.remove_media("audio")
    one.apply(request)
    assert request.body == MIXED % BODY[: BODY.index(b"m=")]
    assert request.content_type == "multipart/mixed;boundary=q"


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", "application/sdp"), (b"v=0\r\ns=\xff\r\n", "application/sdp"), (b"--q--", "multipart/mixed;boundary=q")],
)
def test_a_message_without_a_description_is_a_value_error(make, body, kind):
    with pytest.raises(ValueError):
        sdp.parse(make(body, kind))


@pytest.mark.parametrize("source", [None, 5, ["v=0"]])
def test_anything_else_is_a_type_error(source):
    with pytest.raises(TypeError):
        sdp.parse(source)
    with pytest.raises(TypeError):
        sdp.parse("v=0").apply(source)


def test_a_script_changes_what_is_relayed(tmp_path):
    bench = Bench(
        tmp_path,
        """
        from siphon import proxy, sdp
        @proxy.on_request
        def route(request):
            body = sdp.parse(request)
            body.remove_codecs(["PCMA"])
            body.apply(request)
            request.relay("sip:127.0.0.2:5090")
        """,
    )
    outcome = bench.route(sip("INVITE", "sip:b@h", "Content-Type: application/sdp", body=BODY))
    assert outcome.error is None
    assert b"m=audio 4000 RTP/AVP 0\r\n" in outcome.message
