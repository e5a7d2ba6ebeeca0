"""The turn of a worker: wait, read, deliver, fire, step asyncio, beat. What each turn does is in `_turn_cy`, compiled.

One process, one thread. A turn waits in epoll for its own sockets, those of adopted slots, asyncio's descriptor and
the supervisor's channel; reads at most one batch a socket, so that no socket starves another or the timers; and beats
the heart before it sleeps (idle) and after it woke (busy), between slow datagrams as well. A datagram that waited
longer than `stale_after` is dropped and counted: its sender has repeated it or given up.

Whatever comes out of the application is logged and counted, and the next datagram is served. The process ends when the
supervisor says so or its channel closes, and after the turn in which its memory has run out: a new one begins with
little, and a sibling goes on with what this one has left.
"""

import select
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from workers._turn_cy import Turns
from workers.adoption import Crew
from workers.application import Application, Blocked, Counter, Log, WorkerContext
from workers.control import Channel, Closed, Message
from workers.net import Outbox, Reader, boottime, read_errors
from workers.process import BLOCKED, OUT_OF_MEMORY

LOOK_SECS = 0.02
COUNT_SECS = 0.25
DUE_LIMIT = 256


@dataclass(frozen=True, slots=True)
class LoopOptions:
    crew: Crew
    batch: int = 32
    stale_after: float = 4.0
    keep_stale: Callable[[bytes], bool] | None = None


