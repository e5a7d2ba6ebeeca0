"""The tables of an instance: made, taken over from an earlier run, or joined while another siphond has them in use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shm.slots import Slots
from shm.table import LayoutMismatch, NoSpace, SharedMemoryError, Table
from siphon.cli import directory, level
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import COUNTERS, SLOTS, SLOTS_FILE, TableSize
from workers.application import Flag


def open_tables(
    place: Path, sizes: Sequence[TableSize], boot: bytes, fresh: bool, joins: bool
) -> tuple[Slots, dict[str, Table]]:
    """The slot table, and the others by name. Refusal where they do not fit; with `joins` nothing in them changes."""
    try:
        if joins:
            return Slots.attach(place / SLOTS_FILE), {size.name: join(place, size, boot) for size in sizes}
        slots = Slots.create(place / SLOTS_FILE, slots=SLOTS, counters=COUNTERS, fresh=fresh)
        slots.lower_flags(Flag.STATE_AWAY | level.MASK)  # of an earlier run
        slots.raise_flags(Flag.STARTING)
        made = {size.name: create(place, size, boot, fresh) for size in sizes}
        directory.note_boot(place, boot)
        return slots, made
    except NoSpace as error:
        raise Refusal(Exit.NO_SHARED_MEMORY, f"no shared memory: {error}") from None
    except SharedMemoryError as error:
        raise Refusal(Exit.CONFIGURATION, f"shared memory does not fit: {error}") from None
    except OSError as error:
        raise Refusal(Exit.NO_SHARED_MEMORY, f"no shared memory: {error}") from None


def join(place: Path, size: TableSize, boot: bytes) -> Table:
    """A table that another siphond has in use; one that it does not know is made. What does not fit names the
    setting."""
    if not (place / size.name).exists():
        return create(place, size, boot, fresh=False)
    try:
        return Table.join(place / size.name, **shape(size, boot))
    except LayoutMismatch as error:
        raise LayoutMismatch(f"{error} ({size.key}): this needs a stop and a start") from None


def create(place: Path, size: TableSize, boot: bytes, fresh: bool) -> Table:
    """Makes one table, or goes on with the one that is there. What does not fit names the setting."""
    try:
        return Table.create(place / size.name, fresh=fresh, **shape(size, boot))
    except LayoutMismatch as error:
        if ": records is " not in str(error):  # damaged, or of another program: no setting helps
            raise
        journal = "; without this file registrations come back from the journal" if size.name == "location" else ""
        raise LayoutMismatch(f"{error}, or give {size.key} its old value{journal}") from None


def shape(size: TableSize, boot: bytes) -> dict[str, Any]:
    """What must be the same for a file to be this table."""
    return {
        "records": size.records,
        "blocks": size.blocks,
        "slots": SLOTS,
        "boot_id": boot,
        "reserve_blocks": size.reserve_blocks,
        "wall_expiry": size.wall_expiry,
        "marked": size.marked,
        "block_bytes": size.block_bytes,
    }
