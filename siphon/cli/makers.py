"""What the forked processes of an instance begin with: each method of Makers runs in a new process, with what held when
it was forked.
"""

from collections.abc import Callable

from siphon.cli import directory
from siphon.cli.admin.helper import NAME as ADMIN
from siphon.cli.processes import (
    AdminOfInstance,
    CdrOfInstance,
    DefenceOfInstance,
    EventsHelper,
    JournalHelper,
    MirrorOfRedis,
    Worker,
)
from siphon.cli.reloads import Reloads
from siphon.config.log import Log
from siphon.engine.cdr_writer import NAME as CDR
from siphon.engine.defence import NAME as DEFENCE
from siphon.engine.journal import keeps_journal
from siphon.engine.shared import Shared
from workers.supervisor import Extra


class Makers:
    def __init__(self, reloads: Reloads, shared: Shared, log: Log) -> None:
        self.reloads = reloads
        self.shared = shared
        self.log = log

    def extras(self) -> list[Extra]:
        """Helpers beside the one for timers. Their order is that of their slots, so what may come later is the last."""
        keepers = []
        if self.shared.mirror is not None:
            keepers = [Extra("mirror", self.mirror)]
        elif keeps_journal(self.reloads.settings):
            keepers = [Extra("journal", self.journal)]
        events = Extra("events", self.events, lambda: self.reloads.tells_changes)
        later = ((ADMIN, self.admin), (CDR, self.cdr), (DEFENCE, self.defence))
        return [*keepers, events, *(Extra(name, make, self.whether_wanted(name)) for name, make in later)]

    def whether_wanted(self, name: str) -> Callable[[], bool]:
        return lambda: name in self.reloads.helpers

    def application(self) -> Worker:
        """What held before the last reload, which is sent to it afterwards. So it has both versions of the script, as
        its siblings do, from the sources that were proved and whatever lies on disk now."""
        good = self.reloads.base
        self.read_secret()
        return Worker(good.settings, self.shared, self.log, good.version, good.sources)

    def events(self) -> EventsHelper:
        """Runs on_change."""
        good = self.reloads.base
        self.read_secret()
        return EventsHelper(good.settings, self.shared, self.log, good.version, good.sources)

    def mirror(self) -> MirrorOfRedis:
        self.read_secret()
        return MirrorOfRedis(self.reloads.base.settings, self.shared, self.log)

    def journal(self) -> JournalHelper:
        return JournalHelper(self.reloads.base.settings, self.shared, self.log)

    def admin(self) -> AdminOfInstance:
        """Serves HTTP."""
        self.read_secret()
        made = AdminOfInstance(self.reloads.base.settings, self.shared, self.log)
        made.tells_changes = self.reloads.tells_changes
        return made

    def cdr(self) -> CdrOfInstance:
        """Writes call detail records."""
        self.read_secret()
        return CdrOfInstance(self.reloads.base.settings, self.shared, self.log)

    def defence(self) -> DefenceOfInstance:
        """Shares, fetches and hands on bans."""
        self.read_secret()
        return DefenceOfInstance(self.reloads.base.settings, self.shared, self.log)

    def read_secret(self) -> None:
        """The secret may have changed while the nodes of a Redis came to agree."""
        if self.shared.mirror is not None:
            self.shared.secret = directory.instance_secret(self.reloads.settings.server.state_dir)
