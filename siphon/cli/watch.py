"""Notices that the script, or a module beside it, was changed, and asks the supervisor to reload.

Files are looked at, not subscribed to: a look at a few files twice a second costs nothing, works on every file system
and sees an editor's rename. After a change it waits until nothing more changes for 50 ms.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

LOOK_SECS = 0.5
SETTLE_SECS = 0.05

Seen = dict[str, tuple[int, int, int]]


class ScriptWatch:
    """The script, every *.py beside it and in the include paths; not those in directories below. Of a script that is a
    symbolic link also those beside the file it leads to at the moment: that is where its modules are found."""

    def __init__(self, script: Path, include_paths: Iterable[Path]) -> None:
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
                with suppress(ProcessLookupError):
                    os.kill(supervisor, signal.SIGHUP)

    async def settled(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_SECS)
            if not self.changed():
                return


def note(found: Seen, path: Path) -> None:
    with suppress(OSError):
        status = path.stat()
        found[str(path)] = (status.st_mtime_ns, status.st_size, status.st_ino)
