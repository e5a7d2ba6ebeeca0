"""What an instance goes by: the settings that it began with, those that hold since the last reload, and how the next
reload is proved.

Everything runs in the supervisor, but for `validate`, which a scratch process runs, so that a configuration or a script
that is no good harms nobody.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from shm.slots import Slots
from siphon.cli import directory, succession
from siphon.cli.exits import Exit, Refusal
from siphon.cli.level import apply as apply_level
from siphon.cli.place import with_workers
from siphon.cli.processes import Good, unpacked, wanted_helpers
from siphon.cli.scratch import Proved, ScriptFault, prove, try_script
from siphon.cli.watch import ScriptWatch
from siphon.config import reload
from siphon.config.errors import ConfigurationError
from siphon.config.load import load
from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.engine.changes import KIND as ON_CHANGE
from workers.options import Limits, Progress
from workers.scratch import Refused


def make_log(settings: Settings) -> Log:
    try:
        return Log(settings.log.level, settings.log.format, settings.log.file)
    except OSError as error:
        what = f"log.file: cannot open {settings.log.file}: {directory.reason(error)}"
        raise Refusal(Exit.CONFIGURATION, what) from None


class Reloads:
    """`settings` are those of the start and stay; `latest` is what the last reload proved, `base` what held before it.

    `tells_changes`: this script, or one before it, has handlers of registrar.on_change. `helpers`: those that these
    settings, or any since the start, need.
    """

    slots: Slots

    def __init__(self, path: Path, settings: Settings, workers: int | None, log: Log) -> None:
        self.path = path
        self.settings = settings
        self.workers = workers
        self.log = log
        self.helpers = wanted_helpers(settings)
        self.tells_changes = False
        self.limits = Limits()
        self.limit(settings)
        self.progress = Progress()

    def require_script(self) -> None:
        """At the start: Refusal of a script that is no good."""
        try:
            self.proved = try_script(self.settings)
        except ScriptFault as fault:
            self.log.error(f"script.failed {fault.line}")
            self.tell_traceback(fault)
            raise Refusal(Exit.CONFIGURATION, fault.line) from None
        self.tell_warnings(self.proved)
        self.tells_changes = ON_CHANGE in self.proved.kinds

    def begin(self, slots: Slots) -> None:
        """With the script of require_script, as a version of its own."""
        self.slots = slots
        slots.script_version += 1
        self.base = self.latest = Good(self.settings, slots.script_version, self.proved.sources)

    def accept(self, payload: bytes, describe: Callable[[], None]) -> None:
        """After a reload; `describe` tells siphonctl where something changed that it is to know."""
        self.base, self.latest = self.latest, unpacked(payload)
        tells_changes = self.tells_changes or ON_CHANGE in reload.kinds_of(payload)
        helpers = self.helpers | wanted_helpers(self.latest.settings)
        upgrade_secs = self.limits.upgrade_secs
        self.limit(self.latest.settings)
        if (tells_changes, helpers, upgrade_secs) != (self.tells_changes, self.helpers, self.limits.upgrade_secs):
            self.tells_changes, self.helpers = tells_changes, helpers
            describe()
        self.log.follow(self.latest.settings.log)

    def limit(self, settings: Settings) -> None:
        """What the supervisor waits at most."""
        self.limits.drain_secs = settings.server.drain_secs
        self.limits.handler_stall_abort_secs = settings.script.handler_stall_abort_secs
        self.limits.upgrade_secs = settings.server.upgrade_secs

    def note(self, progress: Progress) -> None:
        """For siphonctl, which has asked or may ask for one."""
        self.progress = progress
        facts = {"pid": os.getpid(), "script_version": self.latest.version, **asdict(progress)}
        try:
            directory.write_note(self.settings.shared.path, directory.RELOADS, facts)
        except OSError as error:
            self.log.error("reload.not_noted", error=directory.reason(error))

    # In a scratch process.

    def validate(self) -> bytes:
        """What all processes are to switch to. Refused with the text that goes to the log."""
        apply_level(self.log, self.slots)
        fresh = self.read()
        script = fresh.script
        ScriptWatch(script.path, script.include_paths, self.settings.shared.path).note_read(os.getppid())
        try:
            proved = prove(fresh, self.log)
        except ScriptFault as fault:
            self.tell_traceback(fault)
            raise Refused(fault.line) from None
        for problem in fresh.warnings:
            self.log.warn(f"configuration: {problem}")
        late = reload.late_changes(self.settings, fresh)
        if late:
            self.log.warn(f"configuration: {self.path}: counts from the next start or upgrade: {', '.join(late)}")
        self.tell_warnings(proved)
        version = max(self.latest.version, self.slots.script_version) + 1
        return reload.pack(fresh, version, proved.sources, proved.kinds)

    def read(self) -> Settings:
        """The configuration as it is now; Refused where it is wrong, its log cannot be opened, or it wants a start."""
        try:
            fresh = with_workers(load(self.path), self.workers)
        except ConfigurationError as error:
            raise Refused(str(error)) from None
        try:
            make_log(fresh)
        except Refusal as refusal:
            raise Refused(f"{self.path}: {refusal}") from None
        if fixed := reload.fixed_changes(self.settings, fresh):
            raise Refused(f"{self.path}: {succession.needed(self.settings, fresh, fixed)}")
        return fresh

    def tell_traceback(self, fault: ScriptFault) -> None:
        if fault.traceback:
            self.log.at("error", "script.traceback", traceback=fault.traceback)

    def tell_warnings(self, proved: Proved) -> None:
        for warning in proved.warnings:
            self.log.warn(f"script: {warning}")
