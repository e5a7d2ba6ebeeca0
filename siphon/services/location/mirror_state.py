"""What the helper that mirrors another store tells the other processes: a page of memory that all inherit.

One process writes, the mirror; the others read single words of eight bytes, which are written at once. A position is
the version up to which a partition of the store has been applied here.
"""

from __future__ import annotations

import mmap
import struct

PARTITIONS = 64
_SIZE = 4096
_READY, _SECRET, _KNOWN, _DIFFERENCE, _BEAT, _FIRST = 0, 1, 2, 3, 4, 8
_EPOCH_SHIFT = 40


def version_of(epoch: int, number: int) -> int:
    """An epoch of the store and the number of a change in it, as one number that grows."""
    return epoch << _EPOCH_SHIFT | number


def epoch_of(version: int) -> int:
    return version >> _EPOCH_SHIFT


def number_of(version: int) -> int:
    return version & (1 << _EPOCH_SHIFT) - 1


def version_from(text: bytes) -> int:
    """From "epoch-number", as the store writes it; 0 for nothing. ValueError for anything else."""
    if not text:
        return 0
    epoch, _, number = text.partition(b"-")
    if not (epoch.isdigit() and number.isdigit()) or len(epoch) > 7 or len(number) > 12:
        raise ValueError("not a version")
    return version_of(int(epoch), int(number))


def version_text(version: int) -> bytes:
    """As the store writes it; b"" for 0."""
    return b"%d-%d" % (epoch_of(version), number_of(version)) if version else b""


class MirrorState:
    """Made before fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self._words = memoryview(self._memory).cast("Q")

    def position(self, partition: int) -> int:
        """The version up to which this partition is mirrored."""
        return self._words[_FIRST + partition]

    def set_position(self, partition: int, version: int) -> None:
        self._words[_FIRST + partition] = version

    @property
    def ready(self) -> bool:
        """Whether the mirror has been complete and equal since the start."""
        return bool(self._words[_READY])

    @ready.setter
    def ready(self, value: bool) -> None:
        self._words[_READY] = int(value)

    @property
    def secret(self) -> int:
        """How often the instance's secret has changed since the start."""
        return self._words[_SECRET]

    def secret_changed(self) -> None:
        self._words[_SECRET] += 1

    def store_time(self, boottime: float, wall: float) -> float:
        """The store's time; this machine's as long as the store's has never been known."""
        if not self._words[_KNOWN]:
            return wall
        return boottime + float(struct.unpack("d", struct.pack("Q", self._words[_DIFFERENCE]))[0])

    def set_difference(self, seconds: float) -> None:
        """The store's clock less CLOCK_BOOTTIME."""
        self._words[_DIFFERENCE] = struct.unpack("Q", struct.pack("d", seconds))[0]
        self._words[_KNOWN] = 1
