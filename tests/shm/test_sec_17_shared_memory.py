"""Bytes altered in shared memory: found, counted, quarantined; nobody crashes, hangs or is served them."""

import ctypes
import json
import random

import pytest
from points_build import run_driver

from shm._layout import structures
from shm.table import BUSY, Table

KEY, OTHER = b"k" * 16, b"o" * 16
VALUE = random.Random(3).randbytes(1500)


def poke(table: Table, section: str, number: int, offset: int, data: bytes) -> None:
    start, size, _ = table.sections()[section]
    ctypes.memmove(table.c_address + start + number * size + offset, data, len(data))


def peek(table: Table, section: str, number: int) -> bytes:
    start, size, _ = table.sections()[section]
    return ctypes.string_at(table.c_address + start + number * size, size)


def find(table: Table, section: str, wanted: bytes) -> int:
    """The number of the structure that holds these bytes."""
    return next(i for i in range(table.sections()[section][2]) if wanted in peek(table, section, i))


@pytest.fixture
def record(table):
    table.commit(OTHER, 0, b"neighbour", owner=1)
    table.commit(KEY, 0, VALUE, owner=1)
    return find(table, "headers", KEY[:8])


def gone(table: Table) -> None:
    """The record reads as absent, is counted, and its key can be used again; the neighbour is unharmed."""
    assert table.get(KEY) is None
    assert table.stats().corrupt > 0
    version = table.commit(KEY, 0, b"again", owner=1)
    assert table.get(KEY) == (version, b"again")
    assert table.get(OTHER)[1] == b"neighbour"


@pytest.mark.parametrize("piece", [0, 1, 2])
def test_sec_17_an_altered_value_is_not_served(table, record, piece):
    block = find(table, "blocks", VALUE[512 * piece : 512 * piece + 476])
    poke(table, "blocks", block, 300, bytes([VALUE[512 * piece + 300] ^ 1]))
    gone(table)
    assert table.stats().quarantined == 1


@pytest.mark.parametrize("field", ["a", "b", "key_high"])
def test_sec_17_an_altered_descriptor_is_not_served(table, record, field):
    table.commit(KEY, table.get(KEY)[0], VALUE, owner=1)  # now b holds
    size, fields = structures()["Header"]
    before = peek(table, "headers", record)[fields[field]]
    poke(table, "headers", record, fields[field], bytes([before ^ 4]))
    if field == "a":
        assert table.get(KEY)[1] == VALUE  # the version before: nobody looks there
    else:
        found = table.get(KEY)
        assert found is None
        assert table.verify().bad_records + table.stats().quarantined == 1


def test_sec_17_every_byte_of_a_header_may_be_altered(make):
    table = make()
    size, fields = structures()["Header"]
    for offset in range(size):
        for mask in (1, 0x80, 0xFF):
            table.close()
            table = make(fresh=True)
            table.slot = 0
            table.commit(KEY, 0, VALUE, owner=1)
            record = find(table, "headers", KEY[:8])
            poke(table, "headers", record, offset, bytes([peek(table, "headers", record)[offset] ^ mask]))
            found = table.get(KEY)
            assert found in (None, BUSY) or found[1] == VALUE
            if not fields["mutex"] <= offset < fields["guard"]:
                again = table.commit(KEY, 0, b"again", owner=1) if found is None else found[0]
                assert again > 0
                assert table.get(KEY)[0] == again


def test_sec_17_a_guard_word_is_looked_at_before_the_mutex(table, record):
    fields = structures()["Header"][1]
    poke(table, "headers", record, fields["mutex"], random.Random(1).randbytes(40))
    poke(table, "headers", record, fields["guard"], b"\0\0\0\0")
    gone(table)


def test_sec_17_a_mutex_whose_holder_never_existed_is_not_waited_for_again(table, record):
    poke(table, "headers", record, 0, (0x3F_FF_00_00).to_bytes(4, "little"))
    gone(table)


@pytest.mark.parametrize("data", [bytes(8), b"\xff" * 8, b"\1" + bytes(7), random.Random(4).randbytes(8)])
def test_sec_17_an_altered_bucket_is_strung_anew(table, record, data):
    versions = {bytes([i]) * 16: table.commit(bytes([i]) * 16, 0, b"%d" % i, owner=1) for i in range(50)}
    for bucket in range(table.sections()["buckets"][2]):
        poke(table, "buckets", bucket, 0, data)
    assert table.verify().bad_buckets == table.sections()["buckets"][2]
    assert all(table.get(key) == (versions[key], b"%d" % key[0]) for key in versions)
    assert table.get(KEY)[1] == VALUE
    assert table.stats().corrupt > 30
    assert table.stats().quarantined == 0


