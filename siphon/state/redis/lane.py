"""One server: a single connection with a pipeline of script calls, the limit of each, and the circuit breaker.

What is asked in one turn of the loop leaves in one write, and answers come in the order of the questions. The oldest
question's limit is the only timer: if its answer is not there, the server is hung or gone for the others as well, and
the connection is given up. What had been written by then is Lost, what had not is Refused.

    closed    calls go out
    open      a call is Refused at once. One task connects again, first at once, then after a back-off of at most
              BACK_OFF_MOST; it asks the server who it is before it lets calls through

A line is logged when the lane goes down and when it is up again, none for the attempts between.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError, TryAgainError

from siphon.config.redis_url import RedisUrl
from siphon.state.redis.clock import StoreClock
from siphon.state.redis.connect import (
    Patience,
    Place,
    Server,
    Unusable,
    ask,
    closed,
    connection_to,
    examine,
    opened,
    reason,
)
from siphon.state.redis.script import Answer, Lost, Refused, Script, Value

BACK_OFF_FIRST, BACK_OFF_MOST = 0.05, 2.0
CONNECT_SECS = 1.0
STABLE_SECS = 5.0
"""Who has been up for so long begins again with the shortest back-off."""
_STALE = ("READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "UNBLOCKED")

READ_SECS = 0.02
"""How long the loop reads on before a silent server is given up."""
LATE = 3
"""A server whose answers all come later than this many limits is given up too."""

Report = Callable[..., None]


class Ask:
    """One call on its way. `done` is called once with its Answer."""

    __slots__ = ("args", "asking", "deadline", "done", "keys", "partition", "script", "sent", "tries", "value", "whole")

    def __init__(
        self,
        script: Script,
        partition: int,
        keys: Iterable[bytes],
        args: Iterable[object],
        deadline: float,
        done: Callable[[Answer], None],
    ) -> None:
        self.script = script
        self.partition = partition
        self.keys = tuple(keys)
        self.args = tuple(args)
        self.deadline = deadline
        self.done = done
        self.sent = 0.0
        self.tries = 0
        self.asking = False  # the next server is told that its slot is on the move (ASK)
        self.whole = False  # the script's source is sent, not its digest
        self.value: Value | None = None  # done, and waits for the replicas

    def command(self) -> tuple[object, ...]:
        verb, text = ("EVAL", self.script.source) if self.whole else ("EVALSHA", self.script.digest)
        return verb, text, len(self.keys), *self.keys, *self.args


class _Asking:
    """The place of ASKING in the order of answers."""


class _Replicas:
    """The place of a WAIT in the order of answers, and the calls that wait for it."""

    def __init__(self, asks: list[Ask]) -> None:
        self.asks = asks


class Lane:
    """Calls of one process to one server. `find` gives its place, which a failover may change."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        url: RedisUrl,
        find: Callable[[int], Awaitable[Place]],
        limit: float,
        report: Report,
    ) -> None:
        """`limit`: seconds that one call may take. `report(level, event, **fields)` writes to the log."""
        self._loop = loop
        self._now = clock
        self._url = url
        self._find = find
        self._patience = Patience()
        self._limit = limit
        self._report = report
        self.clock = StoreClock()
        self.server: Server | None = None
        self.place: Place | None = None
        self.up = False
        self.why = "not connected yet"
        self._is_new = True  # the first attempt to connect has not ended
        self.redirect: Callable[[Ask, MovedError | AskError | TryAgainError], None] = _unexpected
        self.changed: Callable[[Lane], None] = lambda lane: None
        """Called when it goes up, or down."""
        self._queue: list[Ask] = []
        self._flight: deque[Ask | _Asking | _Replicas] = deque()
        self._wake = asyncio.Event()
        self._broken: asyncio.Future[str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looked = (0.0, 0)
        self._answers = 0
        self._down_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._loop.create_task(self._run())

    async def close(self) -> None:
        """Give up the connection; what is under way is Lost or Refused."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def put(self, item: Ask) -> None:
        """Ask; `item.done` gets the Answer, now if the lane is down. Before the first connection it waits for that."""
        if not (self.up or self._is_new):
            item.done(Refused(self.why))
            return
        self._queue.append(item)
        self._wake.set()
        if self._timer is None:
            self._watch()

    def give_up(self, why: str) -> None:
        """The connection is no good: the breaker opens."""
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(why)

    # -- the breaker

    async def _run(self) -> None:
        back_off = 0.0
        while True:
            connection = None
            try:
                async with asyncio.timeout(CONNECT_SECS * self._patience.times + self._limit):
                    connection = await self._open()
                self._patience.ended(None)
            except (Unusable, RedisError, OSError, ValueError, TimeoutError) as error:
                self._patience.ended(error)
                self._is_down(reason(error))
                await asyncio.sleep(back_off * random.uniform(0.7, 1.0))  # noqa: S311
                back_off = min(max(back_off * 2, BACK_OFF_FIRST), BACK_OFF_MOST)
                continue
            since = self._now()
            self._is_up()
            try:
                why = await self._serve(connection)
            finally:
                self._let_go()
                await closed(connection)
            self._is_down(why, was_up=True)
            if self._now() - since > STABLE_SECS:
                back_off = 0.0
            else:
                await asyncio.sleep(max(back_off, BACK_OFF_FIRST))
                back_off = min(max(back_off * 2, BACK_OFF_FIRST), BACK_OFF_MOST)

    async def _open(self) -> Any:
        self.place = await self._find(self._patience.times)
        connection = await opened(connection_to(self._url, self.place))
        try:
            server = await examine(connection)
            if self.server is None or server.run_id != self.server.run_id:
                self.clock = StoreClock()
            self.server = server
            for _ in range(3):
                sent = self._now()
                seconds, micros = await ask(connection, "TIME")
                self.clock.sample(sent, self._now(), int(seconds) + int(micros) / 1e6)
        except BaseException:
            await closed(connection)
            raise
        return connection

    def _is_up(self) -> None:
        self.up, self.why, self._is_new = True, "", False
        assert self.server is not None
        if self._down_since is not None:
            self._report(
                "info", "redis.up", server=self._name(), run_id=self.server.run_id, after=self._now() - self._down_since
            )
            self._down_since = None
        self.changed(self)

    def _is_down(self, why: str, was_up: bool = False) -> None:
        self.up, self.why, self._is_new = False, why, False
        self._refuse_queue(why)
        if self._down_since is None:
            self._down_since = self._now()
            self._report("error", "redis.down", server=self._name(), reason=why)
        if was_up:
            self.changed(self)

    def _name(self) -> str:
        return self._url.masked if self.place is None else f"{self.place[0]}:{self.place[1]}"

    # -- the pipeline

    async def _serve(self, connection: Any) -> str:
        """Serve until the connection is no good; why."""
        self._broken = self._loop.create_future()
        tasks = [self._loop.create_task(self._write(connection)), self._loop.create_task(self._read(connection))]
        for task in tasks:
            task.add_done_callback(lambda task: self.give_up(_end_of(task)))
        try:
            return await self._broken
        finally:
            self.up = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, connection: Any) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            asks, self._queue = self._queue, []
            if asks:
                await connection.send_packed_command(self._packed(connection, asks), check_health=False)

    def _packed(self, connection: Any, asks: list[Ask]) -> list[bytes]:
        """The commands as bytes; from here on their fate is unknown."""
        sent, commands, waiting = self._now(), [], []
        for item in asks:
            if item.asking:
                commands.append(("ASKING",))
                self._flight.append(_Asking())
            item.sent = sent
            commands.append(item.command())  # type: ignore[arg-type]
            self._flight.append(item)
            if item.script.writes and self._url.wait:
                waiting.append(item)
        if waiting:
            commands.append(("WAIT", self._url.wait, max(1, int(self._limit * 1000 / 3))))  # type: ignore[arg-type]
            self._flight.append(_Replicas(waiting))
        packed: list[bytes] = connection.pack_commands(commands)
        return packed

    async def _read(self, connection: Any) -> None:
        while True:
            try:
                answer = await connection.read_response(disable_decoding=True, disconnect_on_error=False)
            except ResponseError as error:
                answer = error
            if not self._flight:
                raise Unusable("an answer to nothing")
            self._answers += 1
            self._answered(self._flight.popleft(), answer)

    def _answered(self, item: Ask | _Asking | _Replicas, answer: Any) -> None:
        if isinstance(item, _Asking):
            return
        if isinstance(item, _Replicas):
            enough = isinstance(answer, int) and answer >= self._url.wait
            for waiting in item.asks:
                if waiting.value is not None:
                    waiting.done(waiting.value._replace(replicated=enough))
        elif isinstance(answer, ResponseError):
            self._failed(item, answer)
        else:
            self._succeeded(item, answer)

    def _succeeded(self, item: Ask, answer: Any) -> None:
        at = int(answer[0]) + int(answer[1]) / 1e6
        self.clock.sample(item.sent, self._now(), at)
        value = Value(answer[2] if len(answer) > 2 else None, at)
        if item.script.writes and self._url.wait and not item.tries:
            item.value = value
        else:
            item.done(value)

    def _failed(self, item: Ask, error: ResponseError) -> None:
        """The server has refused, before the script wrote anything."""
        if isinstance(error, NoScriptError) and not item.whole:
            item.whole = True
            self._queue.append(item)
            self._wake.set()
        elif isinstance(error, MovedError | AskError | TryAgainError):
            self.redirect(item, error)
        else:
            why = reason(error)
            item.done(Refused(f"{type(error).__name__}: {why}"))
            if any(word in f"{type(error).__name__} {why}".upper() for word in (*_STALE, "LOADINGERROR")):
                self.give_up(why)

    # -- limits

    def _watch(self) -> None:
        """One timer, for the oldest call."""
        oldest = self._oldest()
        self._timer = None if oldest is None else self._loop.call_later(oldest - self._now() + 0.001, self._look)

    def _oldest(self) -> float | None:
        flight = next((item.deadline for item in self._flight if isinstance(item, Ask)), None)
        queue = self._queue[0].deadline if self._queue else None
        known = [deadline for deadline in (flight, queue) if deadline is not None]
        return min(known, default=None)

    def _look(self) -> None:
        """The limit of the oldest call is over. Its answer may lie in our socket, when it was this process that had no
        time: so the loop reads once more, and a server that answers, if late, is not hung."""
        oldest, now = self._oldest(), self._now()
        if oldest is None or oldest > now:
            self._watch()
        elif now > oldest + LATE * self._limit or self._looked == (oldest, self._answers):
            self._timer = None
            if not self.up:  # not connected in time; the attempt goes on
                self._is_new = False
                self._refuse_queue(self.why)
            self.give_up(f"no answer within {self._limit * 1000:.0f} ms")
        else:
            self._looked = oldest, self._answers
            self._timer = self._loop.call_later(READ_SECS, self._look)

    def _let_go(self) -> None:
        """The connection is gone: what is known of each call."""
        self.up = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        flight, self._flight = self._flight, deque()
        broken = self._broken
        why = self.why = broken.result() if broken and broken.done() and not broken.cancelled() else "closed"
        for item in flight:
            if isinstance(item, _Replicas):
                for waiting in item.asks:
                    if waiting.value is not None:
                        waiting.done(waiting.value._replace(replicated=False))
            elif isinstance(item, Ask):
                item.done(Lost(why))
        self._refuse_queue(why)

    def _refuse_queue(self, why: str) -> None:
        queue, self._queue = self._queue, []
        for item in queue:
            item.done(Refused(why))


def _unexpected(item: Ask, error: Exception) -> None:
    """A single server redirects nobody."""
    item.done(Refused(f"unexpected {type(error).__name__}"))


def _end_of(task: asyncio.Task[None]) -> str:
    if task.cancelled():
        return "closed"
    error = task.exception()
    return "closed" if error is None else reason(error)
