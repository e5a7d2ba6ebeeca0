"""Changes of addresses of record on their way to Redis: nobody waits, and no 200 leaves without a commit.

In: a function from the record as stored to a RegisterResult, and the record as this node's mirror has it. Out, later,
the RegisterResult that holds: a 2xx only when Redis has confirmed the change.

    the store has another version      the function is asked again, on what the store has
    refused                            500
    unknown                            read back who wrote the record last: this change, or another one; no answer: 500

Who has changed something waits until every node whose lease lives has passed the change, or SPREAD_SECS: so a look-up
anywhere finds it once the phone has its answer. A node that is cut off delays answers by so much, and no longer than
its lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from siphon.services.location.binding import AddressRecord
from siphon.services.location.changes import CODES, Changes
from siphon.services.location.mirror_state import MirrorState, epoch_of, version_from, version_text
from siphon.services.location.records import Records, readable
from siphon.services.location.register import RegisterResult
from siphon.services.location.scripts import COMMIT, FETCH, NODES, STREAM_ENTRIES, Keys
from siphon.state.redis.link import Link
from siphon.state.redis.names import partition
from siphon.state.redis.script import Answer, Lost, Refused, Value
from siphon.state.store import Wait

Rewrite = Callable[[AddressRecord | None], RegisterResult]

FAILED = RegisterResult(500, "Location Store Failed")
SPREAD_SECS = 0.05
SHORTEST_LOOK, LONGEST_LOOK = 0.001, 0.008
MOST_CONFLICTS = 50
READ_BACK_SECS = 0.02


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the store has it: its version there as text, b"" for none, who wrote it, and what it says."""

    version: bytes
    writer: bytes
    record: AddressRecord | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where changes of this node come from, and how they are kept. `node` is its name among the nodes."""

    link: Link
    keys: Keys
    state: MirrorState
    node: bytes
    slack_secs: float


class Commits:
    """The changes of one process. `time` is the store's time, `draw` gives bytes that no other change has."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        records: Records,
        time: Callable[[], float],
        draw: Callable[[], bytes],
        report: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._link, self._keys, self._state = place.link, place.keys, place.state
        self._node, self._slack = place.node, place.slack_secs
        self._records = records
        self._time = time
        self._draw = draw
        self._report = report
        self.pending = 0
        self.tells = False
        """Whether anybody wants to be told of changes (on_change)."""

    def start(self, key: bytes, aor: str, mirrored: AddressRecord | None, rewrite: Rewrite) -> Wait:
        """Begin a change; the Wait resolves with a RegisterResult."""
        return self._begin(self._change(key, aor, mirrored, rewrite))

    def ask(self, key: bytes, aor: str, judge: Rewrite) -> Wait:
        """What the store has, judged: for a REGISTER that changes nothing."""
        return self._begin(self._query(key, aor, judge))

    def fetch(self, key: bytes, aor: str) -> Wait:
        """A record from the store: the Wait resolves with an AddressRecord, or None where there is none to be had."""
        wait = Wait()

        def found(answer: object) -> None:
            stored = self._stored(answer, aor) if isinstance(answer, Value) else None
            wait.resolve(stored.record if stored is not None else None)

        number = partition(key)
        self._link.call(FETCH, number, [self._keys.record(number, key)]).then(found)
        return wait

    def _begin(self, work: object) -> Wait:
        wait = Wait()
        self.pending += 1
        task: asyncio.Task[RegisterResult] = self._loop.create_task(work)  # type: ignore[arg-type]

        def ended(task: asyncio.Task[RegisterResult]) -> None:
            self.pending -= 1
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._report(f"{type(error).__name__}: {error}")
            wait.resolve(FAILED if task.cancelled() or error is not None else task.result())

        task.add_done_callback(ended)
        return wait

    # -- a change

    async def _change(self, key: bytes, aor: str, mirrored: AddressRecord | None, rewrite: Rewrite) -> RegisterResult:
        writer = self._draw()
        stored: Stored | None = _as_mirrored(mirrored)
        for _ in range(MOST_CONFLICTS):
            if stored is None:
                return FAILED
            result = rewrite(stored.record)
            if result.record is None:
                return result
            answer = await self._commit(key, result, stored.version, writer)
            if isinstance(answer, Refused):
                self._report(answer.why)
                return FAILED
            if isinstance(answer, Lost):
                before, stored = stored, await self._read_back(key, aor)
                if stored is None or stored.version == before.version:
                    self._report(answer.why)
                    return FAILED
                if stored.writer == writer:
                    await self._spread(partition(key), version_from(stored.version), ())
                    return result
                continue
            if not answer.replicated:
                self._report("not enough replicas have it")
                return FAILED
            done, version, rest = answer.value
            if done:
                await self._spread(partition(key), version_from(version), rest)
                return result
            stored = Stored(version, b"", self._readable(rest, aor))
        self._report("the record kept changing")
        return FAILED

    async def _query(self, key: bytes, aor: str, judge: Rewrite) -> RegisterResult:
        stored = await self._read(key, aor)
        return FAILED if stored is None else judge(stored.record)

    async def _commit(self, key: bytes, result: RegisterResult, expected: bytes, writer: bytes) -> Answer:
        record, keys, number = result.record, self._keys, partition(key)
        assert record is not None
        kept = replace(record, stored=0, changes=Changes())
        value = b"" if kept.is_empty else kept.to_bytes()
        until = int(self._records.until(kept, self._time()) * 1000)
        events = b"".join(b"%d" % CODES[event] for event, _ in result.events) if self.tells else b""
        names = [keys.record(number, key), keys.meta(number), keys.stream(number), keys.index(number)]
        floor = epoch_of(self._state.position(number))
        arguments = [
            *(expected, value, writer, until, int(self._slack * 1000), key.hex(), self._node, events),
            *(self._link.run_id(number), floor, keys.channel, number, STREAM_ENTRIES),
        ]
        return await self._link.ask(COMMIT, number, [*names, keys.nodes(number)], arguments)

    # -- what the store has

    async def _read(self, key: bytes, aor: str) -> Stored | None:
        number = partition(key)
        answer = await self._link.ask(FETCH, number, [self._keys.record(number, key)])
        return self._stored(answer, aor) if isinstance(answer, Value) else None

    async def _read_back(self, key: bytes, aor: str) -> Stored | None:
        """After an answer was lost: asked until the store answers, for as long as one more call may take."""
        try:
            async with asyncio.timeout(self._link.timeout):
                while True:
                    stored = await self._read(key, aor)
                    if stored is not None:
                        return stored
                    await asyncio.sleep(READ_BACK_SECS)
        except TimeoutError:
            return None

    def _stored(self, answer: Value, aor: str) -> Stored:
        version, writer, data = answer.value
        return Stored(version or b"", writer or b"", self._readable(data, aor))

    def _readable(self, data: bytes | None, aor: str) -> AddressRecord | None:
        """A record that cannot be read is as if it were not there, and is replaced by the next REGISTER."""
        record = readable(data) if data else None
        if data and (record is None or record.aor != aor):
            self._records.damaged += 1
            return None
        return record

    # -- who has seen it

    async def _spread(self, number: int, version: int, nodes: object) -> None:
        """Wait until this node's mirror and the other nodes have passed a change, at most SPREAD_SECS."""
        if not version:
            return
        late = _late(nodes, version)
        look = SHORTEST_LOOK
        try:
            async with asyncio.timeout(SPREAD_SECS):
                while late or self._state.position(number) < version:
                    await asyncio.sleep(look)
                    look = min(look * 2, LONGEST_LOOK)
                    if late and self._state.position(number) >= version:
                        answer = await self._link.ask(NODES, number, [self._keys.nodes(number)], [self._node])
                        late = _late(answer.value, version) if isinstance(answer, Value) else False
        except TimeoutError:
            return


def _as_mirrored(mirrored: AddressRecord | None) -> Stored:
    """What the mirror has, to be tried first. An address of record that it has not may be in the store."""
    if mirrored is None or not mirrored.stored:
        return Stored(b"", b"", None)
    return Stored(version_text(mirrored.stored), b"", mirrored)


def _late(nodes: object, version: int) -> bool:
    """Whether one of the live nodes has not passed the version: names and positions in turn."""
    positions = nodes[1::2] if isinstance(nodes, list) else ()
    return any(version_from(position) < version for position in positions)
