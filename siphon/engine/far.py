"""Transactions in Redis, as a part of one process: link, agreement, membership, take-over and the Store over them.

Made after fork, on the asyncio loop of its process. Until all nodes have agreed (the layout, the secret) and this node
has a number, and whenever the link is down, `ready` is False: new work gets 503 and what is known waits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b

from siphon.config.log import ERROR, Log
from siphon.config.redis_url import parse_redis_url
from siphon.config.settings import Settings
from siphon.engine.shared import Shared
from siphon.state.redis.agreement import AnotherLayout, NotAgreed, agree
from siphon.state.redis.client import RedisRemote
from siphon.state.redis.link import Link
from siphon.state.redis.local import Local
from siphon.state.redis.names import Names
from siphon.state.redis.nodes import RENEW_SECS, SLOTS, Membership
from siphon.state.redis.notes import Notes
from siphon.state.redis.store import FarStore
from siphon.state.redis.takeover import TakeOver
from siphon.state.store import Commit, Wait
from workers.application import Flag, WorkerContext
from workers.net import Received, boottime

AGREE_AGAIN_SECS = 0.5
MOST_UNDER_WAY = 1000
"""Calls of one process that have no answer yet; beyond them new work is refused."""
AWAY_SECS, ASKED_SECS = 0.5, 0.05
TOLD_SECS = 1.0
"""So long it is not ready before the instance is said not to be: a new process is ready in less."""
START_SECS = 2.0
"""So long a new process keeps what comes until it is ready, rather than refuse it."""
MOST_HELD = 1000
HELD_SECS = 0.01
LEAVE_SECS = 1.0
"""How long a node that ends tries to say so."""


class Far:
    """`rekeyed` is called when the secret or our number is another than before; `send` sends a commit's datagrams."""

    def __init__(
        self,
        settings: Settings,
        shared: Shared,
        context: WorkerContext,
        log: Log,
        *,
        send: Callable[[Commit], None],
        random_bits: Callable[[int], int],
        rekeyed: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._context = context
        self._log = log
        self._rekeyed = rekeyed
        self._loop = context.aio.loop
        self._agreeing: asyncio.Task[None] | None = None
        self.secret = shared.secret
        """What the keys are derived from that all nodes must have in common."""
        self._names = Names()
        limit = settings.shared.timeout_ms / 1000
        self._link = Link(self._loop, boottime, parse_redis_url(settings.shared.transactions), limit, self._report)
        self._link.changed = self._link_changed
        remote = RedisRemote(
            self._link, self._names, boottime, lambda error: log.exception("exception out of the engine", error)
        )
        self._remote = remote
        self.notes = Notes(self._link, self._names)
        self.look: Callable[[bytes], None] = lambda key: None
        """Looks whether a record has claims of this process that nobody runs."""
        self.member = Membership(remote, shared.node_token, self._slots, boottime, self._joined, self._reminded)
        self.store = FarStore(
            remote,
            Local(
                shared.transactions,
                context.slot,
                context.generation,
                shared.alive,
                boottime,
                home=0 if context.is_helper else None,
            ),
            self.member,
            slot=context.slot,
            generation=context.generation,
            hold_secs=limit,
            send=send,
            arm=context.timers.arm,
            clock=boottime,
            later=self._loop.call_later,
            random_bits=random_bits,
            before=self.notes.under_way,
        )
        self.takeover = TakeOver(remote, self.member, self.store.taken)
        self.member.suspended = True
        self._starting_until = math.inf
        self._told_at = math.inf
        self._held: list[Received] = []
        self._link.start()

    @property
    def ready(self) -> bool:
        """Whether transactions can be begun."""
        return self.store.ready

    @property
    def takes_work(self) -> bool:
        """Whether transactions can be begun, and those begun do not wait in a long queue."""
        return self.store.ready and not self.store.is_behind and self.store.under_way < MOST_UNDER_WAY

    def holds(self, batch: Sequence[Received]) -> bool:
        """Keep datagrams while this process has just started: its siblings are ready, and so will it be in a moment.
        Not once the store is known to be away."""
        now = boottime()
        if self.ready or now >= self._starting_until or len(self._held) > MOST_HELD:
            return False
        self._starting_until = min(self._starting_until, now + START_SECS)
        self._held.extend(batch)
        return True

    def released(self) -> list[Received]:
        """What is to be served now."""
        if not self._held or (not self.ready and boottime() < self._starting_until):
            return []
        held, self._held = self._held, []
        return held

    def pause(self, key: bytes) -> float:
        """Seconds for which a timer of the record need not be looked at: it cannot be fired, or somebody is at it."""
        if not self.store.ready:
            return AWAY_SECS
        return ASKED_SECS if self.store.is_asked(key) else 0.0

    @property
    def _agreed(self) -> bool:
        return not self.member.suspended

    def tick(self, now: float) -> float:
        """Once a turn: renew our lease, take over from the dead. When it wants to be called again."""
        if self._agreed:
            self.member.tick(now)
            if not self._context.is_helper:
                self.takeover.tick(now)
        if self._context.is_helper:
            self._tell(now)
        if self._held:
            return now + HELD_SECS
        return self.member.next_at if self._agreed else now + RENEW_SECS

    def _tell(self, now: float) -> None:
        """Whether the shared state is away, for who asks the instance. One process tells for all."""
        slots, there = self._shared.slots, self._link.is_up() and self.ready
        self._told_at = math.inf if there else min(self._told_at, now + TOLD_SECS)
        if now >= self._told_at:
            slots.raise_flags(Flag.STATE_AWAY)
        elif there and slots.flags & Flag.STATE_AWAY:
            slots.lower_flags(Flag.STATE_AWAY)

    def alive(self, slot: int, generation: int) -> bool:
        """Whether that generation still has the slot, of this node or another."""
        return self.member.alive(slot, generation, self._shared.alive)

    def confirm(self, nonce: bytes, count: int, transaction: bytes, secs: float, once: bool) -> Wait:
        """Whether that use of a nonce is the first that any node has seen: True, False, or None when nobody knows."""
        return self.notes.use(blake2b(nonce, digest_size=16).digest(), count, transaction, secs, once)

    def wake(self, slot: int, key: bytes) -> None:
        """Tell the process that waits for a record; one of another node looks for itself."""
        if self.member.is_ours(slot):
            self._shared.wakes.wake(slot % SLOTS, key)

    def remind(self, slot: int, key: bytes) -> None:
        """Tell the process that a claim names, of this node or another, to look at a record."""
        if self.member.is_ours(slot):
            self._shared.wakes.wake(slot % SLOTS, key)
        else:
            self._remote.remind(slot // SLOTS, slot % SLOTS, key)

    def _reminded(self, slot: int, key: bytes) -> None:
        if slot == self._context.slot:
            self.look(key)
        else:
            self._shared.wakes.wake(slot, key)

    # -- agreement and membership -------------------------------------------------------------------------------------

    def _link_changed(self) -> None:
        if not self._link.is_up():
            self.member.suspended = True
        elif self._agreeing is None:
            self._agreeing = self._loop.create_task(self._agree())

    async def _agree(self) -> None:
        """A store that came back may be another, or empty: what all agree on is asked for each time."""
        try:
            while self._link.is_up() and not self._agreed:
                try:
                    found = await agree(self._link, self._names, self._shared.secret)
                except NotAgreed:
                    await asyncio.sleep(AGREE_AGAIN_SECS)
                except AnotherLayout as error:
                    self._log.often(ERROR, "redis.another_layout", 1, reason=str(error))
                    await asyncio.sleep(10 * AGREE_AGAIN_SECS)
                else:
                    self._take(found.secret)
        finally:
            self._agreeing = None

    def _take(self, secret: bytes) -> None:
        self.member.suspended = False
        if secret != self.secret:
            self.secret = secret
            self._rekeyed()
        self.member.next_at = 0.0
        self.tick(boottime())

    def _joined(self, number: int) -> None:
        self._log.info("node.joined", number=number)
        self._rekeyed()

    def _slots(self) -> Iterator[tuple[int, int]]:
        slots = self._shared.slots
        for index in range(len(slots)):
            state = slots.read(index)
            if state.pid:
                yield index, state.generation

    def _report(self, level: str, event: str, **fields: object) -> None:
        if event == "redis.down":
            self._starting_until = 0.0
        self._log.at(level, event, **fields)


async def leave(settings: Settings, token: bytes) -> None:
    """Give up the lease of a node whose processes have ended. Whoever cannot be told finds that it runs out."""
    loop = asyncio.get_running_loop()
    link = Link(loop, boottime, parse_redis_url(settings.shared.transactions), LEAVE_SECS, lambda *_, **__: None)
    remote = RedisRemote(link, Names(), boottime)
    left: asyncio.Future[object] = loop.create_future()
    link.start()

    def told(answer: object) -> None:
        if not left.done():
            left.set_result(answer)

    remote.back().then(lambda _: remote.leave(token).then(told))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECS):
                await left
    finally:
        await link.close()
