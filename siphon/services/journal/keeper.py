"""Keeps a journal: follows the changes of a table, compacts, and goes on after whatever a disk may do.

`turn(now)` is called by the helper's loop and says when it wants to be called again. It looks for changes every
LOOK_SECS and appends what it finds; what it could not write stays marked in the table, which is all the memory that an
outage takes. A background thread has the disk write down (fdatasync) what was appended, SYNC_SECS after the last time
at the latest, so a slow disk delays no append.

A new journal is written beside the old one, in steps of STEP_SECS with pauses as long, at the start, after an error and
when two thirds of the old one are of no use. Changes are appended to both meanwhile, so neither lacks one:

    table.read(places 1..n)  -> new               changes -> old and new
    all read: new is synced, gets the name        changes -> old and new
    from then on                                  changes -> new

With an error in the old one the new one is all there is; when it has its name, the journal is as good as it was.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shm.values import Place
from siphon.services.journal.copy import READ_PLACES, READ_WITHIN, Copy, Followed, new_head
from siphon.services.journal.file import DISK, Disk, Draft, Foreign, JournalFile, Unusable, set_aside

LOOK_SECS = 0.05
SYNC_SECS = 1.0
CHECK_SECS = 1.0
TAKE = 512
ROUNDS = 8
"""So many times TAKE changes are written in one turn; then the loop beats."""
STEP_SECS = 0.005
RETRY_SECS = (1.0, 2.0, 5.0, 10.0)
SAY_SECS = 60.0
"""An error that lasts is said again after so long."""

Failure = OSError, Unusable


class Log(Protocol):
    def info(self, event: str, /, **fields: object) -> None: ...
    def warn(self, event: str, /, **fields: object) -> None: ...
    def error(self, event: str, /, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Facts:
    """For status. `failing_since` is a time of `turn`'s clock: changes since then are in no journal."""

    records: int
    bytes: int
    live_bytes: int
    is_compacting: bool
    failing_since: float | None
    error: str | None


