"""The table of shared memory: see `_table.pyx` for the strategy and docs/decisions/shared-memory.md for the choices."""

from shm._identity import file_size
from shm._table import BLOCK_BYTES, KEY_BYTES, MAX_VALUE, Table
from shm._table import BUSY_ as BUSY
from shm._table import CONFLICT_ as CONFLICT
from shm._table import FULL_ as FULL
from shm.values import (
    Action,
    Head,
    LayoutMismatch,
    NoSpace,
    RecoveryReport,
    SharedMemoryError,
    SlotTaken,
    TableStats,
    VerifyReport,
)

__all__ = [
    "BLOCK_BYTES",
    "BUSY",
    "CONFLICT",
    "FULL",
    "KEY_BYTES",
    "MAX_VALUE",
    "Action",
    "Head",
    "LayoutMismatch",
    "NoSpace",
    "RecoveryReport",
    "SharedMemoryError",
    "SlotTaken",
    "Table",
    "TableStats",
    "VerifyReport",
    "file_size",
]
