"""The journal's bytes: what was written reads back, and whatever happened to a file, its intact part is used."""

import os
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.values import Place
from siphon.services.journal.frames import (
    FIRST,
    FORMAT,
    FRAME,
    FRAME_MAGIC,
    HEAD_BYTES,
    BadHead,
    Head,
    OtherFormat,
    frame,
    head_of,
    place_at,
)
from siphon.services.journal.reading import CHUNK, Newest, Walk, last_end, place_of
from siphon.services.store import RECORD_LIMIT

HEAD = Head("edge-1", b"12345678", 100, b"saltsalt", 1.5e9)


def reader(data):
    return lambda at, length: data[at : at + length]


def walked(data, head=HEAD, start=0):
    walk = Walk(reader(data), start, len(data), head)
    return walk, list(walk)


def place(number, value=b"v", version=1):
    return Place(number, version, 3, 10.5, 310.5, value)


def frames(*places):
    return b"".join(frame(one, HEAD.seed) for one in places)


def test_a_head_reads_back_from_either_copy():
    data = HEAD.to_bytes()
    assert len(data) == FIRST == 2 * HEAD_BYTES
    assert head_of(data) == HEAD
    assert head_of(bytes(HEAD_BYTES) + data[HEAD_BYTES:]) == HEAD
    assert head_of(data[:HEAD_BYTES]) == HEAD


@pytest.mark.parametrize("data", [b"", b"siphjrnl", bytes(FIRST), os.urandom(FIRST)])
def test_what_is_no_head_is_said_to_be_none(data):
    with pytest.raises(BadHead):
        head_of(data)


def test_another_format_is_not_a_damage():
    data = bytearray(HEAD.to_bytes()[:HEAD_BYTES].rstrip(b"\0"))
    struct.pack_into("<I", data, 8, FORMAT + 1)
    length = struct.unpack_from("<I", data, 12)[0]
    data = data.ljust(length, b"\0")
    struct.pack_into("<I", data, length - 4, zlib.crc32(data[: length - 4]))
    with pytest.raises(OtherFormat, match=f"format {FORMAT + 1}, this program writes format {FORMAT}"):
        head_of(bytes(data))


@given(st.integers(0, FIRST - 1), st.integers(1, 255))
def test_one_damaged_byte_costs_no_head(at, change):
    data = bytearray(HEAD.to_bytes())
    data[at] ^= change
    assert head_of(bytes(data)) == HEAD


values = st.none() | st.binary(max_size=600)
places = st.builds(
    Place,
    st.integers(1, 100),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    values,
)


@given(st.lists(places, max_size=20))
def test_frames_read_back(written):
    walk, found = walked(frames(*written))
    assert [(one.number, one.version, one.value) for _, one in found] == [
        (one.number, one.version, one.value) for one in written
    ]
    assert all(got == one for (_, got), one in zip(found, written, strict=True) if one.value is not None)
    assert (walk.damaged, walk.torn, walk.end) == (0, 0, walk.size)


@given(st.lists(places, min_size=1, max_size=8), st.data())
def test_a_file_cut_anywhere_keeps_the_frames_before_the_cut(written, data):
    whole = frames(*written)
    cut = data.draw(st.integers(0, len(whole)))
    walk, found = walked(whole[:cut])
    assert len(found) == sum(len(frames(*written[: count + 1])) <= cut for count in range(len(written)))
    assert walk.damaged == 0 and walk.end + walk.torn == cut
    assert walk.end == len(frames(*written[: len(found)]))


@settings(max_examples=300)
@given(st.lists(places, min_size=1, max_size=8), st.binary(min_size=1, max_size=200), st.data())
def test_random_bytes_anywhere_cost_the_frames_they_touch_and_no_others(written, noise, data):
    whole = bytearray(frames(*written))
    at = data.draw(st.integers(0, len(whole) - 1))
    noise = noise[: len(whole) - at]
    whole[at : at + len(noise)] = noise
    starts = [len(frames(*written[:count])) for count in range(len(written) + 1)]
    untouched = [
        (starts[n], one.number, one.value)
        for n, one in enumerate(written)
        if starts[n + 1] <= at or starts[n] >= at + len(noise)
    ]
    walk, found = walked(bytes(whole))
    assert [
        (start, one.number, one.value) for start, one in found if start in {s for s, _, _ in untouched}
    ] == untouched
    assert all(one.value in [w.value for w in written] for _, one in found), "a frame was invented"
    assert walk.damaged + sum(len(frame(one, HEAD.seed)) for _, one in found) + walk.torn == len(whole)


