"""The supervisor's look at all hearts: who does not beat is dumped and killed, and the sibling that should serve such a
slot meanwhile is woken. The verdicts are those of watch.py, deaf.py and adoption.py; here they are carried out.
"""

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from functools import partial

from workers.application import Counter, Log, SlotState, SlotTable
from workers.children import Child, Children
from workers.control import Message
from workers.deaf import DeafWatch
from workers.net import boottime
from workers.watch import Standing, Verdict

DUMP_SECS = 1.0
START_SECS = 60.0


class Hearts:
    """Asked once a tick; `now` is the supervisor's monotonic clock."""

    def __init__(
        self, children: Children, slots: SlotTable, listeners: Sequence[Sequence[socket.socket]], log: Log
    ) -> None:
        self.children = children
        self.slots = slots
        self.log = log
        first = children.crew.first
        self.deaf = DeafWatch({slot: [group[slot - first] for group in listeners] for slot in children.workers})
        self.stirs = (slots.any_busy, self.deaf.anything_waits)
        """Asked often while nobody works: whether that is over."""
        self.woken: dict[int, int] = {}

    def look(self, now: float) -> dict[int, SlotState]:
        states = self.read()
        self.judge(states, now)
        if self.watch_sockets(states, now):
            states = self.read()
        self.wake_adopters(states)
        return states

    def read(self) -> dict[int, SlotState]:
        crew = self.children.crew.read(self.slots)
        return {**crew, **{child.slot: self.slots.read(child.slot) for child in self.children}}

    def forget_pause(self) -> None:
        """The supervisor itself has slept: nobody is judged by what it did not see."""
        for child in self.children:
            child.watch.reset()

    def judge(self, states: Mapping[int, SlotState], now: float) -> None:
        for child in self.children:
            if not child.pid:
                continue
            if child.condemned_at:
                if now - child.condemned_at > DUMP_SECS:
                    os.kill(child.pid, signal.SIGKILL)
            elif not child.ready:
                if now - child.spawned > START_SECS:
                    self.condemn(child, Verdict.DUMP, f"not ready after {START_SECS:.0f} s", now)
            else:
                verdict = child.watch.judge(states[child.slot], now, partial(Standing.of, child.pid))
                if verdict is not Verdict.FINE:
                    self.condemn(child, verdict, child.watch.reason, now)

    def watch_sockets(self, states: Mapping[int, SlotState], now: float) -> bool:
        """An idle worker that does not wake for its datagrams counts as a busy one that does not beat (deaf.py)."""
        if self.children.finishing:
            return False  # what comes is another siphond's
        found = self.deaf.find(states, now)
        for slot in found:
            self.slots.beat(slot, states[slot].heartbeat, True)
            self.children.of(slot).tell(Message.LOOK)
        return bool(found)

    def condemn(self, child: Child, verdict: Verdict, reason: str, now: float) -> None:
        """SIGABRT makes the process write its stack and end, SIGCONT one that was stopped too: it dies before it runs
        on. SIGKILL follows for one that cannot even do that."""
        self.log("error", f"{child.name} is stuck: {reason}", pid=child.pid)
        self.slots.add(child.slot, Counter.STALLS)
        child.condemned_at = now
        os.kill(child.pid, signal.SIGABRT if verdict is Verdict.DUMP else signal.SIGKILL)
        os.kill(child.pid, signal.SIGCONT)

    def wake_adopters(self, states: Mapping[int, SlotState]) -> None:
        """A sleeping worker cannot see that a sibling is stuck, so it is told, once."""
        found = self.children.crew.adopters(states, boottime())
        for slot, adopter in found.items():
            if self.woken.get(slot) != adopter:
                self.children.of(adopter).tell(Message.LOOK)
        self.woken = found
