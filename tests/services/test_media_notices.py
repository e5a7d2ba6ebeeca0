"""What RTPEngine tells by itself, as version 10.5 of Debian 12 sends it, and what anybody else may send."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siphon.services.media.notices import Dtmf, MediaTimeout, dtmf_of, timeout_of

DIGIT = (
    b'{"callid":"c1","source_tag":"a","tags":["a","b"],"type":"DTMF","timestamp":1795666444,"source_ip":"127.0.0.1",'
    b'"event":5,"duration":100,"volume":10}'
)
CLOSED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\r\n<methodCall>\r\n<methodName>%b</methodName>\r\n<params>\r\n'
    b"%b</params>\r\n</methodCall>\r\n"
)
PARAM = b"<param><value><string>%b</string></value></param>\r\n"


def test_a_digit():
    assert dtmf_of(DIGIT) == Dtmf("c1", "a", "5", 100, 10)


@pytest.mark.parametrize(("event", "digit"), [(0, "0"), (9, "9"), (10, "*"), (11, "#"), (12, "A"), (15, "D")])
def test_events_of_rfc_4733_are_digits(event, digit):
    assert dtmf_of(DIGIT.replace(b'"event":5', b'"event":%d' % event)).digit == digit


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"[]", b"5", b"null", b"\xff", b"[" * 60_000),
        *(DIGIT.replace(b"DTMF", b"other"), DIGIT.replace(b":5,", b":16,"), DIGIT.replace(b":5,", b":-1,")),
        *(DIGIT.replace(b":5,", b":true,"), DIGIT.replace(b'"c1"', b"7"), DIGIT.replace(b":100", b':"100"')),
    ],
    ids=lambda data: data[:20],
)
def test_what_is_no_digit_is_none(data):
    assert dtmf_of(data) is None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda i: st.lists(i) | st.dictionaries(st.text(), i))
)
def test_any_json_is_a_digit_or_none(value):
    assert dtmf_of(json.dumps(value).encode()) is None


def test_a_call_closed_for_want_of_media():
    values = b"".join(PARAM % one for one in (b"c1&amp;&lt;x", b"a", b"b"))
    assert timeout_of(CLOSED % (b"dlg.terminate_dlg", values)) == MediaTimeout("c1&<x", "a")
    assert timeout_of(CLOSED % (b"teardown", PARAM % b"c1")) == MediaTimeout("c1", "")


@pytest.mark.parametrize(
    "body",
    [b"", b"<methodName>x</methodName>", CLOSED % (b"di", PARAM % b"c1"), CLOSED % (b"teardown", b""), b"<" * 60_000],
    ids=lambda body: body[:20],
)
def test_what_is_no_such_call_is_none(body):
    assert timeout_of(body) is None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=80))
def test_any_bytes_are_an_event_or_none(data):
    dtmf_of(data)
    timeout_of(data)
    timeout_of(CLOSED % (b"teardown", data))
