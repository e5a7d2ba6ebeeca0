"""Taking an Authorization value apart (AUTH-17)."""

from __future__ import annotations

import time

import pytest

from siphon.services.digest.credentials import Credentials, parse_credentials


def read(value: bytes) -> Credentials:
    credentials = parse_credentials(value)
    assert credentials is not None
    return credentials


def test_auth_17_the_usual_form_parses() -> None:
    found = read(b'Digest username="bob", realm="example.com", nonce="n", uri="sip:x", response="r", nc=00000001')
    assert found.value("username") == b"bob"
    assert found.value("nc") == b"00000001"
    assert not found.faulty


@pytest.mark.parametrize(
    "value",
    [
        b'digest username="a,b",realm="x"',
        b'DIGEST\tUserName = "a,b" , REALM="x",,',
        b'Digest ,username="a,b" ,unknown="1",stranger=2,realm=x',
        b'Digest username="a,b",, ,realm=x',
    ],
)
def test_auth_17_commas_spaces_case_and_unknown_parameters_are_free(value: bytes) -> None:
    found = read(value)
    assert found.value("username") == b"a,b"
    assert found.value("realm") == b"x"
    assert not found.faulty


def test_auth_17_quoted_pairs_are_resolved_and_kept_raw() -> None:
    found = read(rb'Digest username="a\"b\\c", realm="x"')
    assert found.value("username") == rb'a"b\c'
    assert found.raw("username") == rb"a\"b\\c"
    assert found.has_escapes


@pytest.mark.parametrize("name", [b"response", b"nonce", b"realm"])
def test_auth_17_a_parameter_that_stands_twice_is_a_fault(name: bytes) -> None:
    found = read(b'Digest realm="x", %b="1", %b="1"' % (name, name.upper()))
    assert found.faulty
    assert found.value("realm") == b"x"


@pytest.mark.parametrize(
    "value", [b'Digest realm="x', b"Digest realm", b'Digest realm="x" nonce="y"', b'Digest ="x"', b'Digest realm="x"y']
)
def test_auth_17_what_cannot_be_read_is_a_fault(value: bytes) -> None:
    assert read(value).faulty


@pytest.mark.parametrize("value", [b"Basic YWxpY2U6c2VjcmV0", b"NoOneKnowsThisScheme opaque-data=here", b"", b"Digest"])
def test_auth_14_another_scheme_is_never_looked_at(value: bytes) -> None:
    assert parse_credentials(value) is None


def test_auth_15_an_extended_user_name_is_accepted() -> None:
    assert read(b"Digest username*=UTF-8''J%C3%A4s%C3%B8n, realm=x").user() == "Jäsøn".encode()
    assert read(b"Digest username*=ISO-8859-1''x, realm=x").user() is None


@pytest.mark.parametrize(
    "value", [b'Digest realm="' + b"\\" * 65535, b"Digest " + b"a=1," * 16000, b"Digest " + b'"' * 65000]
)
def test_sec_11_hostile_values_take_linear_time(value: bytes) -> None:
    took: list[float] = []
    while len(took) < 5 or (min(took) >= 0.05 and len(took) < 20):
        before = time.process_time()
        parse_credentials(value)
        took.append(time.process_time() - before)
    assert min(took) < 0.05, "on a processor that others leave alone for a moment"
