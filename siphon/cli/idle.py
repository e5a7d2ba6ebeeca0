"""Whether an instance that drains may stop: no server transaction is left without its final answer.

The supervisor asks ten times a second, looks at the table without a lock and for a short time only: a transaction
found without a final is asked for first the next time, and a long table is gone through in several steps.
"""

import time
from collections.abc import Callable

from shm.table import Table
from siphon.state import layout

BUDGET_SECS = 0.01
STEP = 200
_FLAGS, _FINAL_STATUS = 2, 5
"""Places of the flags and of the final status in the fixed part; a test holds them."""


class Idle:
    """Called by the supervisor; `table` is a view of the transactions."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.monotonic) -> None:
        self.table = table
        self.clock = clock
        self.waiting: bytes | None = None
        self.cursor = 0

    def __call__(self) -> bool:
        if self.waiting is not None and self.unfinished(self.waiting):
            return False
        self.waiting = None
        return self.go_on()

    def go_on(self) -> bool:
        """True when the end of the table was reached and nothing was found."""
        end = self.clock() + BUDGET_SECS
        while self.clock() < end:
            keys, self.cursor = self.table.keys(STEP, self.cursor)
            for key in keys:
                if self.unfinished(key):
                    self.waiting, self.cursor = key, 0
                    return False
            if not self.cursor:
                return True
        return False

    def unfinished(self, key: bytes) -> bool:
        found = self.table.get(key)
        if found is None:
            return False
        if isinstance(found, int):
            return True
        return final_status(found[1]) == 0


def final_status(record: bytes) -> int:
    """Of the bytes of a record; -1 for one that nobody waits for: a damaged one, which nobody will finish, or a request
    of our own (who waits for that is a handler of a server transaction, or may be cut off)."""
    if len(record) < layout.FIXED.size:
        return -1
    fixed = layout.FIXED.unpack_from(record)
    return -1 if fixed[_FLAGS] & layout.OWN else int(fixed[_FINAL_STATUS])
