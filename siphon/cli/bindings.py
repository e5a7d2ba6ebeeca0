"""The registrations over a reboot: before the processes are forked they come back from the journal, and when all have
ended it gets what is not in it yet.

The table itself says whether that has been done (`Table.filled`). While it lives it is the truth, and the journal is
written from it; one that is new is filled from the journal that its forerunner left. A start that is killed in between
fills it again: what is there stays as it is. Nothing that is wrong with a journal keeps siphond from starting.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from shm.marks import Marks
from shm.table import Table
from siphon.cli.memory import SLOTS
from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.engine.journal import keeps_journal, marks_of, path_of
from siphon.engine.keys import Keys
from siphon.engine.shared import Shared
from siphon.services.journal.copy import new_head, write_rest, write_whole
from siphon.services.journal.file import Foreign, JournalFile, Unusable, forget, set_aside
from siphon.services.journal.frames import FIRST, Head
from siphon.services.journal.keeper import reason
from siphon.services.journal.reading import Newest, Walk, place_of
from siphon.services.location.restore import Fate, Restoration
from workers.notify import Notifier

Failure = OSError, Unusable, Foreign
EXTEND_SECS = 30.0
"""What a service manager is asked for once a second while registrations are put back."""


class Patience:
    """Asked often, says yes once a second."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def is_over(self) -> bool:
        now = time.monotonic()
        over = now - self.last >= 1.0
        if over:
            self.last = now
        return over


class Bindings:
    """`tells_changes`: the script has handlers of registrar.on_change."""

    def __init__(self, settings: Settings, shared: Shared, log: Log, tells_changes: bool) -> None:
        self.settings = settings
        self.shared = shared
        self.log = log
        self.tells_changes = tells_changes
        self.path = path_of(settings)

    def begin(self, forgets: bool) -> None:
        """See the module. `forgets`: what is in the journal is not wanted any more."""
        if not keeps_journal(self.settings):
            return
        table = self.shared.location
        if forgets:
            self._forget()
        elif table.filled:
            return
        else:
            self._restore()
        self._write_all(marks_of(self.shared))
        table.set_filled()

    def end(self) -> None:
        """Once no process is left that changes the table."""
        if not keeps_journal(self.settings):
            return
        try:
            write_rest(self.path, self._head(), marks_of(self.shared))
        except FileNotFoundError:
            self.log.error("journal.failed", path=self.path, error="it has gone; the next start writes it anew")
        except Failure as error:
            self.log.error("journal.failed", path=self.path, error=reason(error))

    def _head(self) -> Head:
        table = self.shared.location
        return new_head(self.settings.server.instance_id, table.birth, table.stats().records_max, time.time())

    def _forget(self) -> None:
        try:
            forget(self.path)
        except OSError as error:
            self.log.error("journal.failed", path=self.path, error=f"cannot be removed: {reason(error)}")

    def _write_all(self, marks: Marks) -> None:
        """So the journal is one of this table before anybody changes it. After an error the helper goes on trying."""
        marks.clear()
        try:
            write_whole(self.path, self._head(), marks)
        except Failure as error:
            self.log.error("journal.failed", path=self.path, error=reason(error))

    def _restore(self) -> None:
        try:
            file = JournalFile.open(self.path, self.settings.server.instance_id)
        except FileNotFoundError:
            return
        except Foreign as error:
            self._set_aside(str(error))
        except Failure as error:
            self.log.error("journal.failed", path=self.path, error=f"cannot be read: {reason(error)}")
        else:
            try:
                self._fill_from(file)
            finally:
                file.close()

    def _set_aside(self, why: str) -> None:
        try:
            aside: Path | None = set_aside(self.path)
        except OSError:
            aside = None
        self.log.error("journal.set_aside", path=self.path, reason=why, now=aside)

    def _fill_from(self, file: JournalFile) -> None:
        began = time.monotonic()
        walk = Walk(file.read, FIRST, os.fstat(file.fd).st_size, file.head)
        offsets = Newest(walk).offsets()
        if walk.damaged:
            self.log.error("journal.damaged", path=self.path, bytes=walk.damaged, gaps=walk.gaps, rest="is used")
        if walk.torn:
            reason_ = "its last write had not been finished"
            self.log.warn("journal.cut", path=self.path, bytes=walk.torn, reason=reason_)
        table = Table.attach(self.settings.shared.path / "location")
        try:
            table.slot = SLOTS - 1
            done = self._put_back(table, file, offsets)
        finally:
            table.close()
        self._tell(done, time.monotonic() - began)

    def _put_back(self, table: Table, file: JournalFile, offsets: list[int]) -> Restoration:
        keys = Keys(self.shared.secret, self.settings.auth.nonce_secret)
        done = Restoration(table, keys.table, self.settings.registrar.max_expires, self.tells_changes)
        notifier, patience = Notifier(), Patience()
        for number, at in enumerate(offsets):
            if patience.is_over():
                notifier.extend(EXTEND_SECS)
                notifier.status(f"restoring registrations: {number} of {len(offsets)}")
            place = place_of(file.read, at, file.head)
            if place is not None and place.value is not None:
                done.put(place.value, place.next_deadline, time.time())
        return done

    def _tell(self, done: Restoration, secs: float) -> None:
        count = done.records
        others = {fate.name.lower(): count[fate] for fate in (Fate.EXPIRED, Fate.KNOWN, Fate.DAMAGED) if count[fate]}
        self.log.info(
            "location.restored",
            bindings=done.bindings,
            addresses_of_record=count[Fate.BACK],
            secs=round(secs, 2),
            **others,
        )
        if count[Fate.NO_ROOM]:
            self.log.error("location.full", not_restored=count[Fate.NO_ROOM], raise_="shared.max_bindings")
