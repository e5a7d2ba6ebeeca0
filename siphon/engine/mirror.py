"""The helper process that mirrors the Redis of `shared.location`: an Application that reads no socket.

It agrees with the other nodes on layout and secret, follows the streams into the location table and says when the
instance is ready: once the mirror has been complete and equal. From then on the instance serves, whether the store is
there or not. It also tells the other processes the store's time, keeps this node's lease and sweeps what has expired.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis.exceptions import RedisError

from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.engine.keys import Keys
from siphon.engine.location_store import LocationStore
from siphon.engine.quiet_helper import QuietHelper
from siphon.engine.shared import Shared
from siphon.services.location.index import Index
from siphon.services.location.mirror import RENEW_SECS, SWEEP_SECS, Mirror
from siphon.services.location.records import Records
from siphon.state.redis.agreement import AnotherLayout, NotAgreed, agree
from siphon.state.redis.connect import Unusable, ask, closed, connection_to, opened
from workers.application import Flag
from workers.net import boottime

AGREE_AGAIN_SECS = 0.3
LAYOUT_AGAIN_SECS = 5.0
TICK_SECS = 0.1
SUBSCRIBE_AGAIN_SECS = 0.3
SILENT_SECS = 1.0


class MirrorHelper(QuietHelper):
    """The Application of the helper. One that takes over from it reads on from the store; its lease ends by itself."""

    def __init__(self, settings: Settings, shared: Shared, log: Log) -> None:
        super().__init__(settings, shared, log)
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """See QuietHelper.begin."""
        assert self.shared.mirror is not None
        self.state = self.shared.mirror
        loop = self.context.aio.loop
        self.store = LocationStore(self.settings, self.state, loop, self.log, self.log.at)
        hash_key = Keys(self.shared.secret, self.settings.auth.nonce_secret).table
        records = Records(self.shared.location, hash_key, self.settings.registrar.max_expires, mirrors=True)
        index = Index(self.shared.location, hash_key, mirrors=True)
        self.mirror = Mirror(self.store.place, records, index, self.store.time, self.shared.changes.tell, self.log.at)
        self.store.link.changed = self.mirror.look
        self.tasks = [loop.create_task(self._main()), loop.create_task(self._keep_time())]
        for task in self.tasks:
            task.add_done_callback(self._ended)

    def tick(self, now: float) -> float:
        """Once a turn; all work is on the loop."""
        return now + 1.0

    # -- its work

    def adopt_secret(self, secret: bytes) -> None:
        """The nodes use another secret than this one: who runs this keeps it and has the processes begin anew."""
        raise NotImplementedError

    def _ended(self, task: asyncio.Task[None]) -> None:
        """None of them ends by itself: what does is a fault, and the next process begins anew."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("mirror.failed", error=f"{type(error).__name__}: {error}")
            raise SystemExit(1)

    async def _main(self) -> None:
        await self._agree()
        loop = asyncio.get_running_loop()
        self.tasks += [loop.create_task(work) for work in (self.mirror.run(), self._listen(), self._keep_house())]
        for task in self.tasks[2:]:
            task.add_done_callback(self._ended)

    async def _agree(self) -> None:
        """Until this node and the others agree."""
        told = ""
        while True:
            try:
                agreed = await agree(self.store.link, self.store.names, self.shared.secret)
                break
            except AnotherLayout as error:
                if told != str(error):
                    told = str(error)
                    self.log.error("redis.another_layout", reason=told)
                await asyncio.sleep(LAYOUT_AGAIN_SECS)
            except NotAgreed:
                await asyncio.sleep(AGREE_AGAIN_SECS)
        if agreed.secret != self.shared.secret:
            self.log.info("redis.secret", reason="the nodes of this Redis use another: the processes begin anew")
            self.adopt_secret(agreed.secret)

    async def _keep_time(self) -> None:
        """The store's time for all processes, and the flag for whoever asks whether new work is taken."""
        while True:
            lane = self.store.link.lane(0)
            if lane is not None and lane.up and lane.clock.known:
                self.state.set_difference(lane.clock.difference)
            self._flag()
            await asyncio.sleep(TICK_SECS)

    def _flag(self) -> None:
        slots = self.shared.slots
        if not self.state.ready:
            slots.raise_flags(Flag.STATE_BEHIND)
        elif slots.flags & Flag.STATE_BEHIND:
            slots.lower_flags(Flag.STATE_BEHIND)

    async def _keep_house(self) -> None:
        """Lease, sweep, agreement, readiness."""
        next_renewal = next_sweep = 0.0
        while True:
            now = boottime()
            if self.mirror.complete and not self.state.ready:
                self.state.ready = True
                self._flag()
                self.log.info("mirror.ready", records=self.shared.location.stats().records)
            if self.store.link.is_up() and now >= next_renewal:
                next_renewal = now + RENEW_SECS
                await self.mirror.renew_all()
                await self._agree_again()
            if self.store.link.is_up() and now >= next_sweep:
                next_sweep = now + SWEEP_SECS
                await self.mirror.sweep()
            await asyncio.sleep(TICK_SECS / 2)

    async def _agree_again(self) -> None:
        """A store that has lost all learns layout and secret again."""
        try:
            agreed = await agree(self.store.link, self.store.names, self.shared.secret)
        except AnotherLayout as error:
            self.log.at("error", "redis.another_layout", reason=str(error))
        except NotAgreed:
            return
        else:
            if agreed.secret != self.shared.secret:
                self.log.at(
                    "error", "redis.secret", reason="the secret in Redis is not ours any more: restart the node"
                )

    async def _listen(self) -> None:
        """Hints from the store, each the number of a partition."""
        while True:
            place = self.store.link.place(0)
            if place is not None and self.store.link.is_up(0):
                connection = connection_to(self.store.link.url, place)
                with suppress(Unusable, RedisError, OSError, TimeoutError, ValueError):
                    await self._hear(connection)
                await closed(connection)
            await asyncio.sleep(SUBSCRIBE_AGAIN_SECS)

    async def _hear(self, connection: object) -> None:
        async with asyncio.timeout(2.0):
            await opened(connection)
            await ask(connection, "SUBSCRIBE", self.store.place.keys.channel)
        self.mirror.look()
        run, loop = self.store.link.run_id(0), asyncio.get_running_loop()
        while self.store.link.run_id(0) == run:
            reading = loop.create_task(connection.read_response(disable_decoding=True))  # type: ignore[attr-defined]
            try:
                while not reading.done() and self.store.link.run_id(0) in (run, ""):
                    await asyncio.wait([reading], timeout=SILENT_SECS)
                if not reading.done():
                    return
                message = reading.result()
            finally:
                reading.cancel()
            if message[0] == b"message" and message[2].isdigit():
                self.mirror.hint(int(message[2]) & 63)
