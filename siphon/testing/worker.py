"""One virtual worker: the real engine over the world's tables, with its own timers, counters and asyncio loop."""

from __future__ import annotations

import heapq
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from siphon.config.log import Log
from siphon.engine.call_records import CallWatch, watch_byes
from siphon.engine.changes import KIND as ON_CHANGE
from siphon.engine.core import Core
from siphon.engine.counters import Counter
from siphon.engine.environment import Environment
from siphon.engine.events import TimerEvent
from siphon.engine.facts import ScriptFacts, timing_of
from siphon.engine.gateways import GatewayProber
from siphon.engine.guard import Guard
from siphon.engine.handlers import ScriptHandlers
from siphon.engine.ingest import Ingest, limits_of
from siphon.engine.keepalive import Keepalive
from siphon.engine.keys import Keys
from siphon.engine.parts import Resolver
from siphon.engine.script_timers import Place, ScriptTimers
from siphon.engine.sending import OwnRequests
from siphon.engine.services import gateways_of
from siphon.forwarding.next_hop import Hop
from siphon.forwarding.signer import RouteSigner
from siphon.script.context import Services
from siphon.script.loader import Script, load_script
from siphon.script.runtime import Runtime
from siphon.script.sending import OwnRequest, Sending
from siphon.script.sources import Source
from siphon.services.bans import Bans
from siphon.services.caches import Caches
from siphon.services.call_records import CallRecords
from siphon.services.dialogs import Dialogs
from siphon.services.digest import DigestVerifier, RemoteSecrets
from siphon.services.dns import Address, Enum, Rests
from siphon.services.lease import Lease
from siphon.services.limits import LiveTransactions, Windows
from siphon.services.location import Location
from siphon.services.merged import MergedRequests
from siphon.services.metrics import Metrics
from siphon.services.store import record_key
from siphon.services.timers import Timers
from siphon.state.store import Store
from siphon.testing.aio import VirtualLoop
from siphon.testing.plain import same_digest, same_save

if TYPE_CHECKING:
    from siphon.testing.world import World

SILENT = 1000
"""Threshold of the log of a worker that has died in a handler: for the script that was an exception."""
LOG_LEVEL = "error"
"""Of what virtual workers write to standard error."""
SECRET = b"a secret that all virtual workers share"


class Names(Resolver, Protocol):
    """A resolver with its cache."""

    def cached(self, hop: Hop) -> list[Address] | None: ...
    def refresh(self, hop: Hop, done: Callable[[], None]) -> None: ...


class WorkerDied(BaseException):
    """Raised at the point where a virtual worker is killed; unwinds the engine like nothing that it may catch."""


