# cython: language_level=3
"""The layout of shared memory as numbers, for the test that holds it."""

from shm._layout cimport BlockState, Control, Descriptor, Header, Identity, LAYOUT_VERSION, Note, Stripe

VERSION = LAYOUT_VERSION


def structures():
    """{structure: (bytes, {field: offset})}."""
    return {
        "Identity": (sizeof(Identity), {
            "magic": <size_t>&(<Identity *>0).magic,
            "layout": <size_t>&(<Identity *>0).layout,
            "check": <size_t>&(<Identity *>0).check,
            "boot_id": <size_t>&(<Identity *>0).boot_id,
            "records": <size_t>&(<Identity *>0).records,
            "blocks": <size_t>&(<Identity *>0).blocks,
            "slots": <size_t>&(<Identity *>0).slots,
            "stripes": <size_t>&(<Identity *>0).stripes,
            "buckets": <size_t>&(<Identity *>0).buckets,
            "reserve_blocks": <size_t>&(<Identity *>0).reserve_blocks,
            "reserve_records": <size_t>&(<Identity *>0).reserve_records,
            "wall_expiry": <size_t>&(<Identity *>0).wall_expiry,
            "notes_at": <size_t>&(<Identity *>0).notes_at,
            "stripes_at": <size_t>&(<Identity *>0).stripes_at,
            "buckets_at": <size_t>&(<Identity *>0).buckets_at,
            "headers_at": <size_t>&(<Identity *>0).headers_at,
            "states_at": <size_t>&(<Identity *>0).states_at,
            "blocks_at": <size_t>&(<Identity *>0).blocks_at,
            "size": <size_t>&(<Identity *>0).size,
        }),
        "Control": (sizeof(Control), {
            "version": <size_t>&(<Control *>0).version,
            "allocator": <size_t>&(<Control *>0).allocator,
            "guard": <size_t>&(<Control *>0).guard,
            "moving": <size_t>&(<Control *>0).moving,
            "free_blocks": <size_t>&(<Control *>0).free_blocks,
            "free_headers": <size_t>&(<Control *>0).free_headers,
            "mender": <size_t>&(<Control *>0).mender,
            "mender_guard": <size_t>&(<Control *>0).mender_guard,
            "relisting": <size_t>&(<Control *>0).relisting,
            "corrupt": <size_t>&(<Control *>0).corrupt,
            "quarantined": <size_t>&(<Control *>0).quarantined,
            "full": <size_t>&(<Control *>0).full,
            "busy": <size_t>&(<Control *>0).busy,
            "conflicts": <size_t>&(<Control *>0).conflicts,
            "inherited": <size_t>&(<Control *>0).inherited,
            "mended": <size_t>&(<Control *>0).mended,
            "recovered": <size_t>&(<Control *>0).recovered,
        }),
        "Note": (sizeof(Note), {
            "guard": <size_t>&(<Note *>0).guard,
            "generation": <size_t>&(<Note *>0).generation,
            "clean": <size_t>&(<Note *>0).clean,
            "operation": <size_t>&(<Note *>0).operation,
            "record": <size_t>&(<Note *>0).record,
            "old_count": <size_t>&(<Note *>0).old_count,
            "new_count": <size_t>&(<Note *>0).new_count,
            "pid": <size_t>&(<Note *>0).pid,
            "critical_since": <size_t>&(<Note *>0).critical_since,
            "spare_blocks": <size_t>&(<Note *>0).spare_blocks,
            "spares": <size_t>&(<Note *>0).spares,
            "spare": <size_t>&(<Note *>0).spare,
            "old": <size_t>&(<Note *>0).old,
            "fresh": <size_t>&(<Note *>0).fresh,
        }),
        "Stripe": (sizeof(Stripe), {
            "mutex": <size_t>&(<Stripe *>0).mutex,
            "guard": <size_t>&(<Stripe *>0).guard,
        }),
        "Descriptor": (sizeof(Descriptor), {
            "version": <size_t>&(<Descriptor *>0).version,
            "owner": <size_t>&(<Descriptor *>0).owner,
            "next_deadline": <size_t>&(<Descriptor *>0).next_deadline,
            "claim_deadline": <size_t>&(<Descriptor *>0).claim_deadline,
            "expiry": <size_t>&(<Descriptor *>0).expiry,
            "first": <size_t>&(<Descriptor *>0).first,
            "length": <size_t>&(<Descriptor *>0).length,
            "value_check": <size_t>&(<Descriptor *>0).value_check,
            "check": <size_t>&(<Descriptor *>0).check,
        }),
        "Header": (sizeof(Header), {
            "mutex": <size_t>&(<Header *>0).mutex,
            "guard": <size_t>&(<Header *>0).guard,
            "state": <size_t>&(<Header *>0).state,
            "link": <size_t>&(<Header *>0).link,
            "tag": <size_t>&(<Header *>0).tag,
            "a": <size_t>&(<Header *>0).a,
            "key_high": <size_t>&(<Header *>0).key_high,
            "b": <size_t>&(<Header *>0).b,
        }),
        "BlockState": (sizeof(BlockState), {
            "state": <size_t>&(<BlockState *>0).state,
            "next": <size_t>&(<BlockState *>0).next,
        }),
    }
