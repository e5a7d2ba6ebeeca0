"""Bencoding: what was encoded is decoded, and nothing from the network does harm."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siphon.services.media.bencode import DEPTH, ITEMS, BadBencoding, decode, encode

VALUES = st.recursive(
    st.integers(-(10**18), 10**18) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_what_is_encoded_is_decoded(value):
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"i0e", 0),
        (b"i-42e", -42),
        (b"0:", b""),
        (b"le", []),
        (b"de", {}),
        (b"d6:result4:ponge", {"result": b"pong"}),
        (b"d1:z1:11:a1:2e", {"z": b"1", "a": b"2"}),
    ],
)
def test_known_values(data, value):
    assert decode(data) == value


def test_text_is_utf_8_and_surrogates_are_the_bytes_they_stand_for():
    assert encode("é\udcff") == b"3:\xc3\xa9\xff"
    assert decode(b"d1:\xff1:xe") == {"\udcff": b"x"}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"e", b"i", b"ie", b"i-e", b"i1", b"1", b"1:", b"5:abc", b"-1:a", b"l", b"d", b"d1:a", b"di1e1:ae"),
        *(b"i1ei2e", b"i 1e", b"i1_0e", b"i+1e", b" i1e", b"x", b"l" * 5000, b"d1:a" * 5000, b"9" * 5000 + b":"),
        b"i" + b"1" * 5000 + b"e",
        b"99999999999999999999:a",
        b"l" * (DEPTH + 2) + b"e" * (DEPTH + 2),
        b"l" + b"le" * (ITEMS + 1) + b"e",
    ],
    ids=lambda data: data[:12].decode(),
)
def test_what_is_no_value_is_refused(data):
    with pytest.raises(BadBencoding):
        decode(data)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60) | st.text("ilde0123456789:-", max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_refused(data):
    try:
        value = decode(data)
    except BadBencoding:
        return
    assert decode(encode(value)) == value


def test_what_cannot_be_encoded_is_a_type_error():
    with pytest.raises(TypeError):
        encode({"a": None})
