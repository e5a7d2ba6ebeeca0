"""Keyed hashes as hashlib makes them, and the cipher of To tags."""

from hashlib import blake2b
from random import Random

import pytest

from siphon.sip._blake import Cipher, Keyed, hash_of

LENGTHS = [1, 2, 63, 64, 127, 128, 129, 255, 256, 257, 300, 4096]


@pytest.mark.parametrize("size", [1, 8, 16, 32, 64])
@pytest.mark.parametrize("key_bytes", [1, 16, 32, 64])
def test_every_length_hashes_as_hashlib_does(size, key_bytes):
    random = Random(size * 100 + key_bytes)
    key = random.randbytes(key_bytes)
    for person in (b"", b"1", b"sixteen bytes ok"):
        keyed = Keyed(key, size, person)
        for data in map(random.randbytes, LENGTHS):
            assert keyed.digest(data) == blake2b(data, digest_size=size, key=key, person=person).digest()


@pytest.mark.parametrize("arguments", [(b"", 16), (b"k" * 65, 16), (b"k", 0), (b"k", 65), (b"k", 16, b"p" * 17)])
def test_what_hashlib_refuses_is_refused(arguments):
    with pytest.raises(ValueError):
        Keyed(*arguments)


@pytest.mark.parametrize("size", [1, 8, 64])
def test_a_hash_without_a_key_is_that_of_hashlib(size):
    random = Random(size)
    for data in map(random.randbytes, [0, *LENGTHS]):
        assert hash_of(data, size) == blake2b(data, digest_size=size).digest()
    for wrong in (0, 65, -1):
        with pytest.raises(ValueError):
            hash_of(b"x", wrong)


def test_nothing_is_not_hashed():
    with pytest.raises(ValueError):
        Keyed(b"k", 16).digest(b"")


def test_a_cipher_is_undone_by_its_key_only():
    random = Random(1)
    for _ in range(100):
        plain = random.randbytes(16)
        enciphered = Cipher(b"k" * 16).encipher(plain)
        assert enciphered != plain
        assert Cipher(b"k" * 16).decipher(enciphered) == plain
        assert Cipher(b"l" * 16).decipher(enciphered) != plain


def test_the_rounds_of_a_cipher_are_hashes_of_the_other_half():
    key, left, right = b"a key of a node", b"12345678", b"abcdefgh"
    for number in (b"1", b"2", b"3", b"4"):
        mask = blake2b(right, digest_size=8, key=key, person=number).digest()
        left, right = right, bytes(a ^ b for a, b in zip(left, mask, strict=True))
    assert Cipher(key).encipher(b"12345678abcdefgh") == left + right


@pytest.mark.parametrize("length", [0, 15, 17])
def test_sixteen_bytes_are_enciphered(length):
    with pytest.raises(ValueError):
        Cipher(b"k").encipher(bytes(length))
    with pytest.raises(ValueError):
        Cipher(b"k").decipher(bytes(length))
