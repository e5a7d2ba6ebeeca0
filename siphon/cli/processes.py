"""The processes that an instance forks: engine and helpers with what belongs to a process of this program: its name in
the log, the watch over the script, reloads as the supervisor sends them.
"""

import asyncio
import os
import time
from typing import NamedTuple

from siphon.cli import directory
from siphon.cli.admin.helper import NAME as ADMIN
from siphon.cli.admin.helper import AdminHelper, wants_admin
from siphon.cli.level import Follower, follow
from siphon.cli.scratch import sources_of
from siphon.cli.watch import ScriptWatch
from siphon.config import reload
from siphon.config.settings import Settings
from siphon.engine.application import Engine
from siphon.engine.cdr_writer import NAME as CDR
from siphon.engine.cdr_writer import CdrWriter
from siphon.engine.changes import KIND as ON_CHANGE
from siphon.engine.changes import Changes
from siphon.engine.defence import NAME as DEFENCE
from siphon.engine.defence import Defence, wants_defence
from siphon.engine.journal import Journal
from siphon.engine.mirror import MirrorHelper
from siphon.engine.quiet_helper import QuietHelper
from siphon.engine.shared import Shared
from siphon.engine.traces import Traces
from siphon.script import overheard
from siphon.script.sources import Sources
from workers.application import WorkerContext
from workers.net import boottime


class Good(NamedTuple):
    """What has been proved: settings, and a version of the script with its sources."""

    settings: Settings
    version: int
    sources: Sources


def wanted_helpers(settings: Settings) -> set[str]:
    """Which of the helpers that not every instance has these settings need."""
    wanted = {ADMIN: wants_admin(settings), CDR: settings.cdr.enabled, DEFENCE: wants_defence(settings)}
    return {name for name, needed in wanted.items() if needed}


def unpacked(payload: bytes) -> Good:
    settings, version, sources = reload.unpack(payload)
    return Good(settings, version, sources_of(sources))


class Worker(Engine):
    """The engine with what belongs to a process of this program: its name in the log, the watch over the script."""

    watching: asyncio.Task[None] | None = None

    def started(self, context: WorkerContext) -> None:
        self.log.process = "timer" if context.is_helper else f"w{context.index + 1}"
        overheard.listen(self.log)
        super().started(context)
        place, contacts = self.settings.shared.path, self.contacts
        traces = Traces(place, self.log.process, self.taps, context.aio.loop, contacts, self.log)
        self.follower = Follower(self.log, self.shared.slots, traces.look)
        self.follower.look(boottime())
        self.watch()

    def contacts(self, aor: str) -> list[str]:
        """Where an address of record is reached now."""
        return [binding.uri for binding in self.services.location.lookup(aor, time.time())]

    def watch(self) -> None:
        """The helper looks whether the script has changed."""
        if self.watching is not None:
            self.watching.cancel()
            self.watching = None
        script = self.settings.script
        if self.context.is_helper and script.reload == "auto":
            watch = ScriptWatch(script.path, script.include_paths, self.settings.shared.path)
            self.watching = self.context.aio.loop.create_task(watch.run(os.getppid()))

    def tick(self, now: float) -> float:
        require_secret(self.shared, self.secret_count)
        if now >= self.follower.next_at:
            self.follower.look(now)
        return min(super().tick(now), self.follower.next_at)

    def reload(self, payload: bytes) -> None:
        before = self.settings.script
        good = unpacked(payload)
        self.log.follow(good.settings.log)
        self.switch(*good)
        self.shared.slots.script_version = good.version
        if good.settings.script != before:
            self.watch()


class EventsHelper(Changes):
    """The helper that runs on_change, with what belongs to a process of this program."""

    def started(self, context: WorkerContext) -> None:
        self.log.process = "events"
        self.secret_seen = self.shared.secret_count
        overheard.listen(self.log)
        super().started(context)
        follow(self.log, self.shared.slots, context.aio.loop)

    def tick(self, now: float) -> float:
        require_secret(self.shared, self.secret_seen)
        return super().tick(now)

    def reload(self, payload: bytes) -> None:
        good = unpacked(payload)
        self.log.follow(good.settings.log)
        self.switch(*good)


class MirrorOfRedis(MirrorHelper):
    """The helper that mirrors Redis, with what belongs to a process of this program."""

    def started(self, context: WorkerContext) -> None:
        self.log.process = "mirror"
        super().started(context)
        follow(self.log, self.shared.slots, context.aio.loop)

    def reload(self, payload: bytes) -> None:
        self.log.follow(unpacked(payload).settings.log)

    def adopt_secret(self, secret: bytes) -> None:
        """Nothing has been served yet, so nothing is lost with the processes."""
        directory.keep_secret(self.settings.server.state_dir, secret)
        self.state.secret_changed()
        os._exit(0)


class JournalHelper(Journal):
    """The helper that keeps the journal, with what belongs to a process of this program."""

    def started(self, context: WorkerContext) -> None:
        self.log.process = "journal"
        super().started(context)
        follow(self.log, self.shared.slots, context.aio.loop)

    def reload(self, payload: bytes) -> None:
        good = unpacked(payload)
        self.log.follow(good.settings.log)


class QuietOfInstance(QuietHelper):
    """A helper without sockets, with what belongs to a process of this program: the log, reloads, the secret."""

    def begin(self) -> None:
        self.secret_seen = self.shared.secret_count
        overheard.listen(self.log)
        super().begin()
        follow(self.log, self.shared.slots, self.context.aio.loop)

    def tick(self, now: float) -> float | None:
        require_secret(self.shared, self.secret_seen)
        return super().tick(now)

    def reload(self, payload: bytes) -> None:
        good = unpacked(payload)
        self.log.follow(good.settings.log)
        self.configure(good.settings)


class AdminOfInstance(QuietOfInstance, AdminHelper):
    """The helper that serves HTTP."""

    def reload(self, payload: bytes) -> None:
        self.tells_changes |= ON_CHANGE in reload.kinds_of(payload)
        super().reload(payload)


class CdrOfInstance(QuietOfInstance, CdrWriter):
    """The helper that writes call detail records."""

    def wall(self) -> float:
        return time.time()


class DefenceOfInstance(QuietOfInstance, Defence):
    """The helper that shares, fetches and hands on bans."""


def require_secret(shared: Shared, seen: int) -> None:
    """Ends this process if the nodes of its Redis use another secret: the next one begins with that. It has served
    nothing yet, since the instance is not ready before the nodes agree."""
    if shared.secret_count != seen:
        os._exit(0)