def test_sec_17_altered_links_are_strung_anew(table, record):
    versions = {bytes([i]) * 16: table.commit(bytes([i]) * 16, 0, b"", owner=1) for i in range(50)}
    dice = random.Random(5)
    for number in range(64):
        poke(table, "headers", number, structures()["Header"][1]["link"], dice.randbytes(8))
    assert all(table.get(key) == (version, b"") for key, version in versions.items())
    new = {bytes([i]) * 16: table.commit(bytes([i]) * 16, 0, b"", owner=1) for i in range(200, 210)}
    assert all(version > 0 for version in new.values())
    for number in range(2000):
        assert table.get(number.to_bytes(8, "little") + b"absent!!") is None
    assert table.verify().sound


def test_sec_17_altered_stripes_are_made_anew(table, record):
    dice = random.Random(6)
    for stripe in range(table.sections()["stripes"][2]):
        poke(table, "stripes", stripe, 0, dice.randbytes(64))
    for key, value in ((KEY, VALUE), (OTHER, b"neighbour")):
        assert (table.get(key) or table.get(key))[1] == value
    assert table.stats().mended >= 1


def test_sec_17_the_allocator_survives_altered_words_and_lists(table, record):
    control = table.c_address + 512
    fields = structures()["Control"][1]
    for name in ("allocator", "guard", "moving", "free_blocks", "free_headers", "mender", "mender_guard"):
        for data in (b"\xff" * 8, b"\1" * 8, random.Random(7).randbytes(8)):
            ctypes.memmove(control + fields[name], data, 8)
            for number in range(12):
                key = bytes([200 + number]) * 16
                version = table.commit(key, 0, bytes(3000), owner=1)
                while version == BUSY:
                    version = table.commit(key, 0, bytes(3000), owner=1)
                assert table.delete(key, version) == 1
    assert table.get(KEY)[1] == VALUE
    table.slot = 1
    table.recover(0)
    assert table.verify().blocks_lost == 0


def test_sec_17_an_altered_state_word_loses_its_record_not_the_reader(table, record):
    block = find(table, "blocks", VALUE[512:988])
    poke(table, "states", block, 0, b"\x13")
    gone(table)


def test_sec_17_a_sweep_finds_what_nobody_asks_for(table, record):
    poke(table, "headers", record, structures()["Header"][1]["key_high"], b"zz")
    assert table.get(KEY) is None
    assert table.stats().quarantined == 0
    assert table.expire(1.0, 10) == 0
    assert table.stats().quarantined == 1
    assert table.owned(1) == [(OTHER, 1, 0.0)]


def test_sec_17_a_note_full_of_noise_is_recovered_from(table, record):
    table.slot = 1
    for seed in range(50):
        poke(table, "notes", 0, 4, random.Random(seed).randbytes(4000))
        poke(table, "notes", 0, structures()["Note"][1]["clean"], bytes(4))
        assert table.recover(0).complete
    poke(table, "notes", 0, 0, bytes(4))
    assert table.recover(0).complete
    assert table.get(KEY)[1] == VALUE
    report = table.verify()
    assert report.blocks_lost == 0
    assert report.bad_records == 0


def test_sec_17_an_exclusive_start_returns_what_was_quarantined(make, table, record):
    poke(table, "blocks", find(table, "blocks", VALUE[:476]), 0, b"????")
    gone(table)
    assert table.verify().blocks_quarantined == 3
    table.close()
    table = make()
    report = table.verify()
    assert report.sound
    assert (report.records, report.quarantined, report.blocks_quarantined) == (2, 0, 0)
    assert report.blocks_free + report.blocks_used == 256


@pytest.mark.parametrize("block_bytes", ["512", "64"])
@pytest.mark.parametrize("beside", ["alone", "beside"])
def test_sec_17_random_bytes_anywhere_never_crash_hang_or_lie(beside, block_bytes):
    report = json.loads(run_driver("noise_driver.py", beside, block_bytes, points=False))
    assert report["strikes"] >= 1000
    assert report["corrupt"] > 200
    assert report["wrong"] == 0


def test_sec_17_a_header_that_becomes_another_keys_meanwhile_never_lends_its_value():
    report = json.loads(run_driver("reused_driver.py", points=True))
    assert report["own"] >= 27  # those whose header nobody else had locked
    assert report["own"] + report["absent"] == 162
