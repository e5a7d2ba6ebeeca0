"""Sizes and offsets of what lies in shared memory. A number that changes here is a new LAYOUT_VERSION."""

import pytest

from shm._layout import VERSION, structures

LAYOUT_4 = {
    "Identity": (
        152,
        "magic 0 layout 8 check 12 boot_id 16 records 32 blocks 36 slots 40 stripes 44 buckets 48 reserve_blocks 52 "
        "reserve_records 56 wall_expiry 60 notes_at 64 stripes_at 72 buckets_at 80 headers_at 88 states_at 96 "
        "blocks_at 104 size 112 marks_at 120 birth 128 earliest_at 136 block_bits 144",
    ),
    "Control": (
        256,
        "version 0 allocator 64 guard 104 moving 108 free_blocks 112 free_headers 120 mender 128 mender_guard 168 "
        "relisting 172 filled 176 corrupt 192 quarantined 200 full 208 "
        "busy 216 conflicts 224 inherited 232 mended 240 recovered 248",
    ),
    "Note": (
        8448,
        "guard 0 generation 4 clean 8 operation 12 record 16 old_count 20 new_count 24 pid 28 critical_since 32 "
        "spare_blocks 40 spares 44 spare 48 old 256 fresh 4352",
    ),
    "Stripe": (64, "mutex 0 guard 40"),
    "Descriptor": (
        56,
        "version 0 owner 8 next_deadline 16 claim_deadline 24 expiry 32 first 40 length 44 value_check 48 check 52",
    ),
    "Header": (192, "mutex 0 guard 40 state 44 link 48 tag 56 a 64 key_high 120 b 128"),
    "BlockState": (16, "state 0 next 8"),
}


def test_the_layout_version_is_the_one_written_down_here():
    assert VERSION == 4
    assert sorted(structures()) == sorted(LAYOUT_4)


@pytest.mark.parametrize("name", sorted(LAYOUT_4))
def test_a_structure_has_its_size_and_offsets(name):
    size, fields = structures()[name]
    wanted_size, wanted = LAYOUT_4[name]
    assert size == wanted_size
    assert " ".join(f"{field} {at}" for field, at in fields.items()) == wanted


def test_a_header_is_three_cache_lines_and_the_walk_needs_only_the_first():
    size, fields = structures()["Header"]
    assert size % 64 == 0
    assert max(fields[name] for name in ("mutex", "guard", "state", "link", "tag")) < 64


def test_the_sections_of_a_table_do_not_overlap(table):
    end = 0
    for offset, size, count in table.sections().values():
        assert offset >= end
        end = offset + size * count
    assert end <= table.stats().bytes
    assert table.sections()["headers"][0] % 64 == 0
