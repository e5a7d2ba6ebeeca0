"""Disks for the tests of the journal: one that ends the process, or fails, at a chosen call, and a table to follow.

`Disk` of the program makes each call on the operating system's behalf; these count them. A Crash is what a kill is:
what was done before stays, nothing after it happens. Files are real ones, in a directory of the test's own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from shm.values import Place
from siphon.services.journal.file import Disk

COUNTED = ("open", "lock", "write", "cut", "sync", "rename", "remove", "sync_directory")


class Crash(BaseException):
    """The process ends here."""


class CountingDisk(Disk):
    """At call number `at` (from 1): "before" or "after" it the process ends, "half" of a write is written first, or it
    fails with an error number. None: only counts. After a crash nothing reaches the disk any more."""

    def __init__(self, at: int = 0, how: str | int = "before") -> None:
        self.at = at
        self.how = how
        self.calls: list[str] = []
        self.crashed = False

    def _call(self, name: str, *arguments: Any) -> Any:
        if self.crashed:
            raise Crash
        self.calls.append(name)
        real = getattr(super(), name)
        if len(self.calls) != self.at:
            return real(*arguments)
        if isinstance(self.how, int):
            raise OSError(self.how, os.strerror(self.how))
        if self.how == "after":
            with suppress(OSError):
                real(*arguments)
        elif self.how == "half" and name == "write":
            fd, data, place = arguments
            super().write(fd, data[: len(data) // 2], place)
        self.crashed = True
        raise Crash

    def open(self, path: Path, flags: int) -> int:
        return int(self._call("open", path, flags))

    def lock(self, fd: int) -> None:
        self._call("lock", fd)

    def write(self, fd: int, data: bytes, at: int) -> int:
        return int(self._call("write", fd, data, at))

    def cut(self, fd: int, size: int) -> None:
        self._call("cut", fd, size)

    def sync(self, fd: int) -> None:
        self._call("sync", fd)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename", old, new)

    def remove(self, path: Path) -> None:
        self._call("remove", path)

    def sync_directory(self, path: Path) -> None:
        self._call("sync_directory", path)


class FullDisk(Disk):
    """Has room for `room` bytes more, then ENOSPC in the middle of a write, as a real one. `error` fails each write;
    `sync_error` each sync."""

    def __init__(self) -> None:
        self.room = 1 << 40
        self.error = 0
        self.sync_error = 0

    def write(self, fd: int, data: bytes, at: int) -> int:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: self.room]
        self.room -= len(part)
        return super().write(fd, part, at)

    def free(self, path: Path) -> int:
        return self.room

    def sync(self, fd: int) -> None:
        if self.sync_error:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        super().sync(fd)


class At(Executor):
    """Jobs are done at once, or, while `waits`, when the test says so."""

    def __init__(self) -> None:
        self.waits = False
        self.jobs: list[tuple[Future[Any], Any]] = []

    def submit(self, job: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((future, lambda: job(*arguments, **named)))
        if not self.waits:
            self.work()
        return future

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        for future, job in jobs:
            try:
                future.set_result(job())
            except Exception as error:
                future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


class TableOfPlaces:
    """What a table and its marks are to the keeper, without shared memory."""

    def __init__(self, places: int = 64) -> None:
        self.places = places
        self.values: dict[int, Place] = {}
        self.changed: dict[int, None] = {}
        self.taken: set[int] = set()
        self.version = 0

    def set(self, number: int, value: bytes | None) -> None:
        self.version += 1
        if value is None:
            self.values.pop(number, None)
        else:
            self.values[number] = Place(number, self.version, 0, 5.0, 305.0, value)
        self.changed[number] = None

    def content(self) -> dict[int, bytes | None]:
        return {number: place.value for number, place in self.values.items()}

    def take(self, limit: int) -> list[Place]:
        numbers = list(self.changed)[:limit]
        for number in numbers:
            del self.changed[number]
            self.taken.add(number)
        return [self.values.get(number, Place(number, 0, 0, 0.0, 0.0, None)) for number in numbers]

    def done(self, places: Iterable[int]) -> None:
        self.taken -= set(places) - set(self.changed)

    def again(self) -> int:
        self.changed.update(dict.fromkeys(self.taken))
        self.taken.clear()
        return len(self.changed)

    def read(self, first: int, within: int, limit: int) -> tuple[list[Place], int]:
        found = []
        number = first or 1
        while number <= self.places and number < first + within and len(found) < limit:
            if number in self.values:
                found.append(self.values[number])
            number += 1
        return found, number if number <= self.places else 0
