"""Who serves a slot that does not beat. Pure: the same slot table gives every process the same answer.

A slot is live when a process is in it that is idle or has beaten within BEAT_LIMIT. The sockets and deadlines of a
slot that is not live belong to the next live worker after it, cyclically; when no worker is live, its deadlines
belong to the helper. The helper's own slot is served in the same way. Slots beyond the worker count in which an
earlier run, that had more workers, has left deadlines are never live.

    blocked worker 1              worker 2                          the supervisor
    busy, no beat for 50 ms
                                  sleeps                            sees it, wakes worker 2
                                  adopts: reads 1's sockets,
                                  fires 1's deadlines
    reads its own sockets again   also reads them for a moment      nothing: a datagram is read once, the
    beats                         sees the beat, releases           compare-and-swap fires a deadline once
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workers.application import SlotState, SlotTable

BEAT_LIMIT = 0.05


def is_live(state: SlotState, now: float) -> bool:
    return state.pid != 0 and (not state.busy or now - state.heartbeat <= BEAT_LIMIT)


@dataclass(frozen=True, slots=True)
class Crew:
    """The slots that matter: `count` workers, the helper, and what an earlier run with more workers has left."""

    count: int
    helper: int | None = None
    orphaned: tuple[int, ...] = ()

    def read(self, slots: SlotTable) -> dict[int, SlotState]:
        helper = () if self.helper is None else (self.helper,)
        return {index: slots.read(index) for index in (*range(self.count), *self.orphaned, *helper)}

    def adopters(self, states: Mapping[int, SlotState], now: float) -> dict[int, int]:
        """{slot that is not live: slot of the process that serves it}"""
        live = [is_live(states[index], now) for index in range(self.count)]
        helper = self.helper if self.helper is not None and is_live(states[self.helper], now) else None
        silent = [index for index in range(self.count) if not live[index]]
        if self.helper is not None and helper is None:
            silent.append(self.helper)
        found = {}
        for index in (*silent, *self.orphaned):
            candidates = (place % self.count for place in range(index + 1, index + 1 + self.count))
            adopter = next((place for place in candidates if live[place]), helper)
            if adopter is not None:
                found[index] = adopter
        return found


def crew_of(
    slots: SlotTable, slot_count: int, count: int, has_helper: bool, has_work: Callable[[int], bool] = lambda _: True
) -> Crew:
    """Asked once, by the supervisor before it forks. The helper has the last slot."""
    helper = slot_count - 1 if has_helper else None
    beyond = (index for index in range(count, slot_count) if index != helper)
    return Crew(count, helper, tuple(index for index in beyond if slots.read(index).starts and has_work(index)))