class Exceptions:
    """Logs what came out of the application: each place once a second with its traceback, the rest only counted."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.last: dict[tuple[str, type[BaseException]], float] = {}

    def note(self, place: str, error: BaseException) -> None:
        now = time.monotonic()
        key = (place, type(error))
        if now - self.last.get(key, -1.0) < 1.0:
            return
        self.last[key] = now
        text = "".join(traceback.format_exception(error)).rstrip()
        self.log("error", "exception out of the application", place=place, error=repr(error), traceback=text)


class WorkerLoop(Turns):
    """`sockets` is [listener][place], worker 1 first; `ledger(listener, place)` the shared drop count of one."""

    def __init__(
        self,
        context: WorkerContext,
        application: Application,
        sockets: Sequence[Sequence[socket.socket]],
        ledger: Callable[[int, int], memoryview],
        control: Channel,
        options: LoopOptions,
        log: Log,
    ) -> None:
        self.epoll = select.epoll()
        super().__init__(
            context,
            application,
            self.epoll.fileno(),
            control.fileno(),
            options.batch,
            options.stale_after,
            options.keep_stale,
        )
        self.sockets = sockets
        self.ledger = ledger
        self.control = control
        self.options = options
        self.slots = context.slots
        self.gone = frozenset(options.crew.orphaned)
        self.exceptions = Exceptions(log)
        self.log = log
        self.slot_readers: dict[int, list[Reader]] = {}
        self.dead: dict[int, bool] = {}
        self.heard: dict[int, float] = {}
        self.counted: dict[Counter, int] = {}
        self.wanted = True
        self.ending = 0
        """Why the process must end, as its exit status."""

    def run(self) -> int:
        """The exit status of the process."""
        self.epoll.register(self.control.fileno(), select.EPOLLIN)
        self.epoll.register(self.context.aio.fileno(), select.EPOLLIN)
        if not self.context.is_helper:
            self.watch_slot(self.context.slot)
        self.slots.beat(self.context.slot, boottime(), True)
        self.control.send(Message.READY)
        while self.wanted and not self.ending:
            self.turn()
        self.guard("stopping", self.application.stopping)
        self.write_counters()
        return self.ending

    def has_guests(self) -> bool:
        """Whether a slot that is served here will want to be served by its own process again."""
        return bool(self.context.adopted - self.gone)

    # What a turn does when there is cause.

    def serve_errors(self, reader: Reader) -> None:
        errors = read_errors(reader.fd, reader.listener)
        if errors:
            self.guard("unreachable", self.application.unreachable, errors, self.now)

    def fire(self) -> None:
        for entry in self.context.timers.due(self.now, DUE_LIMIT):
            self.guard("due", self.application.due, [entry], self.now)
            self.keep_beating()

    def step(self) -> None:
        """Coroutines of scripts run here, so a step counts as a handler."""
        self.context.enter_handler(self.now)
        self.guard("asyncio", self.context.aio.step)
        self.context.leave_handler()
        self.keep_beating()

    def obey(self) -> None:
        try:
            received = self.control.receive()
        except Closed:
            self.wanted = False
            return
        if received is None:
            return
        message, payload = received
        if message is Message.STOP:
            self.wanted = False
        elif message is Message.RELOAD:
            self.reload(payload)
        elif message is Message.LOOK and not self.finishing:
            self.look()
        elif message is Message.CREW:
            self.options = replace(self.options, crew=Crew.unpack(payload))
            self.gone = frozenset(self.options.crew.orphaned)
            self.next_look = 0.0
        elif message in (Message.FINISH, Message.SERVE):
            self.set_finishing(message is Message.FINISH)

    def reload(self, payload: bytes) -> None:
        """Scripts are loaded here, so this counts as a handler. The supervisor hears what came of it."""
        error: bytes | None = None
        self.context.enter_handler(self.now)
        try:
            self.application.reload(payload)
        except BaseException as fault:
            self.failed("reload", fault)
            error = repr(fault).encode()
        self.context.leave_handler()
        self.control.send(Message.SWITCHED, error)

    # The end, when another siphond serves.

    def set_finishing(self, finishing: bool) -> None:
        """What waits in the sockets is the other one's, or ours again."""
        if finishing == self.finishing:
            return
        self.finishing = finishing
        for slot in sorted(self.context.adopted):
            self.release(slot)
        if not self.context.is_helper:
            (self.forget_slot if finishing else self.watch_slot)(self.context.slot)

    def go_on_finishing(self) -> None:
        try:
            self.wanted = not self.application.finish()
        except BaseException as error:
            self.failed("finish", error)
            self.wanted = False

    # Other slots.

    def look(self) -> None:
        """Compares whose work should be done here with whose is."""
        self.next_look = self.now + LOOK_SECS
        if not self.context.adopted and self.options.crew.is_well(self.slots, self.now):
            return  # nearly always: a few numbers instead of a row of objects
        states = self.options.crew.read(self.slots)
        found = self.options.crew.adopters(states, self.now)
        mine = {slot for slot, adopter in found.items() if adopter == self.context.slot}
        for slot in sorted(self.context.adopted):
            if slot not in mine or states[slot].heartbeat != self.heard.get(slot):
                self.release(slot)  # it has beaten: if it is silent again, it has records that were not seen here
        for slot in mine:
            dead = states[slot].pid == 0
            if slot not in self.context.adopted or (dead and not self.dead[slot]):
                self.heard[slot] = states[slot].heartbeat
                self.adopt(slot, dead)
                self.keep_beating()  # many slots at once must not make this process one that does not beat

    def adopt(self, slot: int, dead: bool) -> None:
        self.dead[slot] = dead
        if slot not in self.context.adopted:
            self.context.adopted.add(slot)
            self.slots.add(self.context.slot, Counter.ADOPTIONS)
            if not self.context.is_helper:
                self.watch_slot(slot)
        self.guard("adopt", self.application.adopt, slot, dead, self.now)
        self.next_tick = 0.0  # what it has said before does not hold any more

    def release(self, slot: int) -> None:
        self.context.adopted.discard(slot)
        if not self.context.is_helper:
            self.forget_slot(slot)
        self.guard("release", self.application.release, slot)
        self.next_tick = 0.0

    def watch_slot(self, slot: int) -> None:
        for reader in self.readers_of(slot):
            self.readers[reader.fd] = reader
            self.epoll.register(reader.fd, select.EPOLLIN)

    def forget_slot(self, slot: int) -> None:
        for reader in self.readers_of(slot):
            del self.readers[reader.fd]
            self.epoll.unregister(reader.fd)

    def readers_of(self, slot: int) -> list[Reader]:
        """Made once, since they hold counts; none for a slot of others that has no sockets here."""
        if slot not in self.slot_readers:
            place = slot - self.options.crew.first
            self.slot_readers[slot] = [
                Reader(group[place].fileno(), listener, place, self.ledger(listener, place))
                for listener, group in enumerate(self.sockets)
                if 0 <= place < len(group)
            ]
        return self.slot_readers[slot]

    # Failures and counts.

    def guard(self, place: str, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except BaseException as error:
            self.failed(place, error)

    def failed(self, place: str, error: BaseException) -> None:
        """Without memory the process ends, and the supervisor says why: where the last of it was asked for tells nobody
        who has the rest, and a log of it would ask for more."""
        if isinstance(error, (MemoryError, Blocked)):
            self.ending = BLOCKED if isinstance(error, Blocked) else OUT_OF_MEMORY
        with suppress(MemoryError):
            self.slots.add(self.context.slot, Counter.EXCEPTIONS)
            if not self.ending:
                self.exceptions.note(place, error)

    def write_counters(self) -> None:
        self.next_count = self.now + COUNT_SECS
        readers = [reader for group in self.slot_readers.values() for reader in group]
        self.count(Counter.DATAGRAMS, self.datagrams)
        self.count(Counter.KERNEL_DROPS, sum(reader.drops for reader in readers))
        self.count(Counter.STALE_DROPS, sum(reader.stale for reader in readers))
        self.count(Counter.SENDS_LOST, self.context.outbox.lost)

    def count(self, counter: Counter, total: int) -> None:
        if total != self.counted.get(counter, 0):
            self.slots.add(self.context.slot, counter, total - self.counted.get(counter, 0))
            self.counted[counter] = total


def make_outbox(sockets: Sequence[Sequence[socket.socket]], index: int) -> Outbox:
    """Sends from the sockets at this place: a worker's own. A helper has none and borrows those of the first worker."""
    return Outbox([group[index].fileno() for group in sockets])
