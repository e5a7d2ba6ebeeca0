"""What must hold of registrations in a run: checked at every change of an address of record and at every answer.

A REGISTER answered 200 is in the table, with its CSeq, until it expires or a later one changes that; one that is
refused has changed nothing. Each change has its event, no other has one, and events are told in order and at least
once; the same one twice only after its helper has died.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from siphon.services.location import AddressRecord, Binding, Change, Event
from siphon.services.location.records import readable
from siphon.sip.message import SipMessage

if TYPE_CHECKING:
    from siphon.testing.simulated import SimulatedWorld

Told = tuple[int, Event]


class Registrations:
    """Told of every REGISTER read and answered, every record stored and every event delivered."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.read: dict[str, dict[int, int]] = {}
        """Expires by CSeq, by Call-ID."""
        self.there: dict[tuple[str, int], int] = {}
        """CSeq of the binding when a REGISTER was first read: one that is overtaken may register after a removal."""
        self.records: dict[bytes, AddressRecord] = {}
        self.made: dict[bytes, list[Told]] = {}
        """Events put into the record of a key since it was last made."""
        self.told: dict[bytes, list[Told]] = {}
        self.helper_deaths = 0

    # -- what happens -------------------------------------------------------------------------------------------------

    def request(self, message: SipMessage) -> None:
        """A worker reads a REGISTER."""
        call_id, stored = message.call_id.decode(), self._binding(message.call_id.decode())
        known = self.read.setdefault(call_id, {})
        if message.cseq not in known:
            self.there[call_id, message.cseq] = stored.cseq if stored is not None else 0
        known[message.cseq] = int(message.first("Expires") or b"-1")

    def answered(self, message: SipMessage, again: bool) -> None:
        """A final to a REGISTER leaves, perhaps `again`."""
        if again:
            return  # the same bytes: what they say was so
        call_id, cseq = message.call_id.decode(), message.cseq
        stored = self._binding(call_id)
        expires = self.read[call_id][cseq]
        if message.status != 200:
            if stored is not None and stored.cseq == cseq:
                self._fail(f"a REGISTER that was refused by {message.status} is stored")
        elif expires == 0 and stored is not None and stored.cseq == self.there[call_id, cseq]:
            self._fail("a 200 for a contact that is still there")
        elif expires > 0 and (stored is None or stored.cseq < cseq) and max(self.read[call_id]) == cseq:
            self._fail("a 200 for a contact that is not there")

    def stored(self, key: bytes, value: bytes) -> None:
        """A record of the location table is written."""
        record = readable(value)
        if record is None:
            return  # a hint
        old = self.records.get(key) or AddressRecord(record.aor)
        self.records[key] = record
        expected = [event for b in old.bindings if (event := self._changed(b, record)) is not None]
        before = {b.call_id for b in old.bindings if b.is_live(self._wall)}
        expected += [self._new(b) for b in record.bindings if b.call_id not in before]
        if old.bindings and not before and not record.bindings:
            expected = [Event.EXPIRED]
        self._events(key, old, record, expected)

    def deleted(self, key: bytes) -> None:
        """A record is deleted: it must have had nothing to tell."""
        old = self.records.pop(key, None)
        if old is None:
            return
        self._events(key, old, AddressRecord(old.aor), [])
        if old.bindings:
            self._fail("bindings went with their record, and nobody is told")
        self._all_told(key)

    def delivered(self, key: bytes, change: Change) -> None:
        """Handlers begin."""
        told = self.told.setdefault(key, [])
        event = (change.number, change.event)
        if event not in self.made.get(key, []):
            self._fail(f"{event} is told and was never stored")
        if told and told[-1][0] > change.number:
            self._fail(f"{event} is told after {told[-1]}")
        if told.count(event) > self.helper_deaths:
            self._fail(f"{event} is told again although nobody has died")
        told.append(event)

    # -- what is wrong ------------------------------------------------------------------------------------------------

    def verdict(self) -> Iterator[str]:
        """What the end of a run shows."""
        for key, record in self.records.items():
            if record.changes.waiting:
                yield f"{record.aor}: events that nobody was told of"
            for event in self.made.get(key, []):
                if event not in self.told.get(key, []):
                    yield f"{record.aor}: {event} was never told"

    def _changed(self, old: Binding, record: AddressRecord) -> Event | None:
        """What has become of a binding; fails when nothing explains it."""
        new = next((b for b in record.bindings if b.call_id == old.call_id), None)
        if not old.is_live(self._wall):
            return None
        if new is None:
            if not any(c > old.cseq and not e for c, e in self.read[old.call_id].items()):
                self._fail(f"the binding of {old.call_id} is lost")
            return Event.DEREGISTERED
        if new == old or new.transaction == old.transaction:
            return None
        if new.cseq <= old.cseq:
            self._fail(f"CSeq {new.cseq} has replaced {old.cseq}")
        return Event.REFRESHED

    def _new(self, binding: Binding) -> Event:
        if not self.read[binding.call_id].get(binding.cseq):
            self._fail(f"a binding of {binding.call_id} that no REGISTER asked for")
        return Event.REGISTERED

    def _events(self, key: bytes, old: AddressRecord, record: AddressRecord, expected: list[Event]) -> None:
        new = [event for event in record.changes.waiting if event[0] >= old.changes.following]
        if sorted(event.value for _, event in new) != sorted(event.value for event in expected):
            self._fail(f"the events {new} for the changes {expected}")
        self.made.setdefault(key, []).extend(new)
        for event in old.changes.waiting:
            if event not in record.changes.waiting and event not in self.told.get(key, []):
                self._fail(f"{event} is gone and was not told")

    def _all_told(self, key: bytes) -> None:
        made, told = self.made.pop(key, []), self.told.pop(key, [])
        if any(event not in told for event in made):
            self._fail("a record is deleted before its events were told")

    def _binding(self, call_id: str) -> Binding | None:
        every = (b for record in self.records.values() for b in record.bindings if b.is_live(self._wall))
        return next((b for b in every if b.call_id == call_id), None)

    @property
    def _wall(self) -> float:
        return self.world.clock.wall()

    def _fail(self, text: str) -> None:
        self.world.checks.fail(text)
