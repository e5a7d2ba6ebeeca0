"""How an instance ends: it drains until `idle()` has been true for SETTLE_SECS or `drain_secs` are over, then its
processes are told to stop, and who does not obey within STOP_SECS is killed. All state stays.
"""

import time
from enum import Enum

from workers.application import Flag, SlotTable
from workers.children import Children
from workers.control import Message
from workers.options import Options

STOP_SECS = 1.0
IDLE_POLL_SECS = 0.1
SETTLE_SECS = 0.5
"""What was answered last may need one more datagram of its peer passed on (the ACK to a 200)."""


class State(Enum):
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"


class Ending:
    """Holds the state of the instance; followed once a tick on the supervisor's monotonic clock."""

    def __init__(self, children: Children, slots: SlotTable, options: Options) -> None:
        self.children = children
        self.slots = slots
        self.options = options
        self.log = options.log
        self.state = State.RUNNING
        self.deadline = 0.0
        self.next_idle_poll = 0.0
        self.busy_at = 0.0

    def drain(self) -> None:
        self.state = State.DRAINING
        self.busy_at = time.monotonic()
        self.deadline = self.busy_at + self.options.limits.drain_secs
        self.announce()
        self.log("info", "draining", limit_secs=self.options.limits.drain_secs)

    def stop(self) -> None:
        if self.state is State.STOPPING:
            return
        self.state = State.STOPPING
        self.children.respawning = False
        self.deadline = time.monotonic() + STOP_SECS
        self.announce()
        self.log("info", "stopping")
        for child in self.children:
            child.tell(Message.STOP)

    def announce(self) -> None:
        """New work is refused from here on, by all who share the slots: not by one that ends before it has taken over,
        the siphond that goes on serves beside it."""
        predecessor = self.options.predecessor
        if predecessor is None or predecessor.took:
            self.slots.raise_flags(Flag.DRAINING)
            self.options.notifier.stopping()

    def follow(self, now: float) -> None:
        if self.state is State.DRAINING and now >= self.next_idle_poll:
            self.next_idle_poll = now + IDLE_POLL_SECS
            if now >= self.deadline or self.is_settled(now):
                self.stop()
        elif self.state is State.STOPPING and now >= self.deadline:
            self.children.kill()

    def is_settled(self, now: float) -> bool:
        if self.options.idle is None:
            return True
        if not self.options.idle():
            self.busy_at = now
        return now - self.busy_at >= SETTLE_SECS
