"""CRC32C and the checksum made of it."""

import random

import pytest

from shm._table import checksum_of

# RFC 3720 appendix B.4, and the check value of the CRC catalogue.
VECTORS = [
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("data", "value"), VECTORS)
def test_crc32c_gives_the_published_values(data, value, soft):
    assert checksum_of(data, soft=soft) == value


def test_table_and_instruction_agree_on_every_length():
    data = random.Random(1).randbytes(1100)
    for length in range(len(data)):
        for plain in (True, False):
            assert checksum_of(data[:length], plain=plain) == checksum_of(data[:length], plain=plain, soft=True)


def test_every_flipped_bit_changes_the_checksum():
    data = random.Random(2).randbytes(600)
    right = checksum_of(data, plain=False)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert checksum_of(bytes(flipped), plain=False) != right
