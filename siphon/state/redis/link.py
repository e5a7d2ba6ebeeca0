"""One process's link to the store that a URL names: a single server, the master that Sentinels know, or a Cluster.

    link = Link(loop, clock, url, timeout, report)
    link.start()
    link.call(SCRIPT, partition, keys, args) -> Wait of an Answer      await link.ask(...) -> Answer

Made after fork, on the loop of its process. Nothing here waits: a store that is away answers Refused at once, but for
what is asked while the first attempt to reach it has not ended: that has its whole limit. In a
Cluster each master has a lane; the map from partitions to masters is read again when a server redirects, when a lane
goes down, and every REFRESH_SECS. A call that is redirected has not been done, so it is sent again, within its limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from redis.exceptions import AskError, MovedError, RedisError, TryAgainError

from siphon.config.redis_url import RedisUrl
from siphon.state.redis.connect import Patience, Place, Unusable, master_by_sentinels, partitions_of_cluster, reason
from siphon.state.redis.lane import Ask, Lane, Report
from siphon.state.redis.names import PARTITIONS
from siphon.state.redis.script import Answer, Refused, Script
from siphon.state.store import Wait

REFRESH_SECS = 5.0
REFRESH_DOWN_SECS = 0.5
"""How often the map is read while a master is away."""
MOST_TRIES = 8
AGAIN_SECS = 0.01


class Link:
    """See above. `timeout`: seconds that one call may take (shared.timeout_ms)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        url: RedisUrl,
        timeout: float,
        report: Report,
    ) -> None:
        self._loop = loop
        self._now = clock
        self.url = url
        self.timeout = timeout
        self._report = report
        self._lanes: dict[Place | None, Lane] = {}
        self._map: dict[int, Place] = {}
        self._refresh: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()
        self._problem = "not connected yet"
        self._early: list[Ask] | None = [] if url.kind == "cluster" else None
        """What was asked before the map was looked for the first time; None from then on."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a server's lane goes up or down, or the map has changed."""

    def start(self) -> None:
        """Begin to connect."""
        if self.url.kind == "cluster":
            self._refresh = self._loop.create_task(self._keep_map())
        else:
            self._lane(None)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._refresh is not None:
            self._refresh.cancel()
            with suppress(asyncio.CancelledError):
                await self._refresh
        self._first_look_ended()
        for lane in list(self._lanes.values()):
            await lane.close()
        self._lanes.clear()
        await asyncio.sleep(0)  # closed transports let go of their sockets in the next turn

    # -- calls

    def call(self, script: Script, partition: int, keys: Iterable[bytes], args: Iterable[object] = ()) -> Wait:
        """Run a script; the Wait resolves with its Answer, within `timeout` and a moment."""
        wait = Wait()
        self._put(Ask(script, partition, keys, args, self._now() + self.timeout, wait.resolve))
        return wait

    async def ask(self, script: Script, partition: int, keys: Iterable[bytes], args: Iterable[object] = ()) -> Answer:
        """`call` for a coroutine."""
        future: asyncio.Future[Answer] = self._loop.create_future()

        def done(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer)

        self._put(Ask(script, partition, keys, args, self._now() + self.timeout, done))
        return await future

    def _put(self, item: Ask) -> None:
        lane = self.lane(item.partition)
        if lane is not None:
            lane.put(item)
        elif self._early is not None:
            self._early.append(item)
            self._loop.call_later(self.timeout, self._too_early, item)
        else:
            item.done(Refused(self._problem))

    def _too_early(self, item: Ask) -> None:
        """Its limit is over, and the map not found."""
        if self._early is not None and item in self._early:
            self._early.remove(item)
            item.done(Refused(self._problem))

    def _first_look_ended(self) -> None:
        """The map is known, or the servers that should have told it are away."""
        early, self._early = self._early, None
        for item in early or ():
            self._put(item)

    # -- what is known of the servers

    def lane(self, partition: int) -> Lane | None:
        """The server that has a partition, None where that is not known."""
        if self.url.kind != "cluster":
            return self._lanes.get(None)
        place = self._map.get(partition)
        return None if place is None else self._lane(place)

    def is_up(self, partition: int | None = None) -> bool:
        """Whether a partition, or every one, can be asked now."""
        numbers = range(PARTITIONS) if partition is None else (partition,)
        return all((lane := self.lane(number)) is not None and lane.up for number in numbers)

    def why(self) -> str:
        """What keeps the store from being up; "" when nothing does."""
        for number in range(PARTITIONS):
            lane = self.lane(number)
            if lane is None:
                return self._problem
            if not lane.up:
                return lane.why
        return ""

    def run_id(self, partition: int) -> str:
        """The server's run id, which is another after each restart and failover; "" when it is not known."""
        lane = self.lane(partition)
        return lane.server.run_id if lane is not None and lane.up and lane.server is not None else ""

    def store_time(self, partition: int, boottime: float) -> float | None:
        """The time of the store that has a partition, seconds; None before it has ever answered."""
        lane = self.lane(partition)
        return None if lane is None or not lane.clock.known else lane.clock.store_time(boottime)

    def boottime(self, partition: int, store: float) -> float | None:
        """The CLOCK_BOOTTIME of a time of the store."""
        lane = self.lane(partition)
        return None if lane is None or not lane.clock.known else lane.clock.boottime(store)

    def place(self, partition: int) -> Place | None:
        """Where the server of a partition is."""
        lane = self.lane(partition)
        return None if lane is None else lane.place

    # -- lanes

    def _lane(self, place: Place | None) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = Lane(self._loop, self._now, self.url, self._finder(place), self.timeout, self._report)
            lane.changed = self._lane_changed
            if place is not None:
                lane.redirect = self._redirect
            self._lanes[place] = lane
            lane.start()
        return lane

    def _finder(self, place: Place | None) -> Callable[[int], Awaitable[Place]]:
        async def known(times: int) -> Place:
            return place if place is not None else self.url.hosts[0]

        async def sentinels(times: int) -> Place:
            return await master_by_sentinels(self.url, times)

        return sentinels if self.url.kind == "sentinel" else known

    def _lane_changed(self, lane: Lane) -> None:
        if not lane.up:
            self._soon.set()
        self.changed()

    # -- a Cluster's map

    async def _keep_map(self) -> None:
        reported, patience = False, Patience()
        while True:
            self._soon.clear()
            try:
                places = list(dict.fromkeys([*(p for p in self._lanes if p is not None), *self.url.hosts]))
                self._take(await partitions_of_cluster(self.url, places, patience.times))
                patience.ended(None)
                reported = False
            except (Unusable, RedisError, OSError) as error:
                self._problem = reason(error)
                patience.ended(error)
                if not reported and not self._map:
                    self._report("error", "redis.down", server=self.url.masked, reason=self._problem)
                    reported = True
            self._first_look_ended()
            await asyncio.sleep(AGAIN_SECS)
            with suppress(TimeoutError):
                all_up = len(self._map) == PARTITIONS and self.is_up()
                async with asyncio.timeout(REFRESH_SECS if all_up else REFRESH_DOWN_SECS):
                    await self._soon.wait()

    def _take(self, found: dict[int, Place]) -> None:
        if found == self._map:
            return
        self._map = found
        self._problem = "" if len(found) == PARTITIONS else "the Cluster does not serve all slots"
        wanted = set(found.values())
        for place in wanted:
            self._lane(place)
        for gone in [place for place in self._lanes if place not in wanted]:
            lane = self._lanes.pop(gone)
            self._loop.create_task(lane.close())
        self.changed()

    def _redirect(self, item: Ask, error: MovedError | AskError | TryAgainError) -> None:
        """It was not done there: ask again where the server says."""
        item.tries += 1
        if item.tries > MOST_TRIES or self._now() > item.deadline:
            item.done(Refused("redirected too often"))
            return
        if isinstance(error, AskError):
            item.asking = True
            self._again(item, self._lane((error.host, error.port)))
            return
        item.asking = False
        self._soon.set()
        if isinstance(error, MovedError):
            self._map[item.partition] = (error.host, error.port)
        self._again(item, None)

    def _again(self, item: Ask, lane: Lane | None) -> None:
        def put() -> None:
            to = lane or self.lane(item.partition)
            if to is not None and not to.up and self._now() + AGAIN_SECS < item.deadline:
                self._loop.call_later(AGAIN_SECS, put)
            elif to is None:
                item.done(Refused(self._problem))
            else:
                to.put(item)

        self._loop.call_later(AGAIN_SECS if item.tries > 1 else 0.0, put)
