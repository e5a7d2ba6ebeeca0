"""The Outcome that is made in C where handlers edited nothing: never another than finishing.py makes."""

import pytest
from script_kit import SOURCE, Bench, sip

from siphon.forwarding.own_routes import record_route_value
from siphon.script._running import plain_outcome
from siphon.script.finishing import outcome_of
from siphon.script.outcome import Answer
from siphon.sip.draft import Draft

FIELDS = (
    *("action", "provisionals", "reply_edits", "reply_body", "reply_to_tag", "message", "edited", "splices", "vars"),
    *("record_route", "vars_bytes", "auth_user", "consumed_routes", "error", "uri_set", "answer_to_source"),
    *("route_unsigned", "auth_failures", "confirms"),
)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def same(request):
    """The outcome of the short way, which is finishing's; None when it leaves the request to finishing."""
    made = plain_outcome(request)
    expected = outcome_of(request, [])
    if made is None:
        return None
    assert {name: getattr(made, name) for name in FIELDS} == {name: getattr(expected, name) for name in FIELDS}
    assert (made.parsed and made.parsed.raw) == (expected.parsed and expected.parsed.raw)
    return made


def in_dialog(bench, **facts):
    identity, signer = bench.identity, bench.services.signer
    ours = record_route_value(identity.sent_by(bench.listener), b"c1", signer).decode()
    raw = sip("BYE", "sip:bob@192.0.2.9", f"Route: {ours}", to="<sip:b@h>;tag=b1")
    return bench.request(raw.replace(b"Call-ID: ", b"Call-ID: c1\r\nX-Was: ", 1), **facts)


@pytest.mark.parametrize(
    "handler",
    [
        lambda r: r.relay(),
        lambda r: r.relay("sip:gw.example.com", timeout=7),
        lambda r: r.fork(["sip:a@192.0.2.7"]),
        lambda r: (r.record_route(), r.fork(["sip:a@192.0.2.7", "sip:b@192.0.2.8"], "sequential", timeout=3)),
        lambda r: (r.set_reply_to_tag("abc"), r.set_reply_header("X", "1"), r.relay()),
        lambda r: (setattr(r, "auth_user", "bob"), r.fix_nated_register(), r.relay()),
        lambda r: (r.force_send_via("udp", "host.example:5070"), r.relay()),
        lambda r: (r.loose_route(), r.relay()),
    ],
)
def test_what_forwards_and_edits_nothing_is_plain(bench, handler):
    for request in (bench.request(sip("INVITE")), bench.request(sip("INVITE"), vars=b"\x81\xa1a\x01", auth_user="al")):
        handler(request)
        assert same(request) is not None


def test_a_consumed_route_is_plain(bench):
    request = in_dialog(bench)
    assert request.loose_route()
    request.relay()
    made = same(request)
    assert made is not None and made.edited and b"Route" not in made.message and made.consumed_routes


@pytest.mark.parametrize(
    "handler",
    [
        lambda r: r.reply(404),
        lambda r: r.reply(200, "Fine"),
        lambda r: (r.set_reply_to_tag("abc"), r.fix_nated_register(), r.reply(302)),
        lambda r: r._arm(Answer(200, "OK", headers=[("Contact", "<sip:a@h>"), ("Expires", "60")])),
        lambda r: r._arm(Answer(401, "Unauthorized", stateless=True, headers=[("WWW-Authenticate", "Digest")])),
        lambda r: (take_credentials(r), setattr(r, "auth_user", "al"), r.reply(200)),
    ],
)
def test_a_small_answer_to_a_request_that_was_not_edited_is_plain(bench, handler):
    for method in ("REGISTER", "MESSAGE", "BYE"):
        request = bench.request(sip(method, "sip:example.com", "Authorization: Digest x=1"))
        handler(request)
        made = same(request)
        assert (made is None) == (request._draft is not None and method != "REGISTER")


@pytest.mark.parametrize(
    "handler",
    [
        lambda r: (r.set_reply_header("X", "1"), r.reply(200)),
        lambda r: (r.set_reply_body("x", "text/plain"), r.reply(200)),
        lambda r: (take_credentials(r), r.set_header("X", "1"), r.reply(200)),
        lambda r: (r.set_header("X", "1"), r.reply(200)),
        lambda r: (r.vars.update(a=1), r.reply(200)),
        lambda r: r._arm(Answer(200, "OK", headers=[("X", "y" * 5000)])),
        lambda r: r._arm(Answer(200, "OK", body=b"y" * 5000)),
        lambda r: r.reply(100),
    ],
)
def test_an_answer_that_is_more_is_left_to_finishing(bench, handler):
    request = bench.request(sip("REGISTER", "sip:example.com", "Authorization: Digest x=1"))
    handler(request)
    assert same(request) is None


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
def test_an_answer_that_is_completed_is_left_to_finishing(bench, method):
    request = bench.request(sip(method))
    request.reply(200)
    assert same(request) is None


def take_credentials(request):
    request._draft = Draft.lacking(request._message, request._message.find("Authorization"))


@pytest.mark.parametrize(
    "handler",
    [
        lambda r: None,
        lambda r: (r.set_header("X", "1"), r.relay()),
        lambda r: (r.vars.update(a=1), r.relay()),
        lambda r: (r.set_ruri("sip:x@h"), r.relay()),
        lambda r: (r.fork([]),),
    ],
)
def test_what_is_more_is_left_to_finishing(bench, handler):
    request = bench.request(sip("INVITE"))
    handler(request)
    assert same(request) is None


def test_properties_after_an_edit_are_those_of_the_edited_message(bench):
    request = bench.request(sip("INVITE", "sip:bob@h"))
    assert (request.max_forwards, request.source_ip, request.source_port) == (70, *SOURCE)
    request.set_header("Max-Forwards", "5")
    request.set_header("Call-ID", "other")
    assert (request.max_forwards, request.call_id) == (5, "other")
