"""Finds an idle process that does not wake although its sockets have something for it: stopped, or starved.

An idle worker beats once a second, so an old heart says nothing of it. Datagrams that wait while the heart stands still
for several ticks in a row do. The supervisor then writes the slot busy with that old heart: from there on the rules of
a busy worker hold, it is adopted within 50 ms and ended after STALL_SECS. A worker that was only late beats and is idle
or busy by its own word again.
"""

import select
import socket
from collections.abc import Iterable, Mapping
from functools import partial

from workers.application import SlotState

DEAF_SECS = 0.1


class DeafWatch:
    """`sockets` are each worker's own, by slot. `find` is asked once a tick, on the supervisor's clock."""

    def __init__(self, sockets: Mapping[int, Iterable[socket.socket]]) -> None:
        self.poll = select.poll()
        self.slot_of: dict[int, int] = {}
        for slot, own in sockets.items():
            for sock in own:
                self.poll.register(sock, select.POLLIN)
                self.slot_of[sock.fileno()] = slot
        self.anything_waits = partial(self.poll.poll, 0)
        self.since: dict[int, tuple[float, float]] = {}

    def find(self, states: Mapping[int, SlotState], tick: float) -> list[int]:
        """Slots of idle processes whose sockets have been readable for DEAF_SECS on one and the same heartbeat."""
        waiting = {self.slot_of[fd] for fd, _ in self.poll.poll(0)}
        seen: dict[int, tuple[float, float]] = {}
        for slot in waiting:
            state = states[slot]
            if state.pid and not state.busy:
                heart, first = self.since.get(slot, (state.heartbeat, tick))
                seen[slot] = (heart, first) if heart == state.heartbeat else (state.heartbeat, tick)
        self.since = seen
        return [slot for slot, (_, first) in seen.items() if tick - first >= DEAF_SECS]
