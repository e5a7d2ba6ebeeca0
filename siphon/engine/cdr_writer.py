"""The helper process that writes call detail records: the one writer of an instance.

It takes what is ready from the shared table, a batch at a time, and deletes what has been written. While nothing can be
written it tries again every second, and records wait in the table, also over its own death, a reload and a restart.
That something waits is told by two counters, so nothing else is looked at while they agree; every SWEEP_SECS the table
is, because a process may die between a record and its count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

from siphon.config.log import ERROR
from siphon.config.settings import Settings
from siphon.engine.counters import Counter
from siphon.engine.keys import Keys
from siphon.engine.quiet_helper import QuietHelper
from siphon.engine.shared import Shared
from siphon.services.call_records import CallRecords, Ready
from siphon.services.call_records.http_sink import HttpSink
from siphon.services.call_records.sinks import FileSink, Sink, SinkError, SyslogSink
from siphon.services.store import StoreError, read
from siphon.state.codec import BadRecord, decode
from workers.net import boottime

NAME = "cdr"
LOOK_SECS = 0.1
SWEEP_SECS = 5.0
REST_SECS = 1.0
BATCH = 256
LAST_BATCHES = 40
"""Written at the end, at most; what is left waits for the next start."""


def call_records_of(settings: Settings, shared: Shared, hash_key: bytes, wall: Callable[[], float]) -> CallRecords:
    """The records as a process sees them that has a slot."""
    slots = shared.slots
    add = slots.adder(shared.cdrs.slot)
    return CallRecords(
        shared.cdrs,
        hash_key,
        wall,
        settings.cdr.channel_size,
        lambda: slots.total(Counter.CDR_QUEUED) - slots.total(Counter.CDR_WRITTEN),
        lambda: add(Counter.CDR_QUEUED),
        lambda: add(Counter.CDR_LOST),
    )


class CdrWriter(QuietHelper):
    """The Application of the helper. `wall` is the clock of the records."""

    def begin(self) -> None:
        """See QuietHelper.begin."""
        self.log.process = NAME
        self.sink: Sink | HttpSink | None = None
        self.task: asyncio.Task[None] | None = None
        self.next_look = self.next_sweep = self.rests_until = 0.0
        self.add = self.shared.slots.adder(self.context.slot)
        self._open()

    def configure(self, settings: Settings) -> None:
        """See QuietHelper.configure."""
        before = self.settings
        super().configure(settings)
        if (before.cdr, before.server.state_dir) != (settings.cdr, settings.server.state_dir):
            self._close()
            self._open()

    def _open(self) -> None:
        keys = Keys(self.shared.secret, self.settings.auth.nonce_secret)
        self.records = call_records_of(self.settings, self.shared, keys.table, self.wall)
        self.sink = self._sink()
        self.rests_until = 0.0

    def wall(self) -> float:
        """Overridden where time is the process's own."""
        raise NotImplementedError

    def _sink(self) -> Sink | HttpSink:
        cdr = self.settings.cdr
        if cdr.backend == "http":
            assert cdr.http is not None
            return HttpSink(cdr.http.url, cdr.http.auth_header, self._refused)
        if cdr.backend == "syslog":
            assert cdr.syslog is not None
            host, _, port = cdr.syslog.target.rpartition(":")
            return SyslogSink(host.strip("[]"), int(port), self.settings.server.instance_id)
        path = self.settings.server.state_dir / Path(cdr.file.path)
        return FileSink(path, cdr.file.rotate_size_mb << 20)

    def _close(self) -> None:
        sink, self.sink = self.sink, None
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if isinstance(sink, HttpSink):
            self.closing = self.context.aio.loop.create_task(sink.close())
        elif sink is not None:
            sink.close()

    # -- writing

    def tick(self, now: float) -> float | None:
        """Once a turn. A disk may be slow: what blocks counts as a handler, not as a loop that is stuck."""
        if now < self.next_look:
            return self.next_look
        self.next_look = now + LOOK_SECS
        if self.task is None and now >= self.rests_until and (self._waiting() > 0 or now >= self.next_sweep):
            self.context.enter_handler(now)
            try:
                self.turn(now)
            finally:
                self.context.leave_handler()
        return self.next_look

    def turn(self, now: float) -> bool:
        """Write a batch; whether there was one."""
        asked = self._waiting()
        gone, following = self.records.settle(self.has_failed)
        if gone:
            self.add(Counter.CDR_WRITTEN, gone)
        batch = self.records.ready(BATCH)
        if batch:
            self._write(batch)
            self.next_look = min(self.next_look, now)
        elif following == inf:
            self.next_sweep = now + SWEEP_SECS
            if asked and self.records.is_empty():  # who counted died before, or after, its record was made
                self.add(Counter.CDR_WRITTEN, asked)
        return bool(batch)

    def _write(self, batch: Sequence[Ready]) -> None:
        lines = [record.line for record in batch]
        if isinstance(self.sink, HttpSink):
            self.task = self.context.aio.loop.create_task(self._post(self.sink, batch, lines))
            return
        assert self.sink is not None
        try:
            self._written(batch[: self.sink.write(lines)])
        except SinkError as error:
            self._failed(batch, error)

    async def _post(self, sink: HttpSink, batch: Sequence[Ready], lines: Sequence[bytes]) -> None:
        try:
            taken, why = await sink.write(lines)
            self._written([batch[place] for place in taken])
            if why:
                self._failed([], SinkError(why))
        finally:
            self.task = None

    def _written(self, batch: Sequence[Ready]) -> None:
        gone = sum(self.records.written(record) for record in batch)
        if gone:
            self.add(Counter.CDR_WRITTEN, gone)

    def _failed(self, batch: Sequence[Ready], error: SinkError) -> None:
        self._written(batch[: error.taken])
        self.rests_until = boottime() + REST_SECS
        self.log.often(ERROR, "cdr.not_written", 1, error=str(error), waiting=self._waiting())

    def _refused(self, text: bytes, status: int) -> None:
        self.log.error("cdr.refused", status=status, record=text.decode().rstrip())

    def _waiting(self) -> int:
        total = self.shared.slots.total
        return total(Counter.CDR_QUEUED) - total(Counter.CDR_WRITTEN)

    def has_failed(self, transaction: bytes) -> bool | None:
        """Whether the failure of a call was committed; None where its record is out of reach."""
        if self.settings.shared.transactions != "shm":
            return None
        try:
            found = read(self.shared.transactions, transaction)
            return None if found is None else decode(transaction, found[1]).final_status >= 300
        except (StoreError, BadRecord):
            return None

    def stopping(self) -> None:
        """What is ready is written, unless it would take long: the rest waits in the table."""
        now = boottime()
        if not isinstance(self.sink, HttpSink):
            for _ in range(LAST_BATCHES):
                if self.rests_until > now or not self.turn(now):
                    break
        self._close()
