"""Keeps this node's location table equal to the store: one process of the node, the only one that writes its records.

Each of the 64 partitions is followed by itself. Its stream is read from where we are; the id of an entry is the version
that it made, so an entry that is missing shows. Then, and when the server's run id is another (a restart, a failover),
the partition is read as a whole, in steps of SNAPSHOT_STEP, and becomes what the store has:

    position 3-17    entries 3-18, 3-19           applied, position 3-19
    position 3-19    entries 3-40 ...             trimmed: snapshot
    position 3-40    run id is another            snapshot, then entries of epoch 4
    position 4-50    the store is empty, 0-0      snapshot of nothing: the mirror is emptied

Nobody else changes a partition while its snapshot is read, and entries after it that the snapshot has already shown
are older than the records here, so they change nothing. The worker that made a change waits until our position has
passed it (commits.py), so the position is set after the table.

A hint is published for each entry; a partition is looked at when one comes, and every LOOK_SECS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from siphon.services.location.aor import address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding, stored_version
from siphon.services.location.changes import KINDS, Changes, Event
from siphon.services.location.commits import Place
from siphon.services.location.index import OWNER as HINT
from siphon.services.location.index import Index, Kind
from siphon.services.location.mirror_state import PARTITIONS, epoch_of, number_of, version_from, version_text
from siphon.services.location.records import Records, readable
from siphon.services.location.scripts import ENTRIES, LEAVE, RENEW, SNAPSHOT, STREAM_ENTRIES, SWEEP, rows_of
from siphon.services.store import CONFLICT, CONFLICT_TRIES, StoreError, read
from siphon.state.redis.names import partition
from siphon.state.redis.script import Answer, Value

LOOK_SECS = 0.5
LEASE_SECS = 3.0
RENEW_SECS = 1.0
SWEEP_SECS = 5.0
SWEEP_KEYS = 50
SNAPSHOT_STEP = 100
ENTRIES_STEP = 100
AT_ONCE = 8
"""Partitions that are worked on at one time."""
SCAN_HEADERS = 2000
KEY_BYTES = 16
SAY_AGAIN_SECS = 60.0
UNREADABLE = (ValueError, LookupError, TypeError, StoreError)
"""What damaged bytes in the store bring about, or a table here that is full."""


class Mirror:
    """One node's. `tell` is given the keys of records in which events wait; `time` is the store's time."""

    def __init__(
        self,
        place: Place,
        records: Records,
        index: Index,
        time: Callable[[], float],
        tell: Callable[[bytes], None],
        report: Callable[..., None],
    ) -> None:
        self._link, self._keys, self._state = place.link, place.keys, place.state
        self._node = place.node
        self._records = records
        self._index = index
        self._time = time
        self._tell = tell
        self._report = report
        self._runs: dict[int, str] = {}
        """The run id of the server at the last snapshot of each partition, or that it was followed under since."""
        self._equal: set[int] = set()
        """Partitions that were equal at their last look."""
        self._dirty: set[int] = set(range(PARTITIONS))
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._told = "", 0.0
        self.snapshots = 0
        self.damaged = 0

    def hint(self, number: int) -> None:
        """Something has happened in a partition."""
        self._dirty.add(number)
        self._wake.set()

    def look(self) -> None:
        """Look at all of them."""
        self._dirty.update(range(PARTITIONS))
        self._wake.set()

    @property
    def complete(self) -> bool:
        """Whether every partition was equal to the store when it was last looked at."""
        return len(self._equal) == PARTITIONS

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECS):
                    await self._wake.wait()
            except TimeoutError:
                self._dirty.update(range(PARTITIONS))
            self._wake.clear()
            numbers, self._dirty = self._dirty, set()
            await self._resync_all([n for n in sorted(numbers) if self._runs.get(n) != self._link.run_id(n)])
            await asyncio.gather(*(self._follow(number) for number in sorted(numbers)))

    # -- one partition

    async def _follow(self, number: int) -> None:
        equal = readable = False
        async with self._places:
            with suppress(*UNREADABLE):
                equal = await self._up_to_date(number)
                readable = True
        if not readable:  # the stream says nothing that can be used: what there is does
            await self._resync_all([number])
        if equal:
            self._equal.add(number)
        else:
            self._equal.discard(number)

    async def _up_to_date(self, number: int) -> bool:
        """Whether the partition is equal now."""
        before = self._state.position(number)
        run = self._link.run_id(number)
        if not run:
            return False
        if self._runs.get(number) != run:
            return False  # it has just changed, or the snapshot was not finished: the next look will
        while True:
            found = await self._entries(number)
            if found is None:
                return False
            at, entries = found
            position = self._state.position(number)
            if at == position:
                break
            if not entries or not _follows(position, version_from(entries[0][0])):
                if not await self._resync([number], self._read_all):
                    return False
                continue
            for entry in entries:
                version = version_from(entry[0])
                if not _follows(position, version):
                    break
                self._apply_entry(number, version, entry[1])
                self._state.set_position(number, version)
                position = version
        if self._state.position(number) != before:
            await self.renew(number)
        return True

    async def _entries(self, number: int) -> tuple[int, list[Any]] | None:
        """Where the partition is, and what follows our position."""
        keys = [self._keys.meta(number), self._keys.stream(number)]
        after = version_text(self._state.position(number)) or b"0-0"
        answer = await self._link.ask(ENTRIES, number, keys, [after, ENTRIES_STEP])
        if not isinstance(answer, Value):
            return None
        at, packed = answer.value
        return version_from(at), rows_of(packed)

    def _apply_entry(self, number: int, version: int, fields: list[bytes]) -> None:
        facts = dict(zip(fields[::2], fields[1::2], strict=True))
        key = bytes.fromhex(facts[b"k"].decode("ascii"))
        if len(key) != KEY_BYTES or partition(key) != number:
            raise ValueError("an entry with a key of another partition")
        own = facts[b"n"] == self._node
        events = [KINDS[code - 48] for code in facts[b"e"]] if own else []
        self._apply(key, version, facts[b"d"], events, newer_only=True)

    # -- a whole partition

    async def _resync_all(self, numbers: list[int]) -> None:
        """`_resync` of many, a few at a time."""

        async def bounded(number: int) -> tuple[int, set[bytes]] | None:
            async with self._places:
                return await self._read_all(number)

        try:
            await self._resync(numbers, bounded)
        except UNREADABLE as error:
            what = f"{type(error).__name__}: {error}"[:200]
            if (what, self._told[1] + SAY_AGAIN_SECS > self._time()) != (self._told[0], True):
                self._told = what, self._time()
                self._report("error", "mirror.unreadable", reason=what)

    async def _resync(
        self, numbers: list[int], read_all: Callable[[int], Awaitable[tuple[int, set[bytes]] | None]]
    ) -> bool:
        """Make these partitions what the store has; whether all of them are."""
        self._equal.difference_update(numbers)
        runs = {number: run for number in numbers if (run := self._link.run_id(number))}
        found = await asyncio.gather(*(read_all(number) for number in runs))
        done = {number: whole for number, whole in zip(runs, found, strict=True) if whole is not None}
        if done:
            await self._remove_others({number: seen for number, (_, seen) in done.items()})
        for number, (position, _) in done.items():
            self._state.set_position(number, position)
            self._runs[number] = runs[number]
            self.snapshots += 1
        return len(done) == len(numbers)

    async def _read_all(self, number: int) -> tuple[int, set[bytes]] | None:
        """Take over all records of a partition: where its stream was before, and the keys that there are; None when
        the store went away meanwhile."""
        cursor, first, seen = b"0", None, set()
        keys = [self._keys.meta(number), self._keys.index(number)]
        while True:
            arguments = [cursor, SNAPSHOT_STEP, self._keys.records(number)]
            answer: Answer = await self._link.ask(SNAPSHOT, number, keys, arguments)
            if not isinstance(answer, Value):
                return None
            cursor, at, packed = answer.value
            first = version_from(at) if first is None else first
            for text, version, data in rows_of(packed):
                try:
                    key, stored = bytes.fromhex(text.decode("ascii")), version_from(version)
                except ValueError:
                    key, stored = b"", 0
                if len(key) != KEY_BYTES:
                    self.damaged += 1
                    continue
                seen.add(key)
                self._apply(key, stored, data, [], newer_only=False)
            if cursor == b"0":
                return first, seen

    async def _remove_others(self, seen: dict[int, set[bytes]]) -> None:
        """What the store does not have of these partitions is gone here as well."""
        cursor = 0
        while True:
            keys, cursor = self._records.table.keys(SCAN_HEADERS, cursor, SCAN_HEADERS)
            for key in keys:
                known = seen.get(partition(key))
                if known is not None and key not in known and not self._is_hint(key):
                    self._apply(key, 0, b"", [], newer_only=False)
            if not cursor:
                return
            await asyncio.sleep(0)

    def _is_hint(self, key: bytes) -> bool:
        head = self._records.table.head(key)
        return head is None or (not isinstance(head, int) and head.owner == HINT)

    # -- one record

    def _apply(self, key: bytes, version: int, data: bytes, events: list[Event], *, newer_only: bool) -> None:
        """Make the record here what the store has, b"" for nothing, with events that are to be told here."""
        for _ in range(CONFLICT_TRIES):
            found = read(self._records.table, key)
            here = 0 if found is None else stored_version(found[1])
            if found is not None and here and (here >= version if newer_only else here == version and data):
                return
            old = readable(found[1]) if found is not None else None
            new = self._new(key, version, data, old, events)
            if new is None:
                return
            self._point(new, old)
            answer = self._records.store(key, 0 if found is None else found[0], new, self._time(), use_reserve=True)
            if answer > 0:
                if new.changes.waiting:
                    self._tell(key)
                return
            if answer != CONFLICT:
                raise StoreError("the location table is full (shared.max_bindings) or did not answer in time")
        raise StoreError("a record of the location table kept changing")

    def _new(
        self, key: bytes, version: int, data: bytes, old: AddressRecord | None, events: list[Event]
    ) -> AddressRecord | None:
        """What is to be here; None where what came is damaged."""
        changes = old.changes if old is not None else Changes()
        if data:
            record = readable(data)
            if record is None or self._records.key(record.aor) != key:
                self.damaged += 1
                self._report("error", "mirror.damaged_record", key=key.hex())
                return None
        else:
            record = AddressRecord(old.aor if old is not None else "")
            if events == [Event.EXPIRED] and (old is None or not old.bindings):
                events = []  # nothing was there that could expire
        if events and record.aor:
            changes = changes.add(events)
        return replace(record, changes=changes, stored=version)

    def _point(self, new: AddressRecord, old: AddressRecord | None) -> None:
        """The ways that lead to it, written before it."""
        known = set(old.bindings) if old is not None else set()
        fresh = [b for b in new.bindings if b not in known]
        wall = self._time()
        for binding in fresh:
            self._point_binding(binding, new.aor, wall)
        last = max((b.expiry for b in new.bindings), default=0.0)
        if fresh and last > wall:
            for alias in new.aliases:
                self._index.point(Kind.ALIAS, alias, new.aor, wall, last, is_new=False)

    def _point_binding(self, binding: Binding, aor: str, wall: float) -> None:
        contact = address_of_record_of(binding.uri)
        if binding.expiry <= wall:
            return
        if contact:
            self._index.point(Kind.CONTACT, contact, aor, wall, binding.expiry, is_new=False)
        if binding.flow_token:
            self._index.point(Kind.TOKEN, binding.flow_token, aor, wall, binding.expiry, is_new=False)

    # -- what a node does now and then

    async def renew(self, number: int) -> None:
        """Say that this node lives, and where it is."""
        arguments = [self._node, int(LEASE_SECS * 1000), version_text(self._state.position(number)) or b"0-0"]
        await self._link.ask(RENEW, number, [self._keys.nodes(number)], arguments)

    async def renew_all(self) -> None:
        await asyncio.gather(*(self.renew(number) for number in range(PARTITIONS)))

    async def leave(self) -> None:
        """Nobody need wait for this node any more."""
        await asyncio.gather(
            *(self._link.ask(LEAVE, number, [self._keys.nodes(number)], [self._node]) for number in range(PARTITIONS))
        )

    async def sweep(self) -> None:
        """Remove from the store what has expired; every node does, and the first is told (on_change)."""
        for number in range(PARTITIONS):
            keys = [self._keys.meta(number), self._keys.stream(number), self._keys.index(number)]
            run, floor = self._link.run_id(number), epoch_of(self._state.position(number))
            arguments = [
                SWEEP_KEYS,
                self._keys.records(number),
                self._node,
                run,
                floor,
                self._keys.channel,
                STREAM_ENTRIES,
            ]
            if run:
                await self._link.ask(SWEEP, number, keys, [*arguments, number])


def _follows(position: int, version: int) -> bool:
    """Whether nothing lies between the two: changes are numbered through, also where a new epoch begins. A store that
    has lost all begins with 1 again."""
    return number_of(version) == number_of(position) + 1 and version > position
