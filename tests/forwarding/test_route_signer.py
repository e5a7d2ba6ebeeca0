"""Tokens of our Record-Route and Path values."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarding._tokens import KEPT
from siphon.forwarding.signer import RouteSigner

SIGNER = RouteSigner([b"new secret", b"old secret"])
CALL_IDS = st.binary(min_size=1, max_size=60)
HOSTS = st.sampled_from(["192.0.2.1", "proxy.example.com", "2001:db8::1"])
PORTS = st.integers(1, 65535)


@given(CALL_IDS, HOSTS, PORTS)
def test_a_record_route_token_verifies_for_what_it_was_made_of(call_id, host, port):
    token = SIGNER.sign_record_route(call_id, host, port)
    assert SIGNER.verify_record_route(token, call_id, host, port)
    assert len(token) * 4 >= 64


@given(CALL_IDS, HOSTS, PORTS)
def test_a_record_route_token_verifies_for_nothing_else(call_id, host, port):
    token = SIGNER.sign_record_route(call_id, host, port)
    assert not SIGNER.verify_record_route(token, call_id + b"x", host, port)
    assert not SIGNER.verify_record_route(token, call_id, "198.51.100.1", port)
    assert not SIGNER.verify_record_route(token, call_id, host, port % 65535 + 1)
    assert not SIGNER.verify_path(token, None, host, port)


@given(st.none() | st.text(max_size=20), HOSTS, PORTS)
def test_a_path_token_is_bound_to_user_host_and_port(user, host, port):
    token = SIGNER.sign_path(user, host, port)
    assert SIGNER.verify_path(token, user, host, port)
    assert not SIGNER.verify_path(token, (user or "") + "x", host, port)
    assert not SIGNER.verify_path(token, user, host, port % 65535 + 1)


def test_no_user_and_an_empty_user_are_different():
    assert not SIGNER.verify_path(SIGNER.sign_path(None, "192.0.2.1", 5060), "", "192.0.2.1", 5060)


def test_older_secrets_verify_and_do_not_sign():
    old, foreign = RouteSigner([b"old secret"]), RouteSigner([b"foreign"])
    facts = (b"call-1", "192.0.2.1", 5060)
    assert SIGNER.verify_record_route(old.sign_record_route(*facts), *facts)
    assert not old.verify_record_route(SIGNER.sign_record_route(*facts), *facts)
    assert not SIGNER.verify_record_route(foreign.sign_record_route(*facts), *facts)


def test_the_writing_of_a_host_does_not_matter():
    token = SIGNER.sign_record_route(b"call-1", "2001:DB8:0::1", 5060)
    assert SIGNER.verify_record_route(token, b"call-1", "[2001:db8::1]", 0)
    assert SIGNER.verify_record_route(token.upper(), b"call-1", "2001:db8::1", 5060)


@given(st.binary(max_size=40))
def test_made_up_tokens_never_verify(token):
    assert not SIGNER.verify_record_route(token, b"call-1", "192.0.2.1", 5060)


@pytest.mark.parametrize("secrets", [[], [b""], [b"secret", b""]])
def test_a_signer_without_a_secret_is_refused(secrets):
    with pytest.raises(ValueError, match="needs a secret"):
        RouteSigner(secrets)


@given(CALL_IDS, HOSTS, PORTS)
def test_a_token_is_a_truncated_hmac(call_id, host, port):
    key = hmac.digest(b"secret", b"siphond routes", "sha256")
    text = b"rrs\0%b\0%d\0%b" % (host.encode(), port, call_id)
    assert (
        RouteSigner([b"secret"]).sign_record_route(call_id, host, port)
        == hmac.digest(key, text, "sha256")[:10].hex().encode()
    )


def test_the_texts_that_are_remembered_are_bounded():
    signer = RouteSigner([b"secret"])
    for number in range(2 * KEPT + 1):
        signer.sign_record_route(b"%d" % number, "192.0.2.1", 5060)
    assert 0 < len(signer.known) <= KEPT
