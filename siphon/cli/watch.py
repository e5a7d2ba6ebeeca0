"""Notices that the script, or a module beside it, was changed, and asks the supervisor to reload.

Files are looked at, not subscribed to: a look at a few files twice a second costs nothing, works on every file system
and sees an editor's rename. After a change it waits until nothing more changes for 50 ms.

A reload notes what it saw of the files before it read them. So who saves the script and asks for a reload at once
gets one, and not another when the change is seen here. If they change in between, both looks differ: read again.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from siphon.cli.directory import read_note, write_note

READ = "script-read"
LOOK_SECS = 0.5
SETTLE_SECS = 0.05

Seen = dict[str, tuple[int, int, int]]


class ScriptWatch:
    """The script, every *.py beside it and in the include paths; not those in directories below. Of a script that is a
    symbolic link also those beside the file it leads to at the moment: that is where its modules are found."""

    def __init__(self, script: Path, include_paths: Iterable[Path], shared: Path | None = None) -> None:
        """`shared`: the directory where reloads note what they saw."""
        self.shared = shared
        self.script = script
        self.directories = [script.parent, *include_paths]
        self.seen = self.look()

    def look(self) -> Seen:
        """Modification time, size and inode of every file that is there now."""
        found: Seen = {}
        for place in dict.fromkeys((*self.directories, self.script.resolve().parent)):
            with suppress(OSError), os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.endswith(".py") or entry.path == str(self.script):
                        note(found, Path(entry.path))
        note(found, self.script)
        return found

    def changed(self) -> bool:
        """Whether anything differs from the last call."""
        now = self.look()
        differs, self.seen = now != self.seen, now
        return differs

    async def run(self, supervisor: int) -> None:
        """Until the process ends: HUP for the supervisor after every change that has settled."""
        while True:
            await asyncio.sleep(LOOK_SECS)
            if self.changed():
                await self.settled()
                if self.has_been_read(supervisor):
                    continue
                with suppress(ProcessLookupError):
                    os.kill(supervisor, signal.SIGHUP)

    def note_read(self, supervisor: int) -> None:
        """A reload is about to read the files. What cannot be noted is read twice."""
        if self.shared is not None:
            with suppress(OSError):
                write_note(self.shared, READ, {"supervisor": supervisor, "seen": self.seen})

    def has_been_read(self, supervisor: int) -> bool:
        """Whether the last reload of that supervisor has seen the files as they are."""
        try:
            found = {} if self.shared is None else read_note(self.shared, READ)
        except (OSError, ValueError):
            return False
        seen = {name: list(facts) for name, facts in self.seen.items()}
        return bool(found) and (found["supervisor"], found["seen"]) == (supervisor, seen)

    async def settled(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_SECS)
            if not self.changed():
                return


def note(found: Seen, path: Path) -> None:
    with suppress(OSError):
        status = path.stat()
        found[str(path)] = (status.st_mtime_ns, status.st_size, status.st_ino)
