"""A pipe for each slot, made before fork: other processes write the key of a record that a process waits for.

A key has 16 bytes, so a write is whole or not at all (PIPE_BUF) and a writer that is killed leaves no half of one. A
pipe that is full, or whose reader has died, swallows the hint: the waiter looks by itself (siphon/engine/sending.py).
Every process inherits all pipes and reads its own slot's only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

KEY_BYTES = 16
READ_BYTES = 256 * KEY_BYTES


class Wakes:
    """The pipes of an instance."""

    def __init__(self, slots: int) -> None:
        self._pipes = [os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) for _ in range(slots)]

    def reader(self, slot: int) -> int:
        """The descriptor that is readable when somebody has woken the slot."""
        return self._pipes[slot][0]

    def wake(self, slot: int, key: bytes) -> None:
        """Give the slot a hint; never waits."""
        if slot < len(self._pipes):
            with contextlib.suppress(BlockingIOError):
                os.write(self._pipes[slot][1], key)

    def read(self, slot: int) -> Iterator[bytes]:
        """The keys that have come, at most a batch of them."""
        try:
            data = os.read(self._pipes[slot][0], READ_BYTES)
        except BlockingIOError:
            return
        for start in range(0, len(data) - KEY_BYTES + 1, KEY_BYTES):
            yield data[start : start + KEY_BYTES]

    def close(self) -> None:
        """Close all of them."""
        for pair in self._pipes:
            for descriptor in pair:
                os.close(descriptor)
