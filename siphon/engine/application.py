"""The engine in a worker: what workers/application.py asks for, over shared memory and sockets.

Made after fork, so that random generators, the outbox and the asyncio loop are this process's own. The timer helper
runs the same engine without handlers: where one is due it leaves the claim for the next worker.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.engine._gate import Gate
from siphon.engine._receiving import Receiving
from siphon.engine.building import Building
from siphon.engine.call_records import registration
from siphon.engine.core import Core
from siphon.engine.counters import Counter
from siphon.engine.enums import make_members_cheap
from siphon.engine.environment import Environment
from siphon.engine.events import TimerEvent
from siphon.engine.facts import families_of, identity_of, signer_of
from siphon.engine.far import Far
from siphon.engine.garbage import settle
from siphon.engine.handlers import ScriptHandlers
from siphon.engine.ingest import Ingest, limits_of
from siphon.engine.keys import Keys
from siphon.engine.local_ips import LocalIps
from siphon.engine.location_store import store_of
from siphon.engine.memory import MemoryUse
from siphon.engine.orphans import AtWork
from siphon.engine.own_addresses import OwnAddresses
from siphon.engine.random_bits import RandomBits
from siphon.engine.reports import Reports
from siphon.engine.sending import OwnRequests
from siphon.engine.shared import Shared
from siphon.engine.sweeping import Sweeping, swept_of
from siphon.engine.taps import Taps
from siphon.script.runtime import Runtime
from siphon.script.sources import Source
from siphon.services.caches import Caches
from siphon.services.digest import RemoteSecrets
from siphon.services.dns import Answers, Resolver
from siphon.services.limits import LiveTransactions
from siphon.services.location.binding import Binding
from siphon.services.location.changes import Event
from siphon.sip.message import SipMessage
from siphon.state.shm_store import ShmStore
from siphon.state.store import Commit, Store, Wait
from workers.application import REFUSING, Blocked, WorkerContext
from workers.net import Received, Unreachable, boottime

STALLED_SECS = 0.05
LOOK_AGAIN_SECS = 0.1
"""A helper that served our records may commit one more before it sees that we are back: they are armed once more."""
HAND_OVER_SECS = 0.25
"""A deadline of a sibling that is back is fired here after this long if nobody has: it was armed here alone."""


class Engine(Building):
    """The Application of one process. Nothing here is shared but what `shared` maps."""

    def __init__(
        self,
        settings: Settings,
        shared: Shared,
        log: Log,
        script_version: int = 1,
        sources: Mapping[str, Source] | None = None,
    ) -> None:
        self.settings = settings
        self.shared = shared
        self.log = log
        self.script_version = script_version
        self.sources = sources
        """Of the script, as they were when it was proved; read from disk where absent."""
        self.local_ips = LocalIps(boottime)
        self.own_requests: OwnRequests | None = None
        self.next_look = 0.0
        self.sweeping: Sweeping | None = None
        self.left: dict[tuple[bytes, int], float] = {}
        """Entries that were due here and are a sibling's again, and when; they are looked at once more."""
        self.receiving: Receiving | None = None
        self.tap: Taps | None = None
        """Who wants copies of messages."""

    # -- workers.Application
    # ----------------------------------------------------------------------------------------------

    def started(self, context: WorkerContext) -> None:
        """Build this process's engine and take up what a former generation of its slot has left."""
        make_members_cheap()
        self.context = context
        self.reports = Reports(
            self.log, self.shared.slots.adder(context.slot), context.handling.enter, context.handling.leave
        )
        self.shared.attach(context.slot)
        self.secret_count = self.shared.secret_count
        self.identity = identity_of(self.settings)
        self.own_addresses = OwnAddresses(self.identity.listeners, boottime)
        random_bits = RandomBits()
        self.far = self._far(random_bits)
        keys = self._keys(self.settings)
        self.signer = signer_of(self.settings, keys)
        self.memory = MemoryUse(self._pids, self._table_bytes(), boottime)
        self.secrets = RemoteSecrets(
            context.aio.loop, boottime, self.settings.auth, self._fetcher, self._report_no_secret
        )
        self._load_script(keys)
        self.taps = Taps(self.identity, self.local_ip, self._tapped)
        self._assemble(keys, random_bits)
        self.shared.recover(context.slot)
        self._take_up(boottime())
        self._begin(keys)
        settle()

    def _load_script(self, keys: Keys) -> None:
        """The script, and what it and its requests ask."""
        context = self.context
        self.location_store = store_of(self.settings, self.shared, context.aio.loop, self.log)
        self.guard = self._guard(keys)
        self.caches = Caches(self.shared.caches, keys.table, boottime, context.aio.loop, self._report_no_cache)
        self.caches.configure(self.settings.cache, self.settings.shared.timeout_ms / 1000)
        self.services = self._services(keys)
        self.runtime = Runtime(self.settings, self.services, context.aio.loop, self.log)
        self.runtime.load(version=self.script_version, sources=self.sources)
        self.chance = random.Random(os.urandom(16))
        self.resolver = Resolver(
            context.aio.loop,
            boottime,
            self.settings.dns,
            families_of(self.identity),
            self.chance.random,
            Answers(self.shared.hints, keys.table, time.time),
        )

    def _assemble(self, keys: Keys, random_bits: RandomBits) -> None:
        """Store, core and what leads messages to it."""
        context = self.context
        shm = self.shm = ShmStore(self.shared.transactions, context.outbox)
        self.store: Store = shm if self.far is None else self.far.store
        self.failed = shm.failed
        if self.far is None:  # of most entries: each commit arms, and a call commits often
            context.timers.skip_past(*self.shared.transactions.past_call)
        self.handlers = ScriptHandlers(self.runtime, self.settings, self.services, self.reports, boottime)
        self._measure()
        self.env = self.handlers.env = self._environment(keys)
        self.core = Core(
            self.store, self.env, self.handlers, self.resolver, self.reports, boottime, context.timers.arm, self._refuse
        )
        if self.far is not None:
            self.core.at_work = AtWork()
            self.far.store.doubted = self.core.refuse_late
            self.core.remind, self.far.look = self.far.remind, self.core.look
        wake = self.shared.wakes.wake if self.far is None else self.far.wake
        self.own_requests = OwnRequests(
            self.core,
            context.aio.loop,
            random_bits,
            time.time,
            lambda: self.runtime.version,
            wake,
            context.draining,
        )
        context.aio.loop.add_reader(self.shared.wakes.reader(context.slot), self._woken)
        self.gate = Gate(
            self.shared.slots,
            REFUSING,
            self.shared.mirror,
            self.far,
            self.secret_count,
            self.runtime.driver,
            self.secrets,
        )
        self.gate.configure(self.settings.script.executor_queue_capacity)
        self.ingest = Ingest(
            self.core,
            shm.transmit,
            time.time,
            random_bits,
            lambda: self.runtime.version,
            self.gate.refusing,
            self.gate.overloaded,
            limits_of(self.settings),
            LiveTransactions(self.shared.limits, keys.table, self._lives, self.shared.evict_limits),
            guard=self.guard,
            elsewhere=None if self.far is None else self._answered_elsewhere,
        )
        self.ingest.shorten()

    def _begin(self, keys: Keys) -> None:
        """What does something by itself, and the short way in."""
        self.script_timers = self.services.timers = self._timers(keys, self.chance.random)
        self.script_timers.load()
        if self.context.is_helper:
            self.sweeping = Sweeping(swept_of(self.shared), lambda: self.services.location, self._tell_expired)
        self.keepalive = self._keepalive(keys)
        self.media = self._media(self.chance.random)
        self._configure_media(keys)
        self.gateways = self._gateways(keys)
        assert self.own_requests is not None
        self.own_requests.others = self._hint
        self._keep_events()
        if self.far is None:
            self.receiving = Receiving(self, STALLED_SECS)
        self.hep = None
        self._copy()

    @property
    def receive(self) -> Callable[[list[Received], float], bool | None]:
        """Serve datagrams in their order: in C where the store answers at once."""
        return self._receive if self.receiving is None else self.receiving.receive

    def _receive(self, batch: list[Received], now: float) -> None:
        if self.far is not None and self.far.holds(batch):
            return
        self.guard.look()
        take = self.ingest.datagram
        for received in batch:
            local = received.local if self.identity.listeners[received.listener].wildcard else ""
            take(received.data, received.source, received.listener, local, received.arrived or now)
            if self.failed:
                self.report_failed_sends()
        self._note_stall(now)

    def _tapped(self, taps: Taps | None) -> None:
        """Somebody wants copies of what comes and goes, or nobody does any more."""
        self.tap = self.ingest.tap = self.shm.tap = taps
        if self.receiving is not None:
            self.receiving.tap = taps

    def _note_stall(self, began: float) -> None:
        if boottime() - began > STALLED_SECS and not self.context.is_helper:
            self.stalled = True

    def unreachable(self, errors: list[Unreachable], now: float) -> None:
        """ICMP errors: each concerns the branch whose datagram it quotes."""
        for error in errors:
            self.ingest.unreachable(error.data)

    def due(self, entries: list[tuple[bytes, int]], now: float) -> None:
        """Deadlines of the rings: stale entries are dropped after a look at the header, those of others wait."""
        for key, version in entries:
            head = self.store.head(key)
            if isinstance(head, Wait):
                self.context.timers.arm(now + 0.002, key, version)
                continue
            late = self.left.pop((key, version), None) is not None
            if head is None or head[0] != version:
                continue
            if self.far is not None and (pause := self.far.pause(key)):
                self.context.timers.arm(now + pause, key, version)
                continue
            if not late and head[1] != self.context.slot and head[1] not in self.context.adopted:
                self._leave(now, key, version)
                continue
            self.reports.count(Counter.TIMERS)
            if self.context.is_helper:
                self.env.owner = head[1]  # a helper acts for the owner: its claims are the owner's to find
            self.core.process(TimerEvent(key, self.alive))
            if self.failed:
                self.report_failed_sends()
        self._note_stall(now)

    def _leave(self, now: float, key: bytes, version: int) -> None:
        """An entry that is a sibling's again. What has been left for long has been committed since: the rings have
        dropped it."""
        left = self.left
        while left and next(iter(left.values())) < now - 2 * HAND_OVER_SECS:
            del left[next(iter(left))]
        left[key, version] = now
        self.context.timers.arm(now + HAND_OVER_SECS, key, version)

    def adopt(self, slot: int, generation_dead: bool, now: float) -> None:
        """A sibling does not beat: its deadlines are armed here; what a dead one left half done is put right."""
        if generation_dead:
            self.shared.recover(slot)
        self._arm_owned(slot)
        self.script_timers.look(generation_dead)
        self.keepalive.look()
        self.gateways.look()

    def release(self, slot: int) -> None:
        """The sibling is back and fires what is due of its records, unless it does not know of it (`due`)."""

    def tick(self, now: float) -> float:
        """What found a lock held, and expiry in the helper. After a stall: what others changed of ours."""
        self.told = self._tick(now)
        return self.told

    def _tick(self, now: float) -> float:
        if self.runtime.exhausted:
            raise MemoryError("handlers of the script have used up the memory of this process")
        if self.runtime.blocked:
            raise Blocked
        if self.stalled:
            self.stalled = False
            self._take_up(now)
        elif self.next_look and now >= self.next_look:
            self.next_look = 0.0
            self._arm_owned(self.context.slot)
        if now >= self.script_timers.next_at:
            self.script_timers.tick(now)
            self._note_stall(now)
        if now >= self.keepalive.next_at:
            self.keepalive.tick(now)
        if now >= self.gateways.next_at:
            self.gateways.tick(now)
        far_at = math.inf
        if self.far is not None:
            far_at = self.far.tick(now)
            if held := self.far.released():
                self.receive(held, now)
        if self.core.retry:
            self.core.retry_parked()
        if self.failed:  # what an answer of DNS or a handler's end has sent
            self.report_failed_sends()
        if self.sweeping is not None and now >= self.sweeping.next_at:
            self.sweeping.tick(now, time.time())
        if self.core.retry:
            return now + 0.001
        if self.sweeping is not None:
            return min(self.sweeping.next_at, far_at)
        probes_at = min(self.keepalive.next_at, self.gateways.next_at)
        return min(self.next_look or math.inf, self.script_timers.next_at, probes_at, far_at)

    def reload(self, payload: bytes) -> None:
        """Switch to the script version that the supervisor names; who also has new settings overrides this."""
        self.switch(self.settings, int(payload), None)

    def switch(self, settings: Settings, version: int, sources: Mapping[str, Source] | None) -> None:
        """Serve by these settings and this script version from the next event on. Records keep the version they began
        with, and the runtime keeps the last two."""
        copies = self.settings.tracing.hep
        self.settings, self.script_version = settings, version
        if settings.tracing.hep != copies:
            self._copy()
        self.identity = identity_of(settings)
        self.taps.configure(self.identity)
        self.secrets.configure(settings.auth)
        self.caches.configure(settings.cache, settings.shared.timeout_ms / 1000)
        keys = self._rekey()
        if self.runtime.version != version:
            self.runtime.load(settings.script.path, version, sources)
            self.script_timers.load()
            settle()
        self.resolver.configure(settings.dns, families_of(self.identity))
        self.ingest.limits = limits_of(self.settings)
        self.gate.configure(settings.script.executor_queue_capacity)
        self._configure(keys)
        self.log.info("script.loaded", version=version)

    def _copy(self) -> None:
        """Send copies where these settings want them."""
        if self.hep is not None:
            self.taps.remove(self.hep)
            self.hep.close()
        self.hep = self._hep()
        if self.hep is not None:
            self.taps.add(self.hep)

    def _rekey(self) -> Keys:
        """Services by the keys and settings that hold now."""
        keys = self._keys(self.settings)
        self.signer = signer_of(self.settings, keys)
        self.guard = self.ingest.guard = self._guard(keys)
        self.services = self._services(keys)
        self.services.timers = self.script_timers
        self._configure_media(keys)
        self.runtime.configure(self.settings, self.services)
        return keys

    def _configure(self, keys: Keys) -> None:
        """Hand the services on, and decide by these keys."""
        self._keep_events()
        self.keepalive.configure(self.settings, self.services)
        self.gateways.configure(self.settings, self.services)
        self.handlers.configure(self.settings, self.services)
        self._measure()
        fresh = self._environment(keys)
        fresh.plain = self.env.plain
        for field in fields(Environment):
            setattr(self.env, field.name, getattr(fresh, field.name))
        if self.receiving is not None:
            self.receiving.configure()

    def finish(self) -> bool:
        """Another siphond serves: True when no handler and no message waits here for anything."""
        self.media.deaf()
        waits = self.runtime.pending or self.secrets.pending or self.core.retry or self.core.running
        return not (waits or self.own_requests)

    def stopping(self) -> None:
        """Nothing to save: what matters is in shared memory."""
        if self.sweeping is not None:
            self.sweeping.stop()
        self.media.close()
        self.runtime.close()
        if self.hep is not None:
            self.hep.close()

    # -- a store that several nodes share
    # ----------------------------------------------------------------------------------------------------------

    def _far(self, random_bits: RandomBits) -> Far | None:
        if self.settings.shared.transactions == "shm":
            return None
        return Far(
            self.settings,
            self.shared,
            self.context,
            self.log,
            send=self._send_commit,
            random_bits=random_bits,
            rekeyed=lambda: self._configure(self._rekey()),
        )

    def _send_commit(self, commit: Commit) -> None:
        """The datagrams of a commit that stands."""
        outbox = self.context.outbox
        for send in commit.sends:
            outbox.put(send.data, send.to, send.listener, send.source or None)
        outbox.flush()
        self.failed.extend(commit.sends[index] for index, _errno in outbox.failures)
        if self.tap is not None:
            for send in commit.sends:
                self.tap.sent(send)

    def _answered_elsewhere(self, message: SipMessage, then: Callable[[bytes | None], None]) -> None:
        """The INVITE that another node answered under these tags."""
        assert self.far is not None and self.env.dialogs is not None
        tags = message.call_id, message.from_tag or b"", message.to_tag or b""
        self.far.notes.get(self.env.dialogs.answer_key(*tags), then)

    # -- what the parts call
    # ----------------------------------------------------------------------------------------------------------

    def _hint(self, key: bytes) -> None:
        """A request of ours that no handler waits for may have ended."""
        self.keepalive.hint(key)
        self.gateways.hint(key)

    def _woken(self) -> None:
        """Other processes have ended requests of ours, or wonder whether we run what we have claimed."""
        assert self.own_requests is not None
        for key in self.shared.wakes.read(self.context.slot):
            if self.far is not None and not self.own_requests.awaits(key):
                self.core.look(key)
            self.own_requests.look(key)

    def _tell_expired(self, aor: str, events: Sequence[tuple[Event, Binding]], wall: float) -> None:
        """Registrations that nobody has refreshed are written down where others are."""
        if self.services.cdr is None or not self.settings.cdr.include_register:
            return
        for event, binding in events:
            self.services.cdr.put(registration(aor, event, binding, wall), {})

    def _lives(self, key: bytes) -> bool:
        return self.store.head(key) is not None

    def _refuse(self, event: object, why: str) -> None:
        self.ingest.refuse(event, why)  # type: ignore[arg-type]

    def _take_up(self, now: float) -> None:
        """Arm what others have done for this slot, now and once they have seen that it is back."""
        self._arm_owned(self.context.slot)
        self.next_look = now + LOOK_AGAIN_SECS

    def _arm_owned(self, slot: int) -> None:
        for key, version, deadline in self.store.owned(slot):
            self.context.timers.arm(deadline, key, version)

    def report_failed_sends(self) -> None:
        """Datagrams that the kernel refused: as if ICMP had said so, unless it is our own address that is elsewhere."""
        failed = list(self.failed)
        self.failed.clear()
        for send in failed:
            if self.own_addresses.has(send.listener):
                self.ingest.unreachable(send.data)
