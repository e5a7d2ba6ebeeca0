"""Who serves a slot that does not beat. Pure: the same slot table gives every process the same answer.

A slot is live when a process is in it that is idle or has beaten within BEAT_LIMIT. The sockets and deadlines of a
slot that is not live belong to the next live worker after it, cyclically; when no worker is live, its deadlines
belong to the helper. The helper's own slot is served in the same way. So is a slot beyond the crew while nobody lives
in it: an earlier run, that had more workers, has left deadlines or a socket there.

    blocked worker 1              worker 2                          the supervisor
    busy, no beat for 50 ms
                                  sleeps                            sees it, wakes worker 2
                                  adopts: reads 1's sockets,
                                  fires 1's deadlines
    reads its own sockets again   also reads them for a moment      nothing: a datagram is read once, the
    beats                         sees the beat, releases           compare-and-swap fires a deadline once
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass

from workers.application import SlotState, SlotTable

BEAT_LIMIT = 0.05


def is_live(state: SlotState, now: float) -> bool:
    return state.pid != 0 and (not state.busy or now - state.heartbeat <= BEAT_LIMIT)


@dataclass(frozen=True, slots=True)
class Crew:
    """The slots that matter: `count` workers from slot `first` on, the helper, and `orphaned`: those of others."""

    count: int
    helper: int | None = None
    orphaned: tuple[int, ...] = ()
    first: int = 0

    @property
    def workers(self) -> range:
        return range(self.first, self.first + self.count)

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> "Crew":
        fields = json.loads(data)
        return cls(**{**fields, "orphaned": tuple(fields["orphaned"])})

    def is_well(self, slots: SlotTable, now: float) -> bool:
        """Whether there is no slot that anybody has to serve for another: adopters() of what is read now is empty."""
        members = self.workers if self.helper is None else (*self.workers, self.helper)
        return not self.orphaned and slots.all_live(members, now, BEAT_LIMIT)

    def read(self, slots: SlotTable) -> dict[int, SlotState]:
        helper = () if self.helper is None else (self.helper,)
        return {index: slots.read(index) for index in (*self.workers, *self.orphaned, *helper)}

    def adopters(self, states: Mapping[int, SlotState], now: float) -> dict[int, int]:
        """{slot that is not live: slot of the process that serves it}"""
        live = {index for index, state in states.items() if is_live(state, now)}
        helper = self.helper if self.helper in live else None
        crew = [*self.workers, *(() if self.helper is None else (self.helper,))]
        found = {}
        for index in (index for index in (*crew, *self.orphaned) if index not in live):
            adopter = next((place for place in self.after(index) if place in live), helper)
            if adopter is not None:
                found[index] = adopter
        return found

    def after(self, index: int) -> Iterator[int]:
        """All workers, in the order in which they are asked to serve a slot."""
        start = index + 1 - self.first
        return (self.first + place % self.count for place in range(start, start + self.count))


def crew_of(
    slots: SlotTable,
    slot_count: int,
    count: int,
    has_helper: bool,
    has_work: Callable[[int], bool] = lambda _: True,
    sockets: int = 0,
    first: int = 0,
    last: int | None = None,
    others: Collection[int] = (),
) -> Crew:
    """Asked once, by the supervisor before it forks. The helper has the slot `last`, the last one of all if absent.
    `sockets`: how many each address has; those beyond the workers belong to the slots that follow. `others` are slots
    of the siphond that this one takes over from."""
    helper = (slot_count - 1 if last is None else last) if has_helper else None
    crew = range(first, first + count)
    beyond = (index for index in range(slot_count) if index != helper and index not in crew)
    matters = (
        index
        for index in beyond
        if index in others or first <= index < first + sockets or (slots.read(index).starts and has_work(index))
    )
    return Crew(count, helper, tuple(matters), first)


def free_places(taken: Collection[int], slot_count: int, width: int, helpers: int) -> tuple[int, int] | None:
    """The first of `width` slots in a row that are not taken, and the last of `helpers` such ones; None where there is
    no room for both."""
    free = [index for index in range(slot_count) if index not in taken]
    firsts = (index for index in free if set(range(index, index + width)) <= set(free))
    first = next(firsts, None)
    if first is None:
        return None
    left = set(free) - set(range(first, first + width))
    lasts = (index for index in sorted(left, reverse=True) if set(range(index - helpers + 1, index + 1)) <= left)
    last = next(lasts, None)
    return None if last is None else (first, last)
