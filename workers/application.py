"""What the process model asks of its surroundings: the application it calls and the slot table it writes to.

The loop knows no SIP. It hands datagrams, ICMP errors and due deadlines to an `Application` and survives whatever
exception comes out. The slot table is given as an argument (siphond gives it shared memory, tests a fake).
"""

from collections.abc import Callable, Iterable
from enum import IntEnum, IntFlag
from typing import Protocol

from workers._handling_cy import Handling
from workers.aio import Stepper
from workers.net import Outbox, Received, Unreachable
from workers.timers import TimerRings


class Flag(IntFlag):
    """Bits of `SlotTable.flags`, seen by all processes: why the instance is not ready. Who raises one lowers it."""

    DRAINING = 1
    STARTING = 2
    """Not every process has been ready yet; those that are serve."""
    STATE_AWAY = 4
    """State that is shared with other machines cannot be reached, and new work needs it. For who asks whether the
    instance is ready: each process knows by itself what it can reach, and refuses by that."""
    STATE_BEHIND = 8
    """The copy that this instance keeps of such state has not been read whole yet."""


DRAINING = int(Flag.DRAINING)
REFUSING = int(Flag.DRAINING | Flag.STATE_BEHIND)
"""While one of these is up new work is refused."""


class Counter(IntEnum):
    """Counters of a slot that this package writes; the application's own begin at FIRST_FREE."""

    RESTARTS = 0
    KERNEL_DROPS = 1
    STALE_DROPS = 2
    SENDS_LOST = 3
    EXCEPTIONS = 4
    ADOPTIONS = 5
    STALLS = 6
    DATAGRAMS = 7
    FIRST_FREE = 16


class SlotState(Protocol):
    """One row of the slot table, as it was at one moment. Times are CLOCK_BOOTTIME seconds, 0.0 = not now."""

    @property
    def pid(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def heartbeat(self) -> float: ...
    @property
    def busy(self) -> bool: ...
    @property
    def critical_since(self) -> float: ...
    @property
    def in_handler_since(self) -> float: ...
    @property
    def starts(self) -> int: ...


class SlotTable(Protocol):
    def enter(self, index: int, pid: int) -> int: ...
    def leave(self, index: int) -> None: ...
    def beat(self, index: int, now: float, busy: bool) -> None: ...
    def set_handler(self, index: int, since: float) -> None: ...
    def read(self, index: int) -> SlotState: ...
    def any_busy(self) -> bool: ...
    def all_live(self, indexes: Iterable[int], now: float, limit: float) -> bool: ...
    def add(self, index: int, counter: int, n: int = 1) -> None: ...
    @property
    def flags(self) -> int: ...
    def raise_flags(self, flags: int) -> None: ...
    def lower_flags(self, flags: int) -> None: ...


class Blocked(Exception):
    """Threads of this process that do not return leave it unable to work: it ends, and another one takes over."""


class Log(Protocol):
    """Writes one event; level is debug, info, warning or error."""

    def __call__(self, level: str, event: str, **fields: object) -> None: ...


class WorkerContext:
    """What a worker has of its own; made after fork. `slot` is its row in the slot table, `index` counts from 0.

    `adopted` holds the slots whose work this process does at the moment beside its own.
    """

    __slots__ = (
        "adopted",
        "aio",
        "count",
        "generation",
        "handling",
        "index",
        "is_helper",
        "outbox",
        "slot",
        "slots",
        "timers",
    )

    def __init__(
        self, index: int, slot: int, generation: int, count: int, is_helper: bool, slots: SlotTable, outbox: Outbox
    ) -> None:
        self.index = index
        self.slot = slot
        self.generation = generation
        self.count = count
        self.is_helper = is_helper
        self.slots = slots
        self.outbox = outbox
        self.timers = TimerRings()
        self.aio = Stepper()
        self.adopted: set[int] = set()
        self.handling = Handling(slots, slot)

    def enter_handler(self, now: float) -> None:
        """Marks that a script runs: now the stall limit of handlers holds, not that of the loop. May be nested."""
        self.handling.enter_at(now)

    def leave_handler(self) -> None:
        self.handling.leave()

    def draining(self) -> bool:
        """The instance is about to stop: nothing is begun any more that nobody has asked for."""
        return self.slots.flags & DRAINING != 0

    def refuses(self) -> bool:
        """New work is not taken. Asked for each request: one load of a word in shared memory."""
        return self.slots.flags & REFUSING != 0


class Application(Protocol):
    """Called by the loop of one process, in one thread. An exception costs the datagram or entry at hand, no more."""

    def started(self, context: WorkerContext) -> None:
        """After fork, before the first turn. Takes up what a former generation of this slot has left."""

    @property
    def receive(self) -> Callable[[list[Received], float], bool | None]:
        """Takes datagrams in their order; the loop cuts what it read into short batches, so an exception costs little.
        False: tick() need not be called for it. Read once, when the loop is made."""

    def unreachable(self, errors: list[Unreachable], now: float) -> None: ...

    def due(self, entries: list[tuple[bytes, int]], now: float) -> None: ...

    def adopt(self, slot: int, generation_dead: bool, now: float) -> None:
        """`slot` does not beat: arm its deadlines here. Called again with True if a blocked one is found dead later."""

    def release(self, slot: int) -> None:
        """`slot` beats again, or another process has taken it over."""

    def tick(self, now: float) -> float | None:
        """Returns when it wants to be called at the latest; None: in each turn. Called as well in every turn in which
        something has happened, but that datagrams came of which receive() has said False. An application that has a
        method `glance` as well, () -> bool, is asked every 80 ms of a wait whether there is cause for a tick after all;
        it had better be compiled."""

    def reload(self, payload: bytes) -> None:
        """Switch to what the scratch process has validated; also called after started() in a process forked later."""

    def finish(self) -> bool:
        """Another siphond serves now. Asked once a turn from then on: begin nothing that nobody has asked for, and say
        True when nothing is in progress that would have to be done again if this process ended."""

    def stopping(self) -> None: ...
