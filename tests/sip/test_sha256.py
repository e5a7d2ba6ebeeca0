"""Hashes under a key as hmac makes them."""

import hmac
from random import Random

import pytest

from siphon.sip._sha256 import KeyedSha256


@pytest.mark.parametrize("key_bytes", [0, 1, 32, 63, 64, 65, 200])
def test_every_length_hashes_as_hmac_does(key_bytes):
    random = Random(key_bytes)
    key = random.randbytes(key_bytes)
    keyed = KeyedSha256(key)
    for data in map(random.randbytes, [*range(200), 255, 256, 257, 4096]):
        whole = hmac.digest(key, data, "sha256").hex().encode()
        assert keyed.digits(data, 32) == whole
        assert keyed.digits(data, 10) == whole[:20]


@pytest.mark.parametrize("count", [-1, 33])
def test_no_more_is_given_than_there_is(count):
    with pytest.raises(ValueError, match="32 bytes"):
        KeyedSha256(b"k").digits(b"data", count)
