"""Which events wait for which in one process: those of one record, and the requests of one call, keep the order in
which they came, however late the store answers.

An event that has to wait for an answer, or for a lock, is *held* here. What comes meanwhile for the same record, or is
a request of the same call, stands in line behind it and begins when it is through: so a 183 does not overtake its 180,
a BYE its ACK, a CANCEL its INVITE. What an event brings about itself while it is decided on (the outcome of handlers
that end at once, the same ACK for another record) goes before those that stand in line.

    180: load ......... decide, commit ......... through
        183: in line ........................... load ... decide, commit
    another record: load ..... decide, commit ...

ACKs of one call do not wait for each other, only for what else came before them: a line of them would cost a round trip
each, or a timeout where the store is away, and a BYE behind them would hear nothing for so long.

    ACK: load ....... through
    ACK: load ......... through
        BYE: in line ........... load ... decide, commit

Over shared memory nothing is held but what found a lock taken, and all of this is one look at an empty dictionary.
Nobody waits in a circle: every line is sorted by the same rank, and what has begun waits for nobody who stands in line.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

CALL = b"call "
"""Before a Call-ID: the line of a call. Keys of records are shorter than the two together, or not text."""


E = TypeVar("E")
"""An event; told from others by its identity."""


@dataclass(slots=True, eq=False)
class Place(Generic[E]):
    """One event in its lines. `rank`: (does not come of an event at hand, number). `beside`: in this line it does not
    wait for those that say the same of it."""

    event: E
    lines: tuple[bytes, ...]
    rank: tuple[bool, int]
    beside: bytes
    begun: bool = False
    held: bool = False


class Order(Generic[E]):
    """The lines of one process."""

    __slots__ = ("_number", "_places", "_turns", "lines", "ready")

    def __init__(self) -> None:
        self.lines: dict[bytes, list[Place[E]]] = {}
        """Empty when nothing waits: who is in a hurry looks here first."""
        self.ready: deque[E] = deque()
        """Events whose turn has come; whoever takes one calls `begin`."""
        self._places: dict[int, Place[E]] = {}
        self._turns: list[Place[E]] = []
        """Those that are being decided on, the innermost last."""
        self._number = 0

    def may_begin(self, event: E, lines: tuple[bytes, ...], beside: bytes = b"") -> bool:
        """Whether the event may begin at once; if not it has got its place in line. `beside`: see Place."""
        if id(event) in self._places:
            return True
        place = self._place(event, lines, beside)
        if self._is_first(place):
            return True
        self._insert(place)
        return False

    def hold(self, event: E, lines: tuple[bytes, ...], beside: bytes = b"") -> None:
        """The event waits for an answer; it keeps its place until it is through."""
        place = self._places.get(id(event))
        if place is None:
            place = self._place(event, lines, beside)
            self._insert(place)
        place.begun = place.held = True

    def is_held(self, event: E) -> bool:
        """Whether it waits for an answer."""
        place = self._places.get(id(event))
        return place is not None and place.held

    def length(self, line: bytes) -> int:
        """How many stand in a line."""
        return len(self.lines.get(line, ()))

    def begin(self, event: E) -> None:
        """What the event waited for is there: it is decided on until `end`."""
        place = self._places[id(event)]
        place.begun, place.held = True, False
        self._turns.append(place)

    def end(self, event: E) -> None:
        """The decision has been made; unless the event waits again it is through, and others may be `ready`."""
        place = self._turns.pop()
        assert place.event is event
        if place.held:
            return
        del self._places[id(event)]
        for line in place.lines:
            waiting = self.lines[line]
            waiting.remove(place)
            if not waiting:
                del self.lines[line]
        for line in place.lines:
            self._call_next(line)

    def _call_next(self, line: bytes) -> None:
        for place in self.lines.get(line, ()):
            if not place.begun and self._is_first(place):
                place.begun = True
                self.ready.append(place.event)

    def _place(self, event: E, lines: tuple[bytes, ...], beside: bytes) -> Place[E]:
        """A place for a new event: before those in line if it comes of what is being decided on."""
        self._number += 1
        at_hand = any(line in turn.lines for turn in self._turns for line in lines)
        return Place(event, lines, (not at_hand, self._number), beside)

    def _insert(self, place: Place[E]) -> None:
        self._places[id(place.event)] = place
        for line in place.lines:
            waiting = self.lines.setdefault(line, [])
            at = len(waiting)
            while at and not waiting[at - 1].begun and waiting[at - 1].rank > place.rank:
                at -= 1
            waiting.insert(at, place)

    def _is_first(self, place: Place[E]) -> bool:
        """Whether nobody is before it, those apart that are being decided on right now."""
        return not any(self._before(place, line) for line in place.lines)

    def _before(self, place: Place[E], line: bytes) -> bool:
        for other in self.lines.get(line, ()):
            if other is place:
                return False
            if other in self._turns or place.beside == other.beside == line:
                continue
            if other.begun or other.rank < place.rank:
                return True
        return False
