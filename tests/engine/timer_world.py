"""A world for the timers of scripts: code given in a MESSAGE runs in a handler, and handlers note when they ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from siphon.engine.counters import Counter
from siphon.testing.worker import loaded
from siphon.testing.world import World

SCRIPT = """
import asyncio
from siphon import proxy, timer

NOTED = []

@proxy.on_request("MESSAGE")
def obey(request):
    exec(bytes.fromhex(request.body.decode()), globals())
    request.reply(200, "OK")

def ring(key):
    NOTED.append(key)

async def slow(key):
    NOTED.append("begin " + key)
    await asyncio.sleep(1)
    NOTED.append("end " + key)
"""


class TimerWorld:
    """`do(code, worker)` runs code in a handler of a worker. Each noted text comes with the virtual time, from 0 on."""

    def __init__(self, make: Callable[..., World], more: str = "", workers: int = 3, **options: Any) -> None:
        self.world = make(SCRIPT + more, workers=workers, **options)
        self.agent = self.world.agent("192.0.2.1")
        self.start = self.world.clock()
        self.noted: list[tuple[float, str]] = []
        self._listen()

    def _listen(self) -> None:
        script = loaded(self.world.settings.script.path, self.world.script_version)
        script.modules["siphon_user_script"].NOTED = self  # type: ignore[attr-defined]

    def append(self, text: str) -> None:
        """What NOTED.append() of the script calls."""
        self.noted.append((round(self.world.clock() - self.start, 3), text))

    def do(self, code: str, worker: int = 0) -> int:
        """The status that came back."""
        self.agent.send(self.agent.request("MESSAGE", "sip:x@example.com", body=code.encode().hex()), worker)
        return self.agent.statuses[-1]

    def reload(self, more: str = "", without: str = "") -> None:
        """Another version of the script in all live workers."""
        self.world.reload(SCRIPT.replace(without, "") + more)
        self._listen()

    def restart(self, slot: int) -> None:
        """The worker is killed, and another one takes its slot at once."""
        self.world.kill(slot)
        self.world.replace(slot)

    def stop_all(self) -> None:
        """siphond is stopped and started again: other processes, another number of the script's version."""
        for worker in self.world.workers:
            self.world.bury(worker.slot)
        self.world.script_version += 1
        for worker in list(self.world.workers):
            self.world.replace(worker.slot)
        self._listen()

    @property
    def texts(self) -> list[str]:
        """What was noted, without times."""
        return [text for _, text in self.noted]

    @property
    def times(self) -> list[float]:
        """When something was noted."""
        return [when for when, _ in self.noted]

    def runs(self) -> list[int]:
        """Handlers that each worker has run."""
        return [worker.counters[Counter.SCRIPT_RUNS] for worker in self.world.workers]
