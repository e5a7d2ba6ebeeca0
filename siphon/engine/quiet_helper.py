"""An Application without sockets, script and deadlines, from which helpers begin that only follow the tables."""

from __future__ import annotations

from collections.abc import Sequence

from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.engine.shared import Shared
from workers.application import WorkerContext
from workers.net import Received, Unreachable


class QuietHelper:
    """Who derives from it overrides `begin`, `tick`, `configure` and `stopping`."""

    def __init__(self, settings: Settings, shared: Shared, log: Log) -> None:
        self.settings = settings
        self.shared = shared
        self.log = log

    def started(self, context: WorkerContext) -> None:
        """After fork."""
        self.context = context
        self.shared.attach(context.slot)
        self.begin()

    def begin(self) -> None:
        """Its tables are there."""

    def configure(self, settings: Settings) -> None:
        """After a reload."""
        self.settings = settings

    def tick(self, now: float) -> float | None:
        """Once a turn."""
        return None

    def reload(self, payload: bytes) -> None:
        """The payload is that of the command line: who runs this overrides it."""

    def finish(self) -> bool:
        """Another siphond serves; nothing here would have to be done again."""
        return True

    def stopping(self) -> None:
        """Nothing to save."""

    def receive(self, batch: Sequence[Received], now: float) -> None:
        """It has no sockets."""

    def unreachable(self, errors: list[Unreachable], now: float) -> None:
        """It sends nothing."""

    def due(self, entries: list[tuple[bytes, int]], now: float) -> None:
        """It arms nothing."""

    def adopt(self, slot: int, generation_dead: bool, now: float) -> None:
        """It serves nobody."""

    def release(self, slot: int) -> None:
        """It serves nobody."""
