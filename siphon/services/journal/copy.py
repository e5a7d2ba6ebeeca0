"""A journal with an account of what is in it, and the whole of a table written at once.

The account is the length of each place's last frame: 4 bytes a place. It says how much of the file is of use, and which
places need no frame when there is nothing in them.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from shm.values import Place
from siphon.services.journal.file import DISK, Disk, Draft, JournalFile
from siphon.services.journal.frames import FIRST, Head, frame

LEAST = 1 << 20
"""Bytes that may be of no use before a journal is worth compacting, however little is in it."""
READ_WITHIN = 8192
READ_PLACES = 256


class Followed(Protocol):
    """The marks of a table (shm.marks.Marks)."""

    def take(self, limit: int) -> list[Place]: ...
    def done(self, places: Iterable[int]) -> None: ...
    def again(self) -> int: ...
    def read(self, first: int, within: int, limit: int) -> tuple[list[Place], int]: ...


class Copy:
    """`records` are in it, in `live` bytes. `is_known`: it was begun empty, so nothing in it is without account."""

    def __init__(self, file: JournalFile, is_known: bool) -> None:
        self.file = file
        self.is_known = is_known
        self.records = 0
        self.live = 0
        self._lengths = array("I", [0]) * (file.head.places + 1)

    @property
    def is_wasteful(self) -> bool:
        """Two thirds of it are of no use."""
        return self.is_known and self.file.end > FIRST + LEAST + 3 * self.live

    def write(self, places: Sequence[Place]) -> None:
        """All of them, or an OSError and none."""
        seed = self.file.head.seed
        frames = [(p, frame(p, seed)) for p in places if p.value is not None or self._may_have(p.number)]
        if not frames:
            return
        data = b"".join(text for _, text in frames)
        if self.is_known and self.file.end + len(data) > FIRST + 16 * LEAST + 4 * (self.live + len(data)):
            raise OSError(errno.EFBIG, "the journal has grown too large, and compacting it has failed")
        self.file.append(data)
        for place, text in frames:
            self._account(place.number, 0 if place.value is None else len(text))

    def _may_have(self, number: int) -> bool:
        return not self.is_known or self._lengths[number] != 0

    def _account(self, number: int, length: int) -> None:
        before = self._lengths[number]
        self._lengths[number] = length
        self.live += length - before
        self.records += bool(length) - bool(before)


def new_head(instance: str, birth: bytes, places: int, made: float) -> Head:
    """With a salt of its own. After fork: the kernel draws it."""
    return Head(instance, birth, places, os.urandom(8), made)


def write_whole(path: Path, head: Head, table: Followed, disk: Disk = DISK) -> Copy:
    """A new journal of all that is in the table, published and closed. Blocks; raises what Draft raises."""
    draft = Draft(path, head, None, disk)
    copy = Copy(draft.file, is_known=True)
    try:
        cursor = 1
        while cursor:
            places, cursor = table.read(cursor, READ_WITHIN, READ_PLACES)
            copy.write(places)
        draft.publish()
    except BaseException:
        draft.discard()
        raise
    draft.file.close()
    return copy


def write_rest(path: Path, head: Head, table: Followed, disk: Disk = DISK) -> int:
    """What has changed in the table and is not in its journal yet: how many records. -1: no journal of this table is
    there. What JournalFile.open raises, and OSError; the marks stay then."""
    file = JournalFile.open(path, head.instance, disk)
    try:
        if (file.head.birth, file.head.places) != (head.birth, head.places):
            return -1
        file.cut()
        copy, count = Copy(file, is_known=False), 0
        table.again()
        while places := table.take(READ_PLACES):
            copy.write(places)
            table.done([place.number for place in places])
            count += len(places)
        file.sync()
        return count
    finally:
        file.close()