@dataclass(slots=True)
class VirtualWorker:
    """One worker: its engine, its timers, its counters. `is_helper`: it has no sockets and runs no handlers."""

    world: World
    slot: int
    generation: int
    is_helper: bool = False
    timers: list[tuple[float, bytes, int]] = field(default_factory=list)
    counters: Tally[Counter] = field(default_factory=Tally)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    adopted: set[int] = field(default_factory=set)
    alive: bool = True
    paused: bool = False
    draining: bool = False
    waiting: list[tuple[Callable[..., None], tuple[object, ...]]] = field(default_factory=list)
    core: Core = field(init=False)
    ingest: Ingest = field(init=False)
    runtime: Runtime = field(init=False)
    script_timers: ScriptTimers = field(init=False)
    store: Store = field(init=False)
    aio: VirtualLoop = field(init=False)
    resolver: Names = field(init=False)
    own_requests: OwnRequests = field(init=False)
    keepalive: Keepalive = field(init=False)
    guard: Guard = field(init=False)
    gateways: GatewayProber = field(init=False)
    log: Log = field(init=False)

    def turn(self, call: Callable[..., None], *args: object) -> None:
        """A piece of work: not done when the worker is dead, done later when it is paused; it may die of it."""
        if self.paused:
            self.waiting.append((call, args))
        elif self.alive:
            try:
                call(*args)
            except WorkerDied:
                assert not self.alive

    def woken(self, key: bytes) -> None:
        """As Application._woken."""
        if self.core.at_work is not None and not self.own_requests.awaits(key):
            self.core.look(key)
        self.own_requests.look(key)

    def arm(self, deadline: float, key: bytes, version: int) -> None:
        """As TimerRings.arm."""
        heapq.heappush(self.timers, (deadline, key, version))

    def count(self, counter: Counter, number: int = 1) -> None:
        """As Reporter.count."""
        self.counters[counter] += number

    def error(self, event: str, record_key: bytes, **facts: object) -> None:
        """As Reporter.error."""
        self.errors.append(f"{event} {facts}")

    def note(self, event: str, record_key: bytes, **facts: object) -> None:
        """As Reporter.note."""
        self.notes.append(f"{event} {facts}")

    def warn(self, event: str, record_key: bytes, **facts: object) -> None:
        """As Reporter.warn."""
        self.notes.append(f"{event} {facts}")

    def note_ban(self, event: str, **facts: object) -> None:
        """As Guard wants it."""
        self.notes.append(f"{event} {facts}")

    def datagram(self, *datagram: Any) -> None:
        """As Engine.receive, of a batch of one."""
        self.guard.look()
        self.ingest.datagram(*datagram)

    def enter(self) -> None:
        """As Watch.enter."""

    def leave(self) -> None:
        """As Watch.leave."""

    def next_when(self) -> float | None:
        """When it has something to do by itself."""
        if self.paused or not self.alive:
            return None
        times = [self.timers[0][0]] if self.timers else []
        when = self.aio.next_when()
        if when is not None:
            times.append(when)
        if not self.world.timers.empty or not self.script_timers.idle:
            times.append(self.script_timers.next_at)
        if self.keepalive.next_at < inf:
            times.append(self.keepalive.next_at)
        if self.gateways.next_at < inf:
            times.append(self.gateways.next_at)
        return min(times, default=None)

    def run_due(self, now: float) -> None:
        """Fire the entries that have come, one by one, then what awaits."""
        while self.alive and self.timers and self.timers[0][0] <= now:
            _, key, version = heapq.heappop(self.timers)
            self.turn(self.fire, key, version)
        if self.alive and now >= self.script_timers.next_at:
            self.turn(self.script_timers.tick, now)
        if self.alive and now >= self.keepalive.next_at:
            self.turn(self.keepalive.tick, now)
        if self.alive and now >= self.gateways.next_at:
            self.turn(self.gateways.tick, now)
        when = self.aio.next_when()
        if self.alive and when is not None and when <= now:
            self.turn(self.aio.step)

    def would_fire(self, key: bytes, version: int) -> bool:
        """Whether an entry of the rings is served: not a stale one, nor one of another owner."""
        head = self.store.head(key)
        return isinstance(head, tuple) and head[0] == version and (head[1] == self.slot or head[1] in self.adopted)

    def fire(self, key: bytes, version: int) -> None:
        """One entry of the rings."""
        head = self.store.head(key)
        if isinstance(head, tuple) and self.would_fire(key, version):
            self.count(Counter.TIMERS)
            if self.is_helper:
                self.core.env.owner = head[1]
            self.core.process(TimerEvent(key, self.world.alive_for(self)))

    def arm_owned(self, slot: int) -> None:
        """Arm every deadline of a slot's records here."""
        for key, version, deadline in self.store.owned(slot):
            self.arm(deadline, key, version)

    def build(self) -> None:
        """Make the engine, as the Engine of a real worker does after fork."""
        world, settings = self.world, self.world.settings
        keys = Keys(SECRET, [])
        signer = RouteSigner(keys.route_secrets) if settings.proxy.sign_record_route else None
        self.aio = VirtualLoop(world.clock)
        self.guard = Guard(
            settings,
            Bans(world.bans, keys.table, world.clock.wall),
            Windows(world.limits, keys.table),
            world.clock.wall,
            world.clock,
            self.count,
            self.note_ban,
        )
        services = self._services(keys, signer)
        self.log = world.make_log(LOG_LEVEL)
        self.runtime = world.make_runtime(settings, services, self.aio, self.log)
        try:
            self.runtime.load(version=world.script_version)
        except BaseException:
            self.aio.abandon()
            raise
        services.location.tell = world.tell if self.runtime.handlers(ON_CHANGE) else None
        self.store = world.store_of(self)
        self.resolver = world.resolver_of(self)
        env = self._environment(keys, signer)
        handlers = ScriptHandlers(self.runtime, settings, services, self, world.clock)
        if env.cdr is not None and not self.is_helper:
            watch_byes(handlers, env.cdr)
        self.script_timers = services.timers = self._timers(keys, handlers)
        self.core = Core(
            self.store,
            env,
            world.handlers_of(self, handlers, env),
            self.resolver,
            self,
            world.clock,
            self.arm,
            lambda event, why: self.ingest.refuse(event, why),
        )
        self.own_requests = OwnRequests(
            self.core,
            self.aio,
            world.random.getrandbits,
            world.clock.wall,
            lambda: self.runtime.version,
            world.hint,
            lambda: self.draining,
        )
        self.ingest = Ingest(
            self.core,
            lambda send: world.transmit(self.slot, send, False),
            world.clock.wall,
            world.random.getrandbits,
            lambda: self.runtime.version,
            lambda: self.draining,
            lambda: self.runtime.pending >= settings.script.executor_queue_capacity,
            limits_of(settings),
            LiveTransactions(world.limits, keys.table, lambda key: self.store.head(key) is not None),
            guard=self.guard,
        )
        self.ingest.shorten(world.comparison(self.core))
        self.script_timers.load()
        self.keepalive = self._keepalive(keys, services)
        self.gateways = self._gateways(keys, services)

    def reload(self, version: int) -> None:
        """Switch to a version of the script."""
        self.runtime.load(version=version)
        self.script_timers.load()

    def _timers(self, keys: Keys, handlers: ScriptHandlers) -> ScriptTimers:
        world = self.world
        place = Place(self.slot, self.generation, self.slot, world.count_of_workers, not self.is_helper)
        timers = Timers(world.timers, keys.table)
        chance = Random(self.slot).random
        return ScriptTimers(
            timers,
            self.runtime,
            handlers.run_timer,
            place,
            world.is_alive,
            world.clock,
            chance,
            self.log,
        )

    def _gateways(self, keys: Keys, services: Services) -> GatewayProber:
        world = self.world
        made = GatewayProber(
            self.core,
            Lease(world.timers, record_key(keys.table, b"l", b"gateways"), self.slot, self.generation, world.is_alive),
            self.resolver,
            lambda: self.draining,
            world.clock.wall,
            lambda: self.runtime.version,
            self.log,
            not self.is_helper,
        )
        made.configure(world.settings, services)
        self.own_requests.others = self._hint
        return made

    def _hint(self, key: bytes) -> None:
        self.keepalive.hint(key)
        self.gateways.hint(key)

    def _keepalive(self, keys: Keys, services: Services) -> Keepalive:
        world = self.world
        place = record_key(keys.table, b"l", b"keepalive")
        made = Keepalive(
            self.core,
            Lease(world.timers, place, self.slot, self.generation, world.is_alive),
            lambda: self.draining,
            world.clock.wall,
            lambda: self.runtime.version,
            self.log,
            not self.is_helper,
        )
        made.configure(world.settings, services)
        return made

    def _services(self, keys: Keys, signer: RouteSigner | None) -> Services:
        world, settings = self.world, self.world.settings
        digest = DigestVerifier(
            settings.auth,
            keys.nonce_secrets,
            world.nonces,
            keys.table,
            is_local=world.identity.is_local,
            tally=self.guard.failures(world.limits, keys.table),
        )
        digest.shorten(same_digest(digest))
        location = Location(world.location_table, world.identity, settings, keys.table)
        location.shorten(same_save(location))
        secrets = RemoteSecrets(
            self.aio, world.clock, settings.auth, lambda auth: world.auth_service, self.notes.append
        )
        return Services(
            location=location,
            digest=digest,
            secrets=secrets if settings.auth.backend == "http" else None,
            signer=signer,
            identity=world.identity,
            enum=Enum(lambda: world.resolver, settings.dns.timeout_ms / 1000),
            send_request=self._send_request,
            merged=MergedRequests(world.hints, keys.table, timing_of(settings).long, world.clock.wall),
            wall=world.clock.wall,
            limiter=Windows(world.limits, keys.table).admit,
            caches=self._caches(keys),
            cdr=self._cdr(keys) if settings.cdr.enabled else None,
            metrics=Metrics(world.metrics, keys.table, lambda: self.slot),
            gateways=gateways_of(settings, world.gateways, keys, "the only start", world.clock.wall),
        )

    def _watch(self) -> CallWatch | None:
        cdr, settings = self.runtime.services.cdr, self.world.settings
        if cdr is None or not settings.cdr.auto_emit:
            return None
        return CallWatch(cdr, settings.dialog.max_age_secs)

    def _caches(self, keys: Keys) -> Caches:
        made = Caches(self.world.caches, keys.table, self.world.clock, None, lambda name, why: None)
        made.configure(self.world.settings.cache, self.world.settings.shared.timeout_ms / 1000)
        return made

    def _cdr(self, keys: Keys) -> CallRecords:
        world = self.world
        return CallRecords(
            world.cdrs,
            keys.table,
            world.clock.wall,
            world.settings.cdr.channel_size,
            lambda: world.count(Counter.CDR_QUEUED) - world.count(Counter.CDR_WRITTEN),
            lambda: self.count(Counter.CDR_QUEUED),
            lambda: self.count(Counter.CDR_LOST),
        )

    def _send_request(self, own: OwnRequest) -> Sending:
        try:
            sending = self.own_requests.send(own)
        except WorkerDied:
            self.log.threshold = SILENT
            raise
        self.world.asked(self, own, sending)
        return sending

    def _environment(self, keys: Keys, signer: RouteSigner | None) -> Environment:
        return Environment(
            settings=self.world.settings,
            identity=self.world.identity,
            signer=signer,
            timing=timing_of(self.world.settings),
            id_key=keys.transaction,
            tag_key=keys.tag,
            loop_key=keys.loop,
            script=ScriptFacts(self.runtime),
            resolve=self.resolver.cached,
            local_ip=self.world.local_ip,
            dialogs=Dialogs(self.world.dialogs, keys.table, self.world.settings.dialog.max_age_secs),
            rests=Rests(self.world.hints, keys.table),
            slot=self.world.slot_of(self),
            owner=self.slot,
            generation=self.generation,
            runs_handlers=not self.is_helper,
            cdr=self._watch(),
        )


class ScriptOnce(Runtime):
    """A Runtime that executes a script once a process, however many workers have it: scripts of tests keep nothing."""

    def load(
        self, path: Path | None = None, version: int | None = None, sources: Mapping[str, Source] | None = None
    ) -> int:
        """See Runtime.load."""
        wanted = self._current + 1 if version is None else version
        self._keep(loaded(self.settings.script.path if path is None else path, wanted))
        return wanted


@lru_cache(maxsize=64)
def loaded(path: Path, version: int) -> Script:
    """The script of a path."""
    return load_script(path, (), version)
