"""What `on_change` has still to be told of an address of record: a queue that lies in its record.

An event is put in by the commit that changes the bindings, and taken off by the commit that follows its handlers. So
whoever dies in between, it is told at least once, and those of one address of record in their order:

    worker: record with the new binding, event 7        one compare-and-swap
    helper: record with event 7 begun once, runs the handlers ... killed
    helper: record with event 7 begun twice, runs the handlers, record without event 7

One that has been begun MOST_RUNS times and never ended is dropped, as any other claim: its handler may be what kills.
An event is a number and a kind, no more: handlers are given the bindings as they are at delivery. MOST may wait. When
the queue is full the oldest "refreshed" goes, and where there is none the oldest of all: the one that comes last shows
the state that is. How many went is kept for the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from siphon.services.store import BadRecord

MOST = 64
MOST_RUNS = 3


class Event(Enum):
    """What happened to a contact, as `on_change` calls it."""

    REGISTERED = "registered"
    REFRESHED = "refreshed"
    DEREGISTERED = "deregistered"
    EXPIRED = "expired"


CODES = {Event.REGISTERED: 1, Event.REFRESHED: 2, Event.DEREGISTERED: 3, Event.EXPIRED: 4}
KINDS = {code: event for event, code in CODES.items()}


@dataclass(frozen=True, slots=True)
class Changes:
    """Events that wait, with their numbers. `following` is the number of the next one, `lost` how many were left out
    since one was begun, `begun` how often the handlers of the first have been begun."""

    waiting: tuple[tuple[int, Event], ...] = ()
    following: int = 1
    lost: int = 0
    begun: int = 0

    def add(self, events: Iterable[Event]) -> Changes:
        """With these at the end."""
        waiting, number = list(self.waiting), self.following
        for event in events:
            waiting.append((number, event))
            number += 1
        surplus = max(0, len(waiting) - MOST)
        for _ in range(surplus):
            waiting.remove(next((entry for entry in waiting[:-1] if entry[1] is Event.REFRESHED), waiting[0]))
        begun = self.begun if waiting[:1] == list(self.waiting[:1]) else 0
        return Changes(tuple(waiting), number, self.lost + surplus, begun)

    def begin(self) -> Changes:
        """The first is about to be told, and that so many were lost."""
        return replace(self, lost=0, begun=self.begun + 1)

    def delivered(self, number: int) -> Changes:
        """Without this one and those before it."""
        return Changes(tuple(entry for entry in self.waiting if entry[0] > number), self.following, self.lost)

    def flat(self) -> list[Any]:
        """For msgpack."""
        return [self.following, self.lost, self.begun, [[number, CODES[event]] for number, event in self.waiting]]


def changes_of(fields: object) -> Changes:
    """From what `flat` has made; BadRecord for anything else."""
    if type(fields) is not list or len(fields) != 4 or type(fields[3]) is not list or len(fields[3]) > MOST:
        raise BadRecord("shape of the events")
    *numbers, waiting = fields
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        raise BadRecord("number of the events")
    return Changes(tuple(map(_event, waiting)), *numbers)


def _event(entry: object) -> tuple[int, Event]:
    if type(entry) is not list or len(entry) != 2 or type(entry[0]) is not int or type(entry[1]) is not int:
        raise BadRecord("an event")
    if entry[1] not in KINDS:
        raise BadRecord("kind of an event")
    return entry[0], KINDS[entry[1]]