@given(st.binary(max_size=4000))
def test_noise_alone_is_no_frame_and_no_error(noise):
    walk, found = walked(noise)
    assert found == [] and walk.torn == len(noise)


def test_a_value_that_holds_a_frame_is_not_taken_for_one_behind_a_damage():
    """Who chooses a Contact does not know the salt, so the frame that he builds into it has a wrong checksum."""
    forged = frame(place(9, b"forged"), zlib.crc32(b"guessed!"))
    whole = bytearray(frames(place(1, b"before" + forged + b"after"), place(2, b"good")))
    whole[5] ^= 1
    _, found = walked(bytes(whole))
    assert [one.number for _, one in found] == [2]


def test_a_frame_that_speaks_of_a_place_the_table_has_not_is_damage():
    walk, found = walked(frames(place(101), place(100)))
    assert [one.number for _, one in found] == [100] and walk.gaps == 1
    assert place_at(frame(place(0), HEAD.seed), 0, FRAME + 1, HEAD.seed) is None


def test_damage_is_found_across_the_chunks_of_a_long_file():
    written = [place(number % 100 + 1, os.urandom(40_000), number) for number in range(80)]
    whole = bytearray(frames(*written))
    for at in range(CHUNK - 30, len(whole), CHUNK):
        whole[at : at + 60] = FRAME_MAGIC * 15
    walk, found = walked(bytes(whole))
    assert walk.gaps == len(range(CHUNK - 30, len(whole), CHUNK)) and len(found) >= 80 - 2 * walk.gaps
    assert walk.damaged > 40_000 * walk.gaps and walk.torn == 0


def test_a_part_that_the_disk_does_not_give_back_is_damage():
    whole = frames(*(place(n, bytes([n]) * 3000) for n in range(1, 21)))

    def read(at, length):
        if at < 9000 < at + length:
            raise OSError(5, "Input/output error")
        return whole[at : at + length]

    walk = Walk(read, 0, len(whole), HEAD)
    numbers = [one.number for _, one in walk]
    assert set(range(1, 21)) - set(numbers) == {3, 4, 5} and walk.damaged > 0


def test_the_last_end_is_found_from_the_tail_of_a_long_file():
    body = frames(*(place(1, os.urandom(RECORD_LIMIT), n) for n in range(40)))
    whole = HEAD.to_bytes() + body
    asked = []

    def read(at, length):
        asked.append(at)
        return (whole + b"half a frame")[at : at + length]

    assert last_end(read, len(whole) + 12, HEAD) == len(whole)
    assert min(asked) > len(whole) // 2
    assert last_end(reader(whole[:FIRST]), FIRST, HEAD) == FIRST


def test_the_last_end_is_found_before_a_long_run_of_garbage_too():
    whole = HEAD.to_bytes() + frames(place(1))
    assert last_end(reader(whole + bytes(1 << 20)), len(whole) + (1 << 20), HEAD) == len(whole)


def test_of_each_place_the_last_frame_holds_and_the_latest_change_comes_first():
    written = [place(1, b"a", 1), place(2, b"b", 2), place(3, b"c", 9), place(1, b"d", 4), place(2, None, 5)]
    data = frames(*written)
    offsets = Newest(Walk(reader(data), 0, len(data), HEAD)).offsets()
    assert [place_of(reader(data), at, HEAD).value for at in offsets] == [b"c", b"d"]


def test_a_single_frame_reads_back_however_long():
    data = frames(place(1, os.urandom(RECORD_LIMIT)), place(2))
    assert place_of(reader(data), 0, HEAD).number == 1
    assert place_of(reader(data), FRAME + RECORD_LIMIT, HEAD).number == 2
    assert place_of(reader(data), 5, HEAD) is None and place_of(reader(data), len(data), HEAD) is None
