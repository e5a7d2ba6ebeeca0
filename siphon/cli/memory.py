"""How large the shared tables are, and whether there is room for them.

Sizes follow from the settings alone, so that a restart finds its tables fitting. What a record takes on average is
estimated here: a table that runs out of blocks before records refuses new work in the same way.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from shm.table import BLOCK_BYTES, file_size
from siphon.cli.exits import Exit, Refusal
from siphon.config.settings import Settings

SLOTS = 64
COUNTERS = 128
"""Rows and columns of the slot table: the same for every configuration, workers.count must fit."""

SLOTS_FILE = "slots"
TRANSACTIONS = "transactions"


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table. `key` is the setting that its size comes from; `wall_expiry`: its records expire by wall time;
    `marked`: a helper follows its changes; `block_bytes`: its values take whole blocks of so many bytes."""

    name: str
    key: str
    records: int
    blocks: int
    reserve_blocks: int
    wall_expiry: bool
    marked: bool
    block_bytes: int

    @property
    def size(self) -> int:
        """Bytes of its file."""
        sizes = {"records": self.records, "blocks": self.blocks, "slots": SLOTS, "block_bytes": self.block_bytes}
        return file_size(**sizes, marked=self.marked)


def need(settings: Settings) -> list[TableSize]:
    """The tables of an instance, in the order of Shared."""
    shared = settings.shared
    largest = -(-shared.record_bytes // BLOCK_BYTES)
    sources = max(64, shared.max_transactions // 8)
    reserve = max(settings.workers.count * largest, shared.max_transactions * 3 // 16)
    bindings = 2 * shared.max_bindings + max(shared.max_bindings // 4, min(shared.max_bindings, 1024))
    hints = max(1024, shared.max_transactions // 4)
    return [
        # An INVITE takes four to six blocks while it is set up, one or two afterwards; any other request one.
        _table(
            "transactions", "max_transactions", shared.max_transactions, 3 * shared.max_transactions + reserve, reserve
        ),
        # A binding takes two records: its address of record's, up to six blocks where the contact has an instance, and
        # the way there from its contact, one. A sixteenth of the table is for those that are there already; the rest
        # of what is more is for what processes keep at hand, aliases, and longer records.
        _table("location", "max_bindings", bindings, bindings * 10 // 3, -1, wall=True, marked=True, block_bytes=64),
        # A nonce takes one block; one that is used again and again one for each five uses of the last 32 s.
        _table("nonces", "max_nonces", shared.max_nonces, 2 * shared.max_nonces, -1, wall=True, block_bytes=64),
        _table("dialogs", "max_dialogs", shared.max_dialogs, 2 * shared.max_dialogs, -1, wall=True, block_bytes=128),
        _table("timers", "max_timers", shared.max_timers, shared.max_timers, -1),
        _table("media", "max_media_calls", shared.max_media_calls, shared.max_media_calls, -1),
        # Names, and one request in four that is answered here. The reserve is for names.
        _table("hints", "max_transactions", hints, hints, hints // 4, wall=True),
        # One source's count in a window takes a block, a list of its live transactions up to four.
        _table("limits", "max_transactions", sources, 2 * sources, -1),
        _table("bans", "max_transactions", max(512, sources), max(512, sources), -1, wall=True),
        # A series and its labels take a block mostly, a definition with many of them up to four.
        _table("metrics", "max_metrics", shared.max_metrics, 2 * shared.max_metrics, -1),
        _table("caches", "max_cache_entries", shared.max_cache_entries, 2 * shared.max_cache_entries, 0),
        # A record a group, of some blocks, and one a priority that takes turns.
        _table("gateways", "max_gateway_groups", 4 * shared.max_gateway_groups + 1, 12 * shared.max_gateway_groups, -1),
        _table("cdrs", "max_cdrs", shared.max_cdrs, 2 * shared.max_cdrs, 0, wall=True),
    ]


def _table(
    name: str,
    key: str,
    records: int,
    blocks: int,
    reserve: int,
    wall: bool = False,
    marked: bool = False,
    block_bytes: int = BLOCK_BYTES,
) -> TableSize:
    at_hand = 64 * SLOTS if blocks > 64 * SLOTS else 0  # what the processes keep at hand is not lost to others
    return TableSize(name, f"shared.{key}", records, blocks + at_hand, reserve, wall, marked, block_bytes)


def require_room(settings: Settings) -> None:
    """Refusal NO_SHARED_MEMORY where the tables do not fit; what they take already counts as room."""
    place = nearest_directory(settings.shared.path)
    tables = need(settings)
    wanted = sum(table.size for table in tables)
    there = sum(_allocated(settings.shared.path / table.name) for table in tables)
    free = free_bytes(place) + there
    if wanted > free:
        largest = max(tables, key=lambda table: table.size)
        value = getattr(settings.shared, largest.key.removeprefix("shared."))
        raise Refusal(
            Exit.NO_SHARED_MEMORY,
            f"no shared memory: the tables need {megabytes(wanted)}, {place} has {megabytes(free)} free; "
            f"lower {largest.key} (now {value}), or give its file system more (docker: --shm-size)",
        )


def _allocated(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def free_bytes(place: Path) -> int:
    """What a file system has left for us."""
    facts = os.statvfs(place)
    return facts.f_bavail * facts.f_frsize


def nearest_directory(path: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    while not os.path.isdir(path):  # False as well where we may not look
        path = path.parent
    return path


def megabytes(size: int) -> str:
    """A size for people, never rounded down to nothing."""
    for unit, scale in (("GB", 1 << 30), ("MB", 1 << 20)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1024:.1f} kB"
