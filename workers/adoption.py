"""Who serves a slot that does not beat. Pure: the same slot table gives every process the same answer.

A slot is live when a process is in it that is idle or has beaten within BEAT_LIMIT. The sockets and deadlines of a
slot that is not live belong to the next live worker after it, cyclically; when no worker is live, its deadlines
belong to the helper. Slots beyond the worker count that were once used (an earlier run had more workers) count as
never live.

    blocked worker 1              worker 2                          the supervisor
    busy, no beat for 50 ms
                                  sleeps                            sees it, wakes worker 2
                                  adopts: reads 1's sockets,
                                  fires 1's deadlines
    reads its own sockets again   also reads them for a moment      nothing: a datagram is read once, the
    beats                         sees the beat, releases           compare-and-swap fires a deadline once
"""

from collections.abc import Sequence

from workers.application import SlotState

BEAT_LIMIT = 0.05


def is_live(state: SlotState, now: float) -> bool:
    return state.pid != 0 and (not state.busy or now - state.heartbeat <= BEAT_LIMIT)


def adopters(states: Sequence[SlotState], count: int, helper: int | None, now: float) -> dict[int, int]:
    """{slot that is not live: slot of the process that serves it}; `states` is the whole table, workers first."""
    live = [index < count and is_live(state, now) for index, state in enumerate(states)]
    helping = helper is not None and is_live(states[helper], now)
    found = {}
    for index, state in enumerate(states):
        if index == helper or live[index] or (index >= count and not state.generation):
            continue
        candidates = (place % count for place in range(index + 1, index + 1 + count))
        adopter = next((place for place in candidates if live[place]), helper if helping else None)
        if adopter is not None:
            found[index] = adopter
    return found
