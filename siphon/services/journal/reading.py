"""Going through a journal, whatever is in it.

What does not check out is skipped to the next whole frame, so one damaged place costs the frames that it touches. What
follows the last whole frame is the tail of a write that was cut off; who goes on writing cuts it. Parts that the disk
does not give back read as zeros: they are damage like any other. Never more than CHUNK and one frame are in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

from shm.values import Place
from siphon.services.journal.frames import FIRST, FRAME, FRAME_MAGIC, Head, length_at, place_at
from siphon.services.store import RECORD_LIMIT

CHUNK = 1 << 20
PIECE = 4096
TAIL = 4 * (RECORD_LIMIT + FRAME)

Read = Callable[[int, int], bytes]
"""(at, how many) -> bytes, fewer at the end of the file; OSError."""


class Walk:
    """Iterate: (offset, Place) of every whole frame between `start` and `size`. Afterwards `end` is the end of the last
    one, `damaged` the bytes that were skipped before it, in `gaps` runs, and `size - end` is the torn tail."""

    def __init__(self, read: Read, start: int, size: int, head: Head) -> None:
        self.size = max(start, size)
        self.end = start
        self.damaged = 0
        self.gaps = 0
        self._read = read
        self._head = head
        self._seed = head.seed
        self._data = b""
        self._base = start

    @property
    def torn(self) -> int:
        """Bytes behind the last whole frame."""
        return self.size - self.end

    def __iter__(self) -> Iterator[tuple[int, Place]]:
        at = self.end
        while self.size - at >= FRAME:
            place, length = self._frame(at)
            if place is None:
                at = self._next(at + 1)
                continue
            if at != self.end:
                self.damaged += at - self.end
                self.gaps += 1
            yield at, place
            at += length
            self.end = at

    def _frame(self, at: int) -> tuple[Place | None, int]:
        self._need(at, FRAME)
        length = length_at(self._data, at - self._base)
        if not length or length > self.size - at:
            return None, 0
        self._need(at, length)
        place = place_at(self._data, at - self._base, length, self._seed)
        return (place, length) if place is not None and place.number <= self._head.places else (None, 0)

    def _next(self, at: int) -> int:
        """Where a frame may begin, from there on; the size of the file when there is no such place."""
        while self.size - at >= FRAME:
            self._need(at, FRAME)
            found = self._data.find(FRAME_MAGIC, at - self._base)
            if found >= 0:
                return self._base + found
            at = self._base + len(self._data) - len(FRAME_MAGIC) + 1
        return self.size

    def _need(self, at: int, length: int) -> None:
        """Have these bytes in `_data`. They lie within the file."""
        if at >= self._base and at + length <= self._base + len(self._data):
            return
        wanted = min(max(CHUNK, length), self.size - at)
        self._data, self._base = whole(self._read, at, wanted), at


def whole(read: Read, at: int, length: int) -> bytes:
    """So many bytes; zeros for what cannot be read."""
    try:
        data = read(at, length)
    except OSError:
        pieces = range(0, length, PIECE)
        data = b"".join(_piece(read, at + offset, min(PIECE, length - offset)) for offset in pieces)
    return data.ljust(length, b"\0")


def _piece(read: Read, at: int, length: int) -> bytes:
    try:
        return read(at, length).ljust(length, b"\0")
    except OSError:
        return bytes(length)


def place_of(read: Read, at: int, head: Head) -> Place | None:
    """The frame there; None when it is none any more."""
    data = read(at, PIECE)
    length = length_at(data, 0) if len(data) >= FRAME else 0
    if length > len(data):
        data = read(at, length)
    return place_at(data, 0, length, head.seed) if FRAME <= length <= len(data) else None


def last_end(read: Read, size: int, head: Head) -> int:
    """The end of the last whole frame: found from the file's last bytes, from all of it where those show none."""
    for start in (max(FIRST, size - TAIL), FIRST):
        walk = Walk(read, start, size, head)
        for _ in walk:
            pass
        if walk.end > start or start == FIRST:
            return walk.end
    return FIRST


class Newest:
    """The last frame of each place: where it is, and its version. 16 bytes a place of the table at most."""

    def __init__(self, walk: Walk) -> None:
        self._at = array("Q", [0])
        self._versions = array("Q", [0])
        for at, place in walk:
            missing = place.number + 1 - len(self._at)
            if missing > 0:
                self._at.extend([0] * missing)
                self._versions.extend([0] * missing)
            self._at[place.number] = at if place.value is not None else 0
            self._versions[place.number] = place.version

    def offsets(self) -> list[int]:
        """Of what is there, the latest change first."""
        order = [number for number, at in enumerate(self._at) if at]
        order.sort(key=self._versions.__getitem__, reverse=True)
        return [self._at[number] for number in order]
