"""The registrar and proxy example of the script interface, word for word (section 18)."""

from pathlib import Path

import pytest
from script_kit import Bench, credentials, header, response, sip

from siphon.script.outcome import Fork, Relay

URI = "sip:bob@example.com"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, path=Path(__file__).with_name("example.py"))


def with_credentials(bench, raw, method, uri, user):
    answer = bench.route(raw).action
    name = "Authorization" if answer.status == 401 else "Proxy-Authorization"
    value = credentials(answer.headers[0][1], user, "secret", method, uri)
    return bench.route(raw.replace(b"\r\nContent-Length", f"\r\n{name}: {value}\r\nContent-Length".encode()))


def test_prx_21_a_call_to_a_registered_user_is_forked_and_fails_to_voicemail(bench):
    contact = "Contact: <sip:bob@192.0.2.7:5060>"
    raw = sip("REGISTER", "sip:example.com", contact, sender="<sip:bob@example.com>;tag=r")
    assert with_credentials(bench, raw, "REGISTER", "sip:example.com", "bob").action.status == 200
    outcome = with_credentials(bench, sip(), "INVITE", URI, "alice")
    assert isinstance(outcome.action, Fork)
    assert (outcome.action.timeout, outcome.action.on_failure) == (25.0, "siphon_user_script:no_answer")
    assert (outcome.vars, outcome.record_route, outcome.auth_user) == ({"aor": URI}, True, "alice")
    request = bench.request(outcome.message, vars=outcome.vars_bytes)
    failed = bench.failure(response(486, "Busy Here"), request, per_relay=outcome.action.on_failure)
    assert failed.action == Relay("sip:voicemail.example.net")


def test_prx_21_a_local_user_without_binding_is_480(bench):
    assert with_credentials(bench, sip(), "INVITE", URI, "alice").action.status == 480


def test_prx_22_a_foreign_request_uri_is_403_after_authentication(bench):
    uri = "sip:x@elsewhere.example"
    assert bench.route(sip("INVITE", uri)).action.status == 407
    assert with_credentials(bench, sip("INVITE", uri), "INVITE", uri, "alice").action.status == 403


def test_a_preset_route_naming_us_is_dropped_and_the_request_served(bench):
    raw = sip("INVITE", URI, "Route: <sip:127.0.0.1:5060;lr>")
    outcome = with_credentials(bench, raw, "INVITE", URI, "alice")
    assert outcome.action.status == 480
    assert b"Route" not in outcome.message


def test_in_dialog_without_our_route_is_481(bench):
    assert bench.route(sip("BYE", URI, to=f"<{URI}>;tag=b1")).action.status == 481


def test_a_method_without_handler_is_405(bench):
    assert not bench.runtime.handles("PUBLISH")
    assert bench.runtime.methods()[:3] == ["INVITE", "ACK", "CANCEL"]


def test_on_reply_lets_responses_pass(bench):
    assert bench.reply(response(180)).passed
    assert header(bench.route(sip("REGISTER", "sip:example.com")).action, "WWW-Authenticate")
