"""A siphond and those that follow it by upgrades: none but the first is a child of the test."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxy_process import ROOT, Siphond, until

from siphon.cli import directory

PROGRAM = f"""#!{sys.executable}
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
MORE
from siphon.cli.siphond import main
main()
"""


def is_next(pid: int) -> bool:
    """A child that was executed, not only forked: those have a title."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"SIPHOND_HANDOVER=" in Path(f"/proc/{pid}/environ").read_bytes() and not line.startswith(b"siphond:")
    except OSError:
        return False


SLOW = """
import asyncio, os
from siphon import proxy

@proxy.on_request
async def route(request):
    if request.method == "MESSAGE":
        with open("runs", "a") as file:
            file.write("run\\n")
        while not os.path.exists("go"):
            await asyncio.sleep(0.05)
    request.reply(200, "OK")
"""
"""A handler that awaits until the test lets it go on."""


class Asked(threading.Thread):
    """`siphonctl upgrade` while the test goes on."""

    def __init__(self, lineage: Lineage) -> None:
        super().__init__()
        self.lineage = lineage
        self.start()

    def run(self) -> None:
        self.done = self.lineage.proxy.control("upgrade", seconds=120)

    def outcome(self) -> tuple[int, str]:
        """Exit status, and what it said."""
        self.join(150)
        assert not self.is_alive()
        return self.done.returncode, self.done.stdout + self.done.stderr


class Lineage:
    """A siphond and those that follow it, which are no children of this process. `program` is what lies on disk."""

    def __init__(self, proxy: Siphond) -> None:
        self.proxy = proxy
        self.pids: list[int] = []
        proxy.program = proxy.directory / "siphond"
        self.put("")

    def put(self, more: str) -> None:
        """Another program, as a package manager would bring it: under another name first."""
        draft = self.proxy.directory / "siphond.new"
        draft.write_text(PROGRAM.replace("MORE", more))
        draft.chmod(0o755)
        draft.rename(self.proxy.program)

    def configure(self, old: str, new: str) -> None:
        text = self.proxy.configuration.read_text()
        assert old in text
        self.proxy.configuration.write_text(text.replace(old, new))

    def start(self) -> Lineage:
        self.proxy.start()
        self.pids.append(self.holder())
        return self

    def holder(self) -> int:
        pid = directory.holder(self.proxy.shared) or 0
        if pid and pid not in self.pids:
            self.pids.append(pid)
        return pid

    def upgrade(self) -> int:
        """The process that serves then; the one before has ended."""
        before = self.holder()
        done = self.proxy.control("upgrade", seconds=120)
        assert done.returncode == 0, done.stdout + done.stderr + self.proxy.log()
        after = self.holder()
        assert after not in (0, before)
        assert f"process {after}, serves" in done.stdout
        self.until_gone(before)
        return after

    def refused(self) -> str:
        """The reason. The one before serves on."""
        before = self.holder()
        done = self.proxy.control("upgrade", seconds=120)
        assert done.returncode == 1, done.stdout + done.stderr + self.proxy.log()
        assert self.holder() == before
        assert self.proxy.process.poll() is None
        return done.stderr

    def until_gone(self, pid: int, seconds: float = 30) -> None:
        until(lambda: directory.start_time(pid) == 0, seconds, f"the end of {pid}")

    def ask(self) -> Asked:
        """Begins an upgrade and does not wait for it."""
        return Asked(self)

    def next_one(self, before: int) -> int:
        """The siphond that process `before` has executed, as soon as it has."""
        found: list[int] = []

        def executed() -> bool:
            found[:] = [pid for pid in self.children_of(before) if is_next(pid)]
            return bool(found)

        until(executed, 30, "the next siphond")
        self.pids.append(found[0])
        return found[0]

    def children_of(self, pid: int) -> set[int]:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return {int(word) for word in text.split()}

    def close(self) -> None:
        """All are of the process group of the first, those too that a test which was interrupted has not seen."""
        self.proxy.control("stop", "--now")
        if self.proxy.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.proxy.process.pid, signal.SIGKILL)
        for pid in self.pids:
            self.until_gone(pid)


def answers(proxy: Any, agent: Callable[..., Any], count: int = 20) -> None:
    """Each of `count` ports gets an answer."""
    for number in range(count):
        one = agent(proxy, f"asker{number}")
        one.send(one.request("OPTIONS", "sip:example.com"))
        one.expect("200 OPTIONS")
