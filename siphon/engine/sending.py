"""Who waits for the answers to requests of our own, in one process (API 5, send_request).

`send` makes the record and thereby sends the request, before it returns; only a name that is not in the cache is looked
up first. From then on any worker may get the final. The one that commits it sees in the record which slot waits: its
own, and the waiter has the answer at once; another, and sixteen bytes, the record's key, go into that slot's pipe
(siphon/engine/wakes.py), whose reader is on the waiting process's asyncio loop. The pipe is a hint: a hint may be lost
with the worker that was to give it, so a waiter looks at its record every LOOK_SECS as well. The record is the truth,
and a waiter takes one result: the first of answer, end without an answer, or the end of its time.

A worker that dies takes its waiters with it, not the request: that goes on in another worker until Timer F. What is
lost with it is a request whose name was still being looked up.

While the instance drains nothing new is sent: whoever asks gets None at once, as if nobody had answered, and the log
says so. An error would fail the handler of a call that is to be finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from threading import get_ident
from typing import TYPE_CHECKING

from siphon.engine.own import SendEvent, answer_of
from siphon.script import log
from siphon.script.reply import Reply
from siphon.script.sending import OwnRequest, Sending
from siphon.sip.message import parse
from siphon.state.codec import BadRecord, decode
from siphon.state.record import NO_SLOT, Record
from siphon.state.store import Away, Busy, Loaded, Wait

if TYPE_CHECKING:
    from siphon.engine.core import Core

LOOK_SECS = 0.5
"""How often a waiter looks at its record, in case nobody woke it."""
BUSY_SECS = 0.002
"""A record whose lock is held is looked at again after this long."""


class Waiter:
    """One that waits: until its request has left, then for the answer if it wants it."""

    __slots__ = ("event", "future", "look", "timer")

    def __init__(self, future: asyncio.Future[Reply | None]) -> None:
        self.future = future
        self.event: SendEvent | None = None
        self.look: asyncio.TimerHandle | None = None
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, reply: Reply | None) -> None:
        """The result; a later one changes nothing."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, why: str) -> None:
        """It has not left. Nobody need have awaited it: so it is marked as seen, and logged by who knows that."""
        if not self.future.done():
            self.future.set_exception(RuntimeError(why))
            self.future.exception()