class Keeper:
    """One journal, in the one process that writes it. `birth` and `places` are the table's."""

    def __init__(
        self,
        path: Path,
        instance: str,
        table: Followed,
        birth: bytes,
        places: int,
        background: Executor,
        clock: Callable[[], float],
        wall: Callable[[], float],
        log: Log,
        disk: Disk = DISK,
    ) -> None:
        self.path = path
        self._instance, self._birth, self._places = instance, birth, places
        self._table = table
        self._background = background
        self._clock = clock
        self._wall = wall
        self._log = log
        self._disk = disk
        self._copy: Copy | None = None
        self._draft: Draft | None = None
        self._new: Copy | None = None
        self._cursor = 1
        self._syncing: Future[None] | None = None
        self._publishing: Future[None] | None = None
        self._former: JournalFile | None = None
        self._wants_new = True
        self._looked = clock()
        self._failing_since: float | None = None
        self._error: str | None = None
        self._said: dict[str, tuple[str, float]] = {}
        self._failures = 0
        self._retry_at = 0.0
        self._next_look = 0.0
        self._next_sync = 0.0
        self._next_step = 0.0
        self._next_new = 0.0
        self._next_check = 0.0

    def start(self) -> None:
        """Go on with the journal that is there, if it is one of this table."""
        self._table.again()
        try:
            self._open()
        except FileNotFoundError:
            pass
        except Foreign as error:
            self._put_aside(str(error))
        except Failure as error:
            self._failed(error, self._clock())

    def _open(self) -> None:
        file = JournalFile.open(self.path, self._instance, self._disk)
        try:
            if (file.head.birth, file.head.places) != (self._birth, self._places):
                file.close()  # of a former table: it holds until the new one has its name
                return
            cut = file.cut()
        except OSError:
            file.close()
            raise
        if cut:
            self._log.warn("journal.cut", path=self.path, bytes=cut, reason="its last write had not been finished")
        self._copy = Copy(file, is_known=False)

    def _put_aside(self, why: str) -> None:
        try:
            aside = set_aside(self.path, self._disk)
        except OSError as error:
            self._failed(error, self._clock())
        else:
            self._log.error("journal.set_aside", path=self.path, reason=why, now=aside)

    # -- a turn

    def turn(self, now: float) -> float:
        """When it wants to be called again."""
        self._end_jobs(now)
        if now < self._retry_at:
            return min(self._retry_at, now + SYNC_SECS)
        if now >= self._next_look:
            self._next_look = now + LOOK_SECS
            self._look(now)
        if now >= self._next_step:  # also after an error: a new journal may be the way out
            self._step(now)
        self._sync(now)
        if now >= self._next_check:
            self._next_check = now + CHECK_SECS
            self._check()
        reading = self._draft is not None and self._publishing is None
        return min(self._next_look, self._next_step) if reading else self._next_look

    @property
    def rests(self) -> bool:
        """Nothing is to be done before something changes, but to look at the file once in CHECK_SECS."""
        copy = self._usable()
        idle = self._draft is None and self._syncing is None and self._failing_since is None and not self._wants_new
        return idle and copy is not None and copy.file.synced == copy.file.end and not copy.is_wasteful

    def facts(self) -> Facts:
        copy = self._copy
        known = self._new if copy is None or not copy.is_known else copy
        return Facts(
            records=known.records if known is not None else 0,
            bytes=copy.file.end if copy is not None else 0,
            live_bytes=known.live if known is not None else 0,
            is_compacting=self._draft is not None,
            failing_since=self._failing_since,
            error=self._error,
        )

    def close(self) -> None:
        """The rest is written by whoever outlives this process (copy.write_rest)."""
        self._background.shutdown(wait=False, cancel_futures=True)

    # -- changes

    def _look(self, now: float) -> None:
        """Write what has changed."""
        if self._usable() is None and self._draft is None and not self._begin(now):
            return
        for _ in range(ROUNDS):
            places = self._table.take(TAKE)
            if not places:
                self._looked = now
                return
            try:
                self._write(places, now)
            except OSError as error:
                self._table.again()
                self._failed(error, now)
                return
            self._table.done([place.number for place in places])
        self._next_look = now

    def _write(self, places: list[Place], now: float) -> None:
        """To the journal and to the new one, as far as there are any. OSError: it stays marked in the table."""
        copy = self._usable()
        if copy is not None:
            copy.write(places)
            self._recovered(now)
        if self._new is not None:
            try:
                self._new.write(places)
            except OSError as error:
                if copy is None or self._publishing is not None:
                    raise
                self._failed_new(error, now)

    def _usable(self) -> Copy | None:
        return self._copy if self._copy is not None and self._copy.file.is_whole else None

    def _sync(self, now: float) -> None:
        copy = self._usable()
        if copy is None or self._syncing is not None or now < self._next_sync or copy.file.synced == copy.file.end:
            return
        self._next_sync = now + SYNC_SECS
        self._syncing = self._background.submit(copy.file.sync)

    def _check(self) -> None:
        """Somebody may have removed it, or put another file in its place."""
        copy = self._usable()
        if copy is not None and self._publishing is None and not copy.file.is_at(self.path):
            self._log.warn("journal.gone", path=self.path, reason="it was removed or replaced; it is written anew")
            copy.file.is_whole = False
            self._wants_new = True

    # -- a new journal

    def _begin(self, now: float) -> bool:
        former = self._copy
        head = new_head(self._instance, self._birth, self._places, self._wall())
        try:
            if former is not None and self._disk.free(self.path.parent) < former.live:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            draft = Draft(self.path, head, former.file if former is not None else None, self._disk)
        except Failure as error:
            self._failed_new(error, now)
            return False
        self._draft, self._new, self._cursor = draft, Copy(draft.file, is_known=True), 1
        self._wants_new = False
        return True

    def _step(self, now: float) -> None:
        """A part of the table goes into the new journal; after the last one it gets its name."""
        if self._draft is None:
            wanted = self._wants_new or (self._copy is not None and self._copy.is_wasteful)
            if not wanted or now < self._next_new or not self._begin(now):
                return
        if self._publishing is not None or self._new is None or self._draft is None:
            return
        try:
            self._read(self._new, now + STEP_SECS)
        except OSError as error:
            self._failed_new(error, now)
            return
        self._next_step = self._clock() + STEP_SECS
        if not self._cursor:
            self._publishing = self._background.submit(self._draft.publish)

    def _read(self, new: Copy, until: float) -> None:
        while self._cursor:
            places, self._cursor = self._table.read(self._cursor, READ_WITHIN, READ_PLACES)
            new.write(places)
            if self._clock() >= until:
                break

    def _end_jobs(self, now: float) -> None:
        if self._syncing is not None and self._syncing.done():
            error, self._syncing = self._syncing.exception(), None
            if error is not None:
                self._failed(error, now)
        if self._publishing is not None and self._publishing.done():
            error, self._publishing = self._publishing.exception(), None
            self._published(error, now)
        if self._former is not None and self._syncing is None:
            self._former.close()
            self._former = None

    def _published(self, error: BaseException | None, now: float) -> None:
        assert self._draft is not None
        if not self._draft.published:
            self._failed_new(error or OSError(errno.EIO, "the new journal got no name"), now)
            return
        self._former = self._copy.file if self._copy is not None else None
        self._copy, self._draft, self._new = self._new, None, None
        if error is not None:  # it has its name, but who knows whether after a power cut too
            self._failed_new(error, now)
        else:
            self._recovered(now)

    def _drop_new(self) -> None:
        if self._draft is not None:
            self._draft.discard()
        self._draft = self._new = None

    # -- errors

    def _failed(self, error: BaseException, now: float) -> None:
        """Changes are written no more, until a retry. BaseException is what a Future tells; only failures are ours."""
        if not isinstance(error, Failure):
            raise error
        if self._publishing is None:
            self._drop_new()
        if self._failing_since is None:
            self._failing_since = self._looked
        self._retry_at = now + self._pause()
        self._wants_new = True
        self._say("journal.failed", error, now)

    def _failed_new(self, error: BaseException, now: float) -> None:
        """There is no new journal; without an old one there is none at all."""
        if not isinstance(error, Failure):
            raise error
        self._drop_new()
        self._wants_new = True
        if self._usable() is None:
            self._failed(error, now)
        else:
            self._next_new = now + self._pause()
            self._say("journal.compaction_failed", error, now)

    def _pause(self) -> float:
        pause = RETRY_SECS[min(self._failures, len(RETRY_SECS) - 1)]
        self._failures += 1
        return pause

    def _say(self, event: str, error: BaseException, now: float) -> None:
        self._error = reason(error)
        what, when = self._said.get(event, ("", 0.0))
        if what != self._error or now - when >= SAY_SECS:
            self._said[event] = self._error, now
            self._log.error(event, path=self.path, error=self._error)

    def _recovered(self, now: float) -> None:
        """What was appended, or the new journal, is good."""
        if self._failing_since is not None:
            self._log.info("journal.recovered", path=self.path, behind_secs=round(now - self._failing_since, 1))
            self._failing_since, self._retry_at = None, 0.0
        if not self._wants_new:
            self._failures, self._error = 0, None
            self._said.clear()


def reason(error: BaseException) -> str:
    """For people."""
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
