"""Keys on their way from any process to one that waits for them: pipes, made before fork; nobody waits for a pipe.

A key has 16 bytes, so a write is whole or not at all (PIPE_BUF) and a writer that is killed leaves no half of one. A
key that does not fit is dropped, and one that was read is lost with its reader: what they say is a hint, and who waits
looks by itself a little later (siphon/engine/sending.py, siphon/engine/changes.py). Every process inherits all pipes.
"""

from __future__ import annotations

import os
from contextlib import suppress

KEY_BYTES = 16
READ_KEYS = 512


class Wake:
    """One pipe: both ends. Whoever made it closes it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def tell(self, key: bytes) -> None:
        """Say that this record is worth a look."""
        with suppress(BlockingIOError):
            os.write(self.writing, key)

    def keys(self) -> list[bytes]:
        """What has been said since; at most READ_KEYS at a time."""
        try:
            data = os.read(self.reading, READ_KEYS * KEY_BYTES)
        except BlockingIOError:
            return []
        return [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]

    def close(self) -> None:
        """Both ends."""
        os.close(self.reading)
        os.close(self.writing)


class Wakes:
    """A pipe for each slot of an instance; a process reads its own slot's only."""

    def __init__(self, slots: int) -> None:
        self._pipes = [Wake() for _ in range(slots)]

    def reader(self, slot: int) -> int:
        """The descriptor that is readable when somebody has woken the slot."""
        return self._pipes[slot].reading

    def wake(self, slot: int, key: bytes) -> None:
        """Give the slot a hint; never waits."""
        if slot < len(self._pipes):
            self._pipes[slot].tell(key)

    def read(self, slot: int) -> list[bytes]:
        """The keys that have come, at most a batch of them."""
        return self._pipes[slot].keys()

    def close(self) -> None:
        """Close all of them."""
        for pipe in self._pipes:
            pipe.close()
