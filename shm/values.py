"""What the table and the slots hand out: plain values, no shared memory behind them.

Times are CLOCK_BOOTTIME seconds; expiry is epoch seconds in a table made with wall_expiry. Versions are never reused.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class SharedMemoryError(Exception):
    """The shared memory cannot be used; the text says why and what to do."""


class LayoutMismatch(SharedMemoryError):
    """The file is of another program version, boot or size."""


class NoSpace(SharedMemoryError):
    """The file system of the shared memory is too small."""


class SlotTaken(SharedMemoryError):
    """Another process has the slot, or none is free."""


class Action(NamedTuple):
    """The address of a C function `int (*)(void *)` and its argument."""

    function: int
    argument: int


class Head(NamedTuple):
    version: int
    owner: int
    next_deadline: float
    claim_deadline: float
    expiry: float


class Place(NamedTuple):
    """What lies at a header, by its number. `value` None: nothing; then the other fields say nothing either."""

    number: int
    version: int
    owner: int
    next_deadline: float
    expiry: float
    value: bytes | None


class RecoveryReport(NamedTuple):
    slot: int
    alive: bool  # a process has the slot: nothing was done
    complete: bool  # False: a lock was not to be had within 50 ms, call again
    operation: str  # what the dead process was doing: none, insert, replace, delete
    headers: int  # returned
    blocks: int  # returned


class VerifyReport(NamedTuple):
    records: int
    bad_records: int
    bad_buckets: int
    unreachable: int
    quarantined: int
    busy: int
    blocks_free: int
    blocks_used: int
    blocks_at_hand: int
    blocks_quarantined: int
    blocks_lost: int
    headers_free: int
    headers_at_hand: int
    headers_lost: int
    lists_wrong: int

    @property
    def sound(self) -> bool:
        """Nothing damaged, nothing lost, nothing left out."""
        damaged = self.bad_records or self.bad_buckets or self.unreachable or self.lists_wrong
        return not (damaged or self.blocks_lost or self.headers_lost or self.busy)


class TableStats(NamedTuple):
    records: int
    records_max: int
    blocks_free: int
    blocks_max: int
    reserve_blocks: int
    corrupt: int  # damage found, of any kind
    quarantined: int  # records out of use
    full: int  # commits refused for want of room
    busy: int  # waits that ended after 1 ms
    conflicts: int
    inherited: int  # mutexes whose holder had died
    mended: int  # mutexes, chains and lists made anew
    recovered: int  # slots put right
    version: int
    bytes: int


class SlotCondition(Enum):
    FREE = 0  # nobody was ever in it, or it was left in order
    TAKEN = 1  # entered and not left: alive or dead, the pid and the heart tell
    DAMAGED = 2


@dataclass(frozen=True, slots=True)
class SlotState:
    index: int
    pid: int
    generation: int
    heartbeat: float
    busy: bool
    critical_since: float  # 0.0 outside
    in_handler_since: float  # 0.0 outside
    state: SlotCondition
    starts: int
    flags: int