class OwnRequests:
    """The requests of one process. `wake(slot, key)` tells another process that its record has ended; while
    `draining()` nothing is sent."""

    def __init__(
        self,
        core: Core,
        loop: asyncio.AbstractEventLoop,
        random_bits: Callable[[int], int],
        wall: Callable[[], float],
        script_version: Callable[[], int],
        wake: Callable[[int, bytes], None],
        draining: Callable[[], bool],
    ) -> None:
        self._core = core
        self._loop = loop
        self._random_bits = random_bits
        self._wall = wall
        self._script_version = script_version
        self._wake = wake
        self._draining = draining
        self._thread = get_ident()
        self._waiting: dict[bytes, Waiter] = {}
        self.others: Callable[[bytes], None] = lambda key: None
        """Given the key of a record that may have ended and that nobody waits for here."""
        core.own_ended = self.ended

    def __len__(self) -> int:
        return len(self._waiting)

    def send(self, own: OwnRequest) -> Sending:
        """Send the request; RuntimeError when it is known at once that it cannot go. A handler in a thread of
        `script.sync_pool_size` waits until the worker's thread has done it."""
        if get_ident() == self._thread:
            return self._send(own)
        done: ThreadFuture[Sending] = ThreadFuture()
        self._loop.call_soon_threadsafe(self._send_for_thread, own, done)
        return done.result()

    def _send_for_thread(self, own: OwnRequest, done: ThreadFuture[Sending]) -> None:
        try:
            done.set_result(self._send(own))
        except BaseException as error:
            done.set_exception(error)

    def _send(self, own: OwnRequest) -> Sending:
        waiter = Waiter(self._loop.create_future())
        if self._draining():
            uri = own.uri.decode("utf-8", "replace")
            log.advise(f"proxy.send_request: {own.method} {uri} not sent: siphond is about to stop")
            waiter.settle(None)
            return Sending(waiter.future)
        key = self._random_bits(128).to_bytes(16)
        why: list[str] = []
        inline = True

        def refused(reason: str) -> None:
            if inline:
                why.append(reason)
                return
            log.advise(f"proxy.send_request: {own.method} {own.uri.decode('utf-8', 'replace')} not sent: {reason}")
            waiter.fail(reason)

        event = waiter.event = SendEvent(
            key,
            self._random_bits(32),
            own,
            self._wall(),
            self._script_version(),
            lambda: self._left(key, waiter, own.wait),
            refused,
        )
        if own.wait:
            self._waiting[key] = waiter
            waiter.timer = self._loop.call_later(own.seconds, waiter.settle, None)
            waiter.future.add_done_callback(lambda _future: self._forget(key, waiter))
        self._core.env.owner = self._core.env.slot  # a helper may have acted for another slot
        self._core.insert(event)
        inline = False
        if why:
            self._forget(key, waiter)
            raise RuntimeError(f"{own.method} {own.uri.decode('utf-8', 'replace')} not sent: {why[0]}")
        return Sending(waiter.future)

    def _left(self, key: bytes, waiter: Waiter, wait: bool) -> None:
        if wait:
            self._look_later(key, LOOK_SECS)
        else:
            waiter.settle(None)

    def _forget(self, key: bytes, waiter: Waiter) -> None:
        """Nobody waits any more; what has not left need not leave."""
        self._waiting.pop(key, None)
        for handle in (waiter.timer, waiter.look):
            if handle is not None:
                handle.cancel()
        if waiter.event is not None:
            waiter.event.wanted = False

    # -- the end of a request -----------------------------------------------------------------------------------------

    def ended(self, record: Record) -> None:
        """A commit of this process has ended a request: tell who waits."""
        if record.waiter == self._core.env.slot:
            self._take(record)
        elif record.waiter != NO_SLOT:
            self._wake(record.waiter, record.key)

    def awaits(self, key: bytes) -> bool:
        """Whether somebody in this process waits for that record."""
        return key in self._waiting

    def look(self, key: bytes) -> None:
        """Look at a record that is waited for; harmless for any other."""
        if key not in self._waiting:
            self.others(key)
            return
        loaded = self._core.store.load(key)
        if isinstance(loaded, Wait) and not isinstance(loaded, Busy | Away):
            loaded.then(lambda answer: self._found(key, answer))
        else:
            self._found(key, loaded)

    def _found(self, key: bytes, loaded: object) -> None:
        waiter = self._waiting.get(key)
        if waiter is None:
            return
        if isinstance(loaded, Wait):
            self._look_later(key, BUSY_SECS)
            return
        if not isinstance(loaded, Loaded):
            waiter.settle(None)  # its record is gone: Timer F was long ago
            return
        try:
            record = decode(key, loaded.value)
        except BadRecord:
            waiter.settle(None)  # whoever decides on it counts and logs it
            return
        if record.final_status:
            self._take(record)
        else:
            self._look_later(key, LOOK_SECS)

    def _look_later(self, key: bytes, seconds: float) -> None:
        waiter = self._waiting.get(key)
        if waiter is not None:
            if waiter.look is not None:
                waiter.look.cancel()
            waiter.look = self._loop.call_later(seconds, self.look, key)

    def _take(self, record: Record) -> None:
        waiter = self._waiting.get(record.key)
        if waiter is None:
            self.others(record.key)
            return
        branch = answer_of(record)
        reply = None
        if branch is not None:
            reply = Reply(parse(branch.response), (branch.ip, branch.port), final_sent=True)
        waiter.settle(reply)
