"""The recipe, word for word, as script."""

import gc
from pathlib import Path

import pytest
from script_kit import Bench, credentials, header, sip

from siphon.script.outcome import Answer, Fork, Relay

RECIPE = Path(__file__).parents[1] / "recipe.py"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, path=RECIPE)


def register(bench, contact="<sip:bob@192.0.2.7:5060>", cseq=1):
    raw = sip("REGISTER", "sip:example.com", f"Contact: {contact}", sender="<sip:bob@example.com>;tag=r", cseq=cseq)
    challenge = header(bench.route(raw).action, "WWW-Authenticate")
    value = credentials(challenge, "bob", "secret", "REGISTER", "sip:example.com")
    return bench.route(raw.replace(b"Contact:", f"Authorization: {value}\r\nContact:".encode()))


def test_a_request_out_of_hops_is_dropped_silently(bench):
    assert bench.route(sip("OPTIONS", "sip:example.com", max_forwards=0)).action is None


def test_prx_31_options_to_us_gets_200_with_allow_contact_accept_and_supported(bench):
    answer = bench.route(sip("OPTIONS", "sip:example.com")).action
    assert (answer.status, answer.reason) == (200, "OK")
    assert header(answer, "Contact") == "<sip:127.0.0.1:5060>"
    assert "INVITE, ACK, CANCEL, BYE" in header(answer, "Allow")
    assert (header(answer, "Accept"), header(answer, "Supported")) == ("*/*", "path")


def test_auth_01_register_without_credentials_is_challenged_401_statelessly(bench):
    answer = bench.route(sip("REGISTER", "sip:example.com", "Contact: <sip:bob@192.0.2.7>")).action
    assert (answer.status, answer.reason, answer.stateless) == (401, "Unauthorized", True)
    assert header(answer, "WWW-Authenticate").startswith('Digest realm="example.com", nonce="')


def test_register_with_credentials_is_saved_and_answered_with_its_binding(bench):
    outcome = register(bench)
    assert (outcome.action.status, outcome.auth_user) == (200, "bob")
    assert header(outcome.action, "Contact").startswith("<sip:bob@192.0.2.7:5060>;expires=3600")
    assert header(outcome.action, "Expires") == "3600"
    assert header(outcome.action, "Date").endswith("GMT")


def test_an_invite_to_a_registered_user_is_forked_to_the_contact_and_record_routed(bench):
    register(bench)
    outcome = bench.route(sip("INVITE"))
    assert isinstance(outcome.action, Fork)
    assert [target.uri for target in outcome.action.targets] == ["sip:bob@192.0.2.7:5060"]
    assert outcome.action.strategy == "parallel"
    assert outcome.record_route
    assert outcome.edited is False


def test_a_call_leaves_no_garbage_cycles(bench):
    register(bench)
    bench.route(sip())
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            bench.route(sip())
            bench.route(sip("INVITE", "sip:nobody@example.com;x=1"))
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_invite_to_nobody_is_404(bench):
    answer = bench.route(sip("INVITE", "sip:nobody@example.com")).action
    assert (answer.status, answer.reason, answer.stateless) == (404, "Not Found", False)


def test_an_invite_without_user_is_484(bench):
    assert bench.route(sip("INVITE", "sip:example.com")).action.status == 484


def test_an_in_dialog_request_with_our_signed_route_is_relayed(bench):
    token = bench.signer.sign_record_route(b"call-1@192.0.2.7", "127.0.0.1", 5060).decode()
    route = f"Route: <sip:127.0.0.1:5060;lr;rrs={token}>"
    outcome = bench.route(sip("BYE", "sip:bob@192.0.2.7:5060", route, to="<sip:bob@example.com>;tag=b1"))
    assert isinstance(outcome.action, Relay)
    assert outcome.consumed_routes == [f"sip:127.0.0.1:5060;lr;rrs={token}"]
    assert b"Route" not in outcome.message


@pytest.mark.parametrize("routes", [(), ("Route: <sip:127.0.0.1:5060;lr>",), ("Route: <sip:192.0.2.99;lr>",)])
def test_an_in_dialog_request_without_a_route_of_ours_is_404(bench, routes):
    outcome = bench.route(sip("BYE", "sip:bob@192.0.2.7:5060", *routes, to="<sip:bob@example.com>;tag=b1"))
    assert isinstance(outcome.action, Answer)
    assert (outcome.action.status, outcome.action.reason) == (404, "Not Here")
    assert outcome.consumed_routes == []
