"""The digest `uri` against the Request-URI (AUTH-11)."""

from __future__ import annotations

import pytest
from digest_server import Server
from phone import Phone


@pytest.mark.parametrize(
    ("uri", "request_uri"),
    [
        ("sip:example.com", "sip:EXAMPLE.com:5060;transport=udp"),
        ("sip:%61lice@example.com", "sip:alice@example.com;x=y"),
        ("sip:bob@[::1]", "sip:bob@[0:0::1]:5060"),
        ("sips:bob@example.com", "sips:bob@example.com:5061"),
    ],
)
def test_auth_11_equal_user_host_and_port_agree(uri: str, request_uri: str) -> None:
    server = Server()
    line = Phone(uri=uri).answer(server.challenge())
    assert server.verify(line, request_uri=request_uri.encode()).ok


@pytest.mark.parametrize(
    "uri", ["sip:bob@example.com", "sip:example.com:5070", "sip:example.org", "nonsense", "/index.html"]
)
def test_auth_11_strict_a_differing_uri_with_a_right_digest_is_a_bad_request(uri: str) -> None:
    server = Server()
    verdict = server.verify(Phone(uri=uri).answer(server.challenge()))
    assert (verdict.ok, verdict.bad_request, verdict.failed) == (False, True, False)


def test_auth_11_a_differing_uri_with_a_wrong_digest_only_fails() -> None:
    server = Server()
    assert server.verify(Phone(uri="sip:example.org", password="x").answer(server.challenge())).failed


def test_auth_11_lax_accepts_any_uri_of_a_local_host() -> None:
    server = Server(uri_check="lax")
    assert server.verify(Phone(uri="sip:bob@example.com:5070").answer(server.challenge())).ok
    assert server.verify(Phone(uri="sip:example.org").answer(server.challenge())).bad_request


@pytest.mark.parametrize(
    ("hashed", "written"),
    [
        ("sip:bob@[2001:db8::1]", "sip:bob@[2001:db8::1]"),
        ("sip:b%20b@example.com", '"sip:b%20b@example.com"'),
        ("sip:bob@example.com", r'"sip:bob@ex\ample.com"'),
        (r"sip:bob@ex\ample.com", r'"sip:bob@ex\ample.com"'),
        ("sip:bob@example.com;transport=udp?x=y", '"sip:bob@example.com;transport=udp?x=y"'),
    ],
)
def test_auth_11_quoted_escaped_and_ipv6_forms_are_hashed_as_sent_or_as_meant(hashed: str, written: str) -> None:
    server = Server()
    line = (
        Phone(uri=hashed).answer(server.challenge()).replace(b'uri="%b"' % hashed.encode(), b"uri=" + written.encode())
    )
    target = written.strip('"').replace("\\", "").partition(";")[0]
    assert server.verify(line, request_uri=target.encode()).ok
