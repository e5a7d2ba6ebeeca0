"""The helper process in which `registrar.on_change` runs: an Application that reads no socket.

It loads the script as workers do and follows reloads. Workers tell it by a pipe which records have got events; every
LOOK_SECS it looks for itself, so what a dead helper or a full pipe has lost waits no longer. A handler may block: it
delays no REGISTER, only the handlers of other addresses of record. One that blocks longer than
`script.handler_stall_abort_secs` costs this process its life, as it would cost a worker, and its event is told again,
but not for ever.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from siphon.config.log import WARN, Log
from siphon.config.settings import Settings
from siphon.engine.counters import Counter
from siphon.engine.deliveries import Deliveries
from siphon.engine.facts import identity_of, signer_of
from siphon.engine.garbage import settle
from siphon.engine.keys import Keys
from siphon.engine.location_store import store_of
from siphon.engine.script_timers import Place, ScriptTimers
from siphon.engine.services import services_of
from siphon.engine.shared import Shared
from siphon.script.contact import Contact
from siphon.script.context import Services
from siphon.script.runtime import Runtime
from siphon.script.sources import Source
from siphon.services.caches import Caches
from siphon.services.location import Change
from siphon.services.location.changes import MOST_RUNS
from siphon.services.timers import Timers
from workers.application import Blocked, WorkerContext
from workers.net import Received, Unreachable, boottime

KIND = "registrar.on_change"
LOOK_SECS = 2.0
SHARE_SECS = 0.005
"""So long a turn delivers at most, handlers aside; then the loop beats."""


def run_change(runtime: Runtime, change: Change, done: Callable[[], None]) -> None:
    """Run the handlers of the current script on an event; `done` is called when the last has finished."""
    services = runtime.services
    wall = services.wall()
    contacts = [Contact(found, services, wall, elsewhere=True) for found in change.bindings]
    runtime.run_event(KIND, (change.aor, change.event.value, contacts), None, lambda _: done())


def _fires_none(function: Callable[..., Any], arguments: tuple[Any, ...], done: Callable[[], None]) -> None:
    raise AssertionError("this process fires no timers")


class Changes:
    """The Application of the helper."""

    def __init__(
        self, settings: Settings, shared: Shared, log: Log, script_version: int, sources: Mapping[str, Source] | None
    ) -> None:
        self.settings = settings
        self.shared = shared
        self.log = log
        self.script_version = script_version
        self.sources = sources
        self.next_look = 0.0
        self.finishing = False

    # -- workers.Application

    def started(self, context: WorkerContext) -> None:
        """After fork."""
        self.context = context
        self.shared.attach(context.slot)
        self.location_store = store_of(self.settings, self.shared, context.aio.loop, self.log)
        keys = Keys(self.shared.secret, self.settings.auth.nonce_secret)
        self.caches = Caches(self.shared.caches, keys.table, boottime, context.aio.loop, self._report_no_cache)
        self.caches.configure(self.settings.cache, self.settings.shared.timeout_ms / 1000)
        services = self._services()
        self.runtime = Runtime(self.settings, services, context.aio.loop, self.log)
        self.runtime.load(version=self.script_version, sources=self.sources)
        self._set_timers(services)
        self.deliveries = Deliveries(services.location, self.run, time.time)
        context.aio.loop.add_reader(self.shared.changes.reading, self.hear)
        settle()

    def tick(self, now: float) -> float:
        """Once a turn: deliver, and now and then look for what nobody has told of."""
        if self.runtime.exhausted:
            raise MemoryError("handlers of the script have used up the memory of this process")
        if self.runtime.blocked:
            raise Blocked
        if self.finishing:
            return now + LOOK_SECS
        if now >= self.next_look:
            self.next_look = now + LOOK_SECS
            self.deliveries.look()
        until = now + SHARE_SECS
        while self.deliveries.busy and boottime() < until:
            self.deliveries.step()
        return now if self.deliveries.busy else self.next_look

    def switch(self, settings: Settings, version: int, sources: Mapping[str, Source] | None) -> None:
        """Go on with these settings and this script version; handlers in progress finish in the code they began in."""
        self.settings, self.script_version = settings, version
        self.caches.configure(settings.cache, settings.shared.timeout_ms / 1000)
        services = self._services()
        self.runtime.configure(settings, services)
        if self.runtime.version != version:
            self.runtime.load(settings.script.path, version, sources)
            settle()
        self.deliveries.location = services.location
        self._set_timers(services)
        self.log.info("script.loaded", version=version)

    def reload(self, payload: bytes) -> None:
        """The payload is that of the command line: who runs this overrides it."""

    def finish(self) -> bool:
        """Another siphond's helper tells what is left when this one has ended."""
        self.finishing = True
        return not self.deliveries.running

    def stopping(self) -> None:
        """Events are in their records until they have been told."""
        self.runtime.close()

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

    # -- events

    def hear(self) -> None:
        """Somebody has told of records."""
        self.deliveries.hint(self.shared.changes.keys())

    def run(self, change: Change, done: Callable[[], None]) -> None:
        """Run the handlers of the current script; without any the event is as good as told."""
        if change.runs > MOST_RUNS:
            self.log.error("registrar.on_change has not ended, given up", aor=change.aor, event=change.event.value)
            done()
            return
        if change.lost:
            self.log.often(WARN, "registrar.on_change cannot keep up", aor=change.aor, left_out=change.lost)
        self.context.slots.add(self.context.slot, int(Counter.SCRIPT_RUNS))
        errors = self.runtime.errors

        def finished() -> None:
            raised = self.runtime.errors - errors
            if raised:
                self.context.slots.add(self.context.slot, int(Counter.SCRIPT_ERRORS), raised)
            done()

        self.context.enter_handler(boottime())
        try:
            run_change(self.runtime, change, finished)
        finally:
            self.context.leave_handler()

    def _set_timers(self, services: Services) -> None:
        """Handlers may set and cancel timers; workers fire them."""
        context, keys = self.context, Keys(self.shared.secret, self.settings.auth.nonce_secret)
        place = Place(context.slot, context.generation, context.index, context.count, runs=False)
        timers = Timers(self.shared.timers, keys.table)
        services.timers = ScriptTimers(
            timers, self.runtime, _fires_none, place, self.shared.alive, boottime, random.random, self.log
        )

    def _services(self) -> Services:
        keys = Keys(self.shared.secret, self.settings.auth.nonce_secret)
        signer = signer_of(self.settings, keys)
        services = services_of(
            self.settings, self.shared, identity_of(self.settings), signer, keys, store=self.location_store
        )
        services.caches = self.caches
        return services

    def _report_no_cache(self, name: str, why: str) -> None:
        self.log.often(WARN, "cache.no_answer", 2, cache=name, reason=why)
