"""What a process's engine is made of: services, handlers, relays, probers, over the tables that `shared` maps.

Engine (application.py) makes them when its process has started, and those that depend on keys and settings again when
one of these has changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from siphon.config.log import WARN, Log
from siphon.config.settings import Auth, Settings
from siphon.engine._soon import Stirring
from siphon.engine.call_records import CallWatch, watch_byes, watch_saves
from siphon.engine.changes import KIND as ON_CHANGE
from siphon.engine.core import Core
from siphon.engine.durations import measure
from siphon.engine.environment import Environment
from siphon.engine.facts import ScriptFacts, timing_of
from siphon.engine.far import Far
from siphon.engine.gateways import GatewayProber
from siphon.engine.guard import Guard
from siphon.engine.handlers import ScriptHandlers
from siphon.engine.hep import HepCopies
from siphon.engine.keepalive import Keepalive
from siphon.engine.keys import Keys
from siphon.engine.local_ips import LocalIps
from siphon.engine.location_store import LocationStore
from siphon.engine.media import Media
from siphon.engine.memory import MemoryUse
from siphon.engine.own_addresses import OwnAddresses
from siphon.engine.reports import Reports
from siphon.engine.script_timers import Place, ScriptTimers
from siphon.engine.sending import OwnRequests
from siphon.engine.services import services_of
from siphon.engine.shared import Shared
from siphon.forwarding.signer import RouteSigner
from siphon.script.context import Services
from siphon.script.runtime import Runtime
from siphon.script.sending import OwnRequest, Sending
from siphon.services.bans import Bans
from siphon.services.caches import Caches
from siphon.services.dialogs import Dialogs
from siphon.services.digest import Fetch, RemoteSecrets, http_fetch
from siphon.services.dns import Enum, Resolver, Rests
from siphon.services.lease import Lease
from siphon.services.limits import Windows
from siphon.services.media.calls import Calls
from siphon.services.store import record_key
from siphon.services.timers import Timers
from siphon.sip.identity import Identity
from workers.application import WorkerContext
from workers.net import boottime


class Building(Stirring):
    """Makes the parts of an Engine, who calls; nothing here is called from outside."""

    settings: Settings
    shared: Shared
    log: Log
    context: WorkerContext
    reports: Reports
    identity: Identity
    signer: RouteSigner | None
    far: Far | None
    hep: HepCopies | None
    guard: Guard
    runtime: Runtime
    services: Services
    caches: Caches
    secrets: RemoteSecrets
    location_store: LocationStore | None
    resolver: Resolver
    memory: MemoryUse
    handlers: ScriptHandlers
    core: Core
    script_timers: ScriptTimers
    media: Media
    own_requests: OwnRequests | None
    local_ips: LocalIps
    own_addresses: OwnAddresses

    def _keys(self, settings: Settings) -> Keys:
        common = b"" if self.far is None else self.far.secret
        return Keys(self.shared.secret, settings.auth.nonce_secret, common)

    def _services(self, keys: Keys) -> Services:
        confirm = None if self.far is None else self.far.confirm
        services = services_of(
            self.settings,
            self.shared,
            self.identity,
            self.signer,
            keys,
            confirm=confirm,
            store=self.location_store,
            tally=self.guard.failures(self.shared.limits, keys.table, self.shared.evict_limits),
        )
        services.secrets = self.secrets if self.settings.auth.backend == "http" else None
        services.enum = Enum(lambda: self.resolver.asker, self.settings.dns.timeout_ms / 1000)
        services.send_request = self._send_request
        services.caches = self.caches
        if services.cdr is not None and self.settings.cdr.include_register:
            watch_saves(services.location, services.cdr, time.time)
        services.memory_used_pct = self.memory.percent
        return services

    def _hep(self) -> HepCopies | None:
        settings = self.settings.tracing.hep
        if settings is None:
            return None
        return HepCopies(settings, self.context.aio.loop, self.reports.count, self.log)

    def _guard(self, keys: Keys) -> Guard:
        bans = Bans(self.shared.bans, keys.table, time.time, self.shared.evict_bans)
        windows = Windows(self.shared.limits, keys.table, self.shared.evict_limits)
        return Guard(self.settings, bans, windows, time.time, boottime, self.reports.count, self._note_ban)

    def _note_ban(self, event: str, **facts: object) -> None:
        self.log.often(WARN, event, 5, **facts)

    def _environment(self, keys: Keys) -> Environment:
        return Environment(
            settings=self.settings,
            identity=self.identity,
            signer=self.signer,
            timing=timing_of(self.settings),
            id_key=keys.transaction,
            tag_key=keys.tag,
            loop_key=keys.loop,
            script=ScriptFacts(self.runtime),
            resolve=self.resolver.cached,
            local_ip=self.local_ip,
            is_here=self.own_addresses.has,
            dialogs=self._dialogs(keys),
            rests=Rests(self.shared.hints, keys.table),
            slot=self.context.slot if self.far is None else self.far.member.slot(self.context.slot),
            owner=self.context.slot,
            generation=self.context.generation,
            runs_handlers=not self.context.is_helper,
            server=self.settings.server.server_header or None,
            cdr=self._watch(),
        )

    def _dialogs(self, keys: Keys) -> Dialogs:
        shared = self.shared
        told = None if self.far is None else self.far.notes.put
        return Dialogs(shared.dialogs, keys.common_table, self.settings.dialog.max_age_secs, shared.evict_dialogs, told)

    def _timers(self, keys: Keys, chance: Callable[[], float]) -> ScriptTimers:
        context = self.context
        place = Place(context.slot, context.generation, context.index, context.count, not context.is_helper)
        timers = Timers(self.shared.timers, keys.table)
        return ScriptTimers(
            timers, self.runtime, self.handlers.run_timer, place, self.alive, boottime, chance, self.log
        )

    def _keepalive(self, keys: Keys) -> Keepalive:
        context = self.context
        place = record_key(keys.table, b"l", b"keepalive")
        lease = Lease(self.shared.timers, place, context.slot, context.generation, self.alive)
        version = lambda: self.runtime.version  # noqa: E731
        runs = not context.is_helper
        made = Keepalive(self.core, lease, context.draining, time.time, version, self.log, runs)
        made.configure(self.settings, self.services)
        return made

    def _media(self, chance: Callable[[], float]) -> Media:
        loop, handlers = self.context.aio.loop, self.runtime.handlers
        return Media(loop, boottime, chance, self.log, handlers, self.handlers.run_timer)

    def _configure_media(self, keys: Keys) -> None:
        """The timer helper runs no handlers and needs no relays."""
        wanted = None if self.context.is_helper else self.settings.media
        life = float(self.settings.dialog.max_age_secs)
        self.services.media = self.media.configure(wanted, Calls(self.shared.media, keys.table, life))

    def _gateways(self, keys: Keys) -> GatewayProber:
        context = self.context
        made = GatewayProber(
            self.core,
            Lease(
                self.shared.timers,
                record_key(keys.table, b"l", b"gateways"),
                context.slot,
                context.generation,
                self.alive,
            ),
            self.resolver,
            context.draining,
            time.time,
            lambda: self.runtime.version,
            self.log,
            not context.is_helper,
        )
        made.configure(self.settings, self.services)
        return made

    def _send_request(self, own: OwnRequest) -> Sending:
        """proxy.send_request; not while the script is loaded, which each process does for itself."""
        if self.own_requests is None:
            raise RuntimeError("proxy.send_request is for handlers and what they start, not for module level")
        return self.own_requests.send(own)

    def _pids(self) -> list[int]:
        """Workers and helpers by their slots, and the supervisor."""
        slots = self.shared.slots
        return [os.getppid(), *(pid for index in range(len(slots)) if (pid := slots.read(index).pid))]

    def _table_bytes(self) -> int:
        place = self.settings.shared.path
        return sum(file.stat().st_blocks * 512 for file in place.iterdir() if file.is_file()) if place.is_dir() else 0

    def _fetcher(self, auth: Auth) -> Fetch | None:
        """A helper runs no handlers and asks nobody."""
        return None if self.context.is_helper else http_fetch(auth)

    def _report_no_cache(self, name: str, why: str) -> None:
        self.log.often(WARN, "cache.no_answer", 2, cache=name, reason=why)

    def _report_no_secret(self, why: str) -> None:
        self.log.often(WARN, "auth.http.no_answer", 2, reason=why)

    def _measure(self) -> None:
        """How long requests take is measured where somebody may read it."""
        read = self.settings.metrics.prometheus is not None or self.settings.admin is not None
        add = self.shared.slots.adder(self.context.slot)
        measure(self.handlers, add, boottime, read and not self.context.is_helper)
        if (watch := self._watch()) is not None and not self.context.is_helper:
            watch_byes(self.handlers, watch)

    def _watch(self) -> CallWatch | None:
        """Who writes calls down; None where nobody does."""
        if self.services.cdr is None or not self.settings.cdr.auto_emit:
            return None
        return CallWatch(self.services.cdr, self.settings.dialog.max_age_secs)

    def _keep_events(self) -> None:
        """What happens to bindings is stored only for a script that wants to be told."""
        self.services.location.tell = self.shared.changes.tell if self.runtime.handlers(ON_CHANGE) else None

    def local_ip(self, listener: int, ip: str) -> str:
        """The address that a datagram to `ip` leaves from (NAT-06)."""
        return self.local_ips.find(self.identity.listeners[listener], ip)

    def alive(self, slot: int, generation: int) -> bool:
        """Whether that generation still has the slot; read from shared memory."""
        return self.shared.alive(slot, generation) if self.far is None else self.far.alive(slot, generation)
