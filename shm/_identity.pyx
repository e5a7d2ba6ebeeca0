# cython: language_level=3, cdivision=True
"""What a table's file is: its sizes, where everything lies in it, and why a file is not the one that is wanted.

In: how many records, blocks and slots. Out: an Identity (_layout.pxd), as it stands in the first page of the file.
Raises ValueError for sizes that cannot be. Nothing here maps or changes a file.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from shm._crc cimport checksum
from shm._layout cimport *

BLOCK_SIZES = tuple(1 << bits for bits in range(BLOCK_BITS_LEAST, BLOCK_BITS_MOST + 1))

cdef bytes MAGIC = b"siphshm\n"


cdef int plan(Identity *p, bytes boot_id, records, blocks, slots, reserve_blocks, reserve_records, wall_expiry,
              bint marked, int block_bytes) except -1:
    """Fill in an identity: sizes and where everything lies."""
    cdef uint32_t buckets = 64
    if not 1 <= records < 1 << 29 or not 1 <= blocks < 1 << 29 or not 1 <= slots <= 255:
        raise ValueError("records and blocks must be 1..2^29-1, slots 1..255")
    if not 0 <= reserve_blocks < blocks or not 0 <= reserve_records < records:
        raise ValueError("a reserve must be smaller than what it is a part of")
    if len(boot_id) != 16:
        raise ValueError("boot_id must be 16 bytes")
    if block_bytes not in BLOCK_SIZES:
        raise ValueError(f"a block has {', '.join(map(str, BLOCK_SIZES))} bytes")
    while buckets < records:
        buckets *= 2
    memset(p, 0, sizeof(Identity))
    memcpy(p.magic, PyBytes_AS_STRING(MAGIC), 8)
    memcpy(p.boot_id, PyBytes_AS_STRING(boot_id), 16)
    p.layout = LAYOUT_VERSION
    p.records = records
    p.blocks = blocks
    p.slots = slots
    p.buckets = buckets
    p.stripes = buckets if buckets < 1024 else 1024
    p.reserve_blocks = reserve_blocks
    p.reserve_records = reserve_records
    p.block_bits = block_bytes.bit_length() - 1
    p.wall_expiry = 1 if wall_expiry else 0
    p.notes_at = PAGE
    p.stripes_at = p.notes_at + p.slots * sizeof(Note)
    p.buckets_at = p.stripes_at + p.stripes * sizeof(Stripe)
    p.headers_at = rounded(p.buckets_at + <uint64_t>p.buckets * 8, PAGE)
    p.states_at = rounded(p.headers_at + <uint64_t>(p.records + 1) * sizeof(Header), PAGE)
    p.blocks_at = rounded(p.states_at + <uint64_t>(p.blocks + 1) * sizeof(BlockState), PAGE)
    p.size = rounded(p.blocks_at + <uint64_t>(p.blocks + 1) * block_bytes, PAGE)
    if marked:
        p.marks_at = p.size
        p.size = rounded(p.marks_at + rounded(p.records + 1, PAGE) + (p.records >> MARK_BITS) + 1, PAGE)
    p.earliest_at = p.size
    p.size = rounded(p.earliest_at + (<uint64_t>(p.records >> GROUP_BITS) + 1) * 8, PAGE)
    p.check = identity_check(p)
    return 0


cdef uint32_t identity_check(const Identity *p) noexcept:
    cdef Identity q
    memcpy(&q, p, sizeof(Identity))
    q.check = 0
    return checksum(&q, sizeof(Identity), LAYOUT_VERSION)


def file_size(*, int records, int blocks, int slots=64, bint marked=False, int block_bytes=512):
    """How many bytes a table of this size takes."""
    cdef Identity p
    plan(&p, bytes(16), records, blocks, slots, 0, 0, False, marked, block_bytes)
    return p.size


cdef str differences(const Identity *have, const Identity *want):
    """What keeps a file from being used, or an empty text."""
    cdef list found = []
    if memcmp(have.magic, want.magic, 8) != 0:
        return "it is no table of siphond"
    if have.layout != want.layout:
        return f"its layout is version {have.layout}, this program writes version {want.layout}"
    if have.check != identity_check(have):
        return "its first page is damaged"
    if memcmp(have.boot_id, want.boot_id, 16) != 0:
        return "it is of an earlier start of the machine (the boot id differs)"
    for name, had, wanted in (
        ("records", have.records, want.records), ("blocks", have.blocks, want.blocks), ("slots", have.slots, want.slots),
        ("reserve_blocks", have.reserve_blocks, want.reserve_blocks), ("wall_expiry", have.wall_expiry, want.wall_expiry),
        ("reserve_records", have.reserve_records, want.reserve_records), ("marks", have.marks_at, want.marks_at),
        ("bytes of a block", 1 << have.block_bits, 1 << want.block_bits), ("bytes", have.size, want.size),
    ):
        if had != wanted:
            found.append(f"{name} is {had}, wanted is {wanted}")
    return "; ".join(found)


cdef str differs(fd, path, const Identity *want):
    cdef Identity have
    cdef bytes raw = os.pread(fd, sizeof(Identity), 0)
    cdef str text
    if <size_t>len(raw) < sizeof(Identity):
        return "it is too short"
    memcpy(&have, PyBytes_AS_STRING(raw), sizeof(Identity))
    text = differences(&have, want)
    if not text and os.fstat(fd).st_size != <int64_t>want.size:
        text = f"it is {os.fstat(fd).st_size} bytes long, not {want.size}"
    return text


cdef Identity found_in(fd):
    """What the file says it is; zeros when it is too short to say."""
    cdef Identity have
    cdef bytes raw = os.pread(fd, sizeof(Identity), 0)
    memset(&have, 0, sizeof(Identity))
    if <size_t>len(raw) == sizeof(Identity):
        memcpy(&have, PyBytes_AS_STRING(raw), sizeof(Identity))
    return have


cdef Identity ours(const Identity *have):
    """What a file of these sizes must be for this program to use it."""
    cdef Identity want
    memcpy(&want, have, sizeof(Identity))
    memcpy(want.magic, PyBytes_AS_STRING(MAGIC), 8)
    want.layout = LAYOUT_VERSION
    return want
