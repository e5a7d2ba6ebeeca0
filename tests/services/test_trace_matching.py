"""Which messages belong to a trace."""

import pytest

from siphon.services.tracing.matching import CALLS, Wanted, call_id_of


def message(start="INVITE sip:bob@example.com SIP/2.0", call_id="one", sender="alice", to="bob", name="Call-ID"):
    lines = (
        start,
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        f"From: <sip:{sender}@example.com>;tag=1",
        f"To: <sip:{to}@example.com>",
        f"{name}: {call_id}",
        f"CSeq: 1 {'BYE' if start.startswith('BYE') else 'INVITE'}",
        "Max-Forwards: 70",
        "Content-Length: 0",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_call_is_its_call_id_and_no_other():
    wanted = Wanted("one")
    assert wanted.has(message()) and wanted.has(message("SIP/2.0 180 Ringing"))
    assert not wanted.has(message(call_id="ONE")) and not wanted.has(message(call_id="one2"))


@pytest.mark.parametrize("name", ["Call-ID", "call-id", "I", "i "])
def test_a_call_id_is_found_by_each_name_of_its_header_and_never_in_a_body(name):
    assert call_id_of(message(name=name, call_id=" x@y ")) == b"x@y"
    assert call_id_of(b"INVITE x SIP/2.0\r\nFrom: a\r\n\r\nCall-ID: body\r\n") == b""


def test_what_the_parser_refuses_belongs_to_its_call_all_the_same():
    assert Wanted("one").has(b"INVITE sip:\xff SIP/2.0\r\nCall-ID: one\r\nCSeq: nonsense\r\n\r\n")
    assert not Wanted("sip:bob@example.com").has(b"INVITE sip:bob@example.com SIP/2.0\r\nCSeq: nonsense\r\n\r\n")


@pytest.mark.parametrize("text", ["sip:bob@example.com", "bob@example.com", "<sip:bob@EXAMPLE.com:5060;lr>"])
@pytest.mark.parametrize(
    "told",
    [
        message(),
        message("SIP/2.0 200 OK"),
        message(sender="bob", to="carol", start="BYE sip:carol@192.0.2.7 SIP/2.0"),
        message(to="carol"),
    ],
)
def test_an_address_of_record_is_found_in_from_to_and_request_uri(text, told):
    assert Wanted(text).has(told)


def test_an_address_of_record_is_found_by_its_contacts_and_the_call_is_followed_from_then_on():
    wanted = Wanted("sip:bob@example.com")
    forwarded = message("INVITE sip:b@192.0.2.9:5062 SIP/2.0", to="sales")
    answer = message("SIP/2.0 180 Ringing", to="sales")
    assert not wanted.has(forwarded) and not wanted.has(answer)
    wanted.contacts = frozenset([b"sip:b@192.0.2.9:5062"])
    assert wanted.has(forwarded) and wanted.has(answer)
    assert not wanted.has(message("SIP/2.0 180 Ringing", to="sales", call_id="two"))


def test_the_calls_that_are_remembered_are_bounded():
    wanted = Wanted("sip:bob@example.com")
    for number in range(3 * CALLS):
        assert wanted.has(message(call_id=f"c{number}"))
    assert len(wanted.calls) == CALLS and f"c{3 * CALLS - 1}".encode() in wanted.calls
