"""The supervisor's children: workers, the timer helper and the extras; how each is forked, heard, buried and forked
again.

A process that died is forked again at once; after EARLY_DEATHS deaths within EARLY_SECS of their start, ever later. One
that is forked after a reload gets the payload of the last good one after it has started.
"""

import gc
import mmap
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from workers.adoption import crew_of
from workers.application import Application, Counter, Flag, SlotTable, WorkerContext
from workers.control import Channel, Closed, Message
from workers.loop import LoopOptions, WorkerLoop, make_outbox
from workers.options import Options
from workers.process import BLOCKED, OUT_OF_MEMORY, fork, set_title
from workers.sockets import drops_so_far
from workers.watch import Watch

EARLY_SECS = 1.0
EARLY_DEATHS = 3
BACK_OFF_SECS = 0.5
LONGEST_BACK_OFF = 8.0


@dataclass(slots=True)
class Child:
    """One worker or helper and what its present process has done so far. Times are the supervisor's monotonic clock."""

    slot: int
    name: str
    is_helper: bool
    watch: Watch
    make_application: Callable[[], Application]
    pid: int = 0
    channel: Channel | None = None
    spawned: float = 0.0
    ready: bool = False
    early_deaths: int = 0
    respawn_at: float = 0.0
    condemned_at: float = 0.0

    def tell(self, message: Message, payload: bytes | None = None) -> bool:
        return self.channel is not None and self.channel.send(message, payload)


class Children:
    """All of them, by iteration. `after_fork` closes in a child what only the supervisor uses; the channels in
    `selector` are closed here. Once `respawning` is False, who dies stays dead."""

    def __init__(
        self,
        listeners: Sequence[Sequence[socket.socket]],
        slots: SlotTable,
        make_application: Callable[[], Application],
        options: Options,
        selector: selectors.BaseSelector,
        after_fork: Callable[[], None],
    ) -> None:
        self.width = max((len(group) for group in listeners), default=options.count)
        if options.first_slot + self.width + bool(options.helper) + len(options.extras) > options.slot_count:
            raise ValueError(f"{self.width} workers do not fit into {options.slot_count} slots")
        self.listeners = listeners
        self.slots = slots
        self.options = options
        self.selector = selector
        self.after_fork = after_fork
        self.log = options.log
        self.crew = crew_of(
            slots,
            options.slot_count,
            options.count,
            options.helper,
            options.has_work,
            self.width,
            options.first_slot,
            options.last_slot,
            options.predecessor.slots if options.predecessor else (),
        )
        self.ledgers = self.new_ledgers()
        self.payload: bytes | None = None
        self.announced = False
        self.respawning = True
        self.switched: Callable[[Child, str], None] = lambda child, error: None
        """Called when a process has switched to the payload, or could not."""
        self.finishing = False
        self.alone = options.predecessor is None
        """No other siphond has extras of its own."""
        self.when_ready: Callable[[], None] = options.notifier.ready
        names = (f"worker {number + 1}/{options.count}" for number in range(options.count))
        self.all = [self.new(slot, name, make_application) for slot, name in zip(self.workers, names, strict=True)]
        if self.crew.helper is not None:
            self.all.append(self.new(self.crew.helper, "helper timer", make_application))
        self.hire()

    @property
    def workers(self) -> range:
        return self.crew.workers

    def __iter__(self) -> Iterator[Child]:
        return iter(self.all)

    def of(self, slot: int) -> Child:
        return next(child for child in self.all if child.slot == slot)

    def new(self, slot: int, name: str, make_application: Callable[[], Application]) -> Child:
        watch = Watch(self.options.limits.handler_stall_abort_secs)
        return Child(slot, name, slot not in self.workers, watch, make_application)

    def hire(self) -> None:
        """Extras that are wanted and not there yet. None while another siphond has its own."""
        for slot, extra in zip(self.extra_slots, self.options.extras, strict=True) if self.alone else ():
            if all(child.slot != slot for child in self.all) and extra.wanted():
                self.all.append(self.new(slot, f"helper {extra.name}", extra.make_application))

    @property
    def extra_slots(self) -> range:
        last = self.options.slot_count - 1 if self.options.last_slot is None else self.options.last_slot
        return range(last - 1, last - 1 - len(self.options.extras), -1)

    @property
    def slots_in_use(self) -> list[int]:
        """Rows that may have a process of ours, now or later, or stand for sockets that have no worker."""
        helper = [] if self.crew.helper is None else [self.crew.helper]
        return [*range(self.crew.first, self.crew.first + self.width), *helper, *self.extra_slots]

    # Birth.

    def spawn(self, child: Child) -> None:
        ours, theirs = Channel.pair()
        child.channel, child.spawned, child.ready = ours, time.monotonic(), False
        child.condemned_at = child.respawn_at = 0.0
        child.watch.reset()
        child.pid = fork(lambda: self.work(child, theirs))
        theirs.close()
        self.selector.register(ours, selectors.EVENT_READ, lambda: self.hear(child, ours))

    def work(self, child: Child, control: Channel) -> int:
        """The life of a worker or helper, from fork to exit status."""
        set_title(f"{self.options.program}: {child.name}")
        self.close_channels()
        self.after_fork()
        generation = self.slots.enter(child.slot, os.getpid())
        self.slots.beat(child.slot, 0.0, True)  # not beating yet: siblings serve the slot until the first turn
        context = WorkerContext(
            index=child.slot - self.crew.first if child.slot in self.workers else child.slot,
            slot=child.slot,
            generation=generation,
            count=self.options.count,
            is_helper=child.is_helper,
            slots=self.slots,
            outbox=make_outbox(self.listeners, child.slot - self.crew.first if child.slot in self.workers else 0),
        )
        application = child.make_application()
        application.started(context)
        loop = WorkerLoop(context, application, self.listeners, self.ledger, control, self.loop_options(), self.log)
        if self.payload is not None:
            loop.reload(self.payload)
        gc.collect()
        gc.freeze()
        status = loop.run()
        self.slots.leave(child.slot)
        return status

    def close_channels(self) -> None:
        """After fork: all of them, that of a process too that has died a moment ago."""
        for key in self.selector.get_map().values():
            if isinstance(key.fileobj, Channel):
                key.fileobj.close()
        for other in self.all:
            if other.channel is not None:
                other.channel.close()

    def loop_options(self) -> LoopOptions:
        options = self.options
        return LoopOptions(
            crew=self.crew,
            batch=options.batch,
            stale_after=options.stale_after,
            keep_stale=options.keep_stale,
        )

    def new_ledgers(self) -> mmap.mmap:
        """What the kernel has counted so far on sockets that have outlived others was theirs."""
        ledgers = mmap.mmap(-1, max(4, 4 * len(self.listeners) * self.width))
        for listener, group in enumerate(self.listeners):
            for place, sock in enumerate(group):
                struct.pack_into("=I", ledgers, 4 * (listener * self.width + place), drops_so_far(sock))
        return ledgers

    def ledger(self, listener: int, place: int) -> memoryview:
        at = 4 * (listener * self.width + place)
        return memoryview(self.ledgers)[at : at + 4]

    # Life.

    def hear(self, child: Child, channel: Channel) -> None:
        try:
            received = channel.receive()
        except Closed:
            self.selector.unregister(channel)
            channel.close()
            if child.channel is channel:
                child.channel = None
            return
        if received is None:
            return
        message, payload = received
        if message is Message.READY:
            child.ready = True
            child.watch.reset()
            if self.announced:
                self.log("info", f"{child.name} runs again", pid=child.pid)
            self.announce()
        elif message is Message.SWITCHED:
            self.switched(child, payload.decode(errors="replace"))

    def announce(self) -> None:
        if self.announced or not all(child.ready for child in self.all):
            return
        self.announced = True
        self.slots.lower_flags(Flag.STARTING)
        self.log("info", "ready", workers=self.options.count)
        self.when_ready()

    # What another siphond brings with it.

    def look_after(self, slots: Collection[int]) -> None:
        """Of one that has died: what is owned by these slots is ours."""
        orphaned = sorted({*self.crew.orphaned, *slots} - set(self.slots_in_use))
        self.crew = replace(self.crew, orphaned=tuple(orphaned))
        for child in self.all:
            child.tell(Message.CREW, self.crew.pack())

    def finish(self) -> None:
        """Another one serves: who ends is not replaced."""
        self.finishing, self.respawning = True, False
        for child in self.all:
            child.tell(Message.FINISH)

    def serve_again(self) -> None:
        self.finishing, self.respawning = False, True
        for child in self.all:
            child.tell(Message.SERVE)

    # Death.

    def reap(self) -> None:
        for child in self.all:
            if child.pid and (status := ended(child.pid)) is not None:
                self.bury(child, status)

    def bury(self, child: Child, status: int) -> None:
        pid, child.pid = child.pid, 0
        self.slots.leave(child.slot)
        if not self.respawning:
            return
        now = time.monotonic()
        child.early_deaths = child.early_deaths + 1 if now - child.spawned < EARLY_SECS else 0
        child.respawn_at = now + back_off(child.early_deaths)
        self.slots.add(child.slot, Counter.RESTARTS)
        self.log("error", f"{child.name} died", pid=pid, cause=cause_of(status), again_in=child.respawn_at - now)
        self.respawn(now)

    def respawn(self, now: float) -> None:
        if not self.respawning:
            return
        for child in self.all:
            if not child.pid and now >= child.respawn_at:
                self.spawn(child)

    def kill(self) -> None:
        for child in self.all:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)

    def bury_all(self) -> None:
        """Whatever ended the supervisor's run: no process stays behind."""
        self.kill()
        for child in self.all:
            if child.pid:
                os.waitpid(child.pid, 0)
                self.slots.leave(child.slot)
                child.pid = 0
            if child.channel is not None:
                child.channel.close()


def ended(pid: int) -> int | None:
    """The wait status of a child that has ended, else None."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return status if done else None


def cause_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == OUT_OF_MEMORY:
        return "out of memory"
    if code == BLOCKED:
        return "no handler in a thread has returned (script.sync_pool_size)"
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def back_off(early_deaths: int) -> float:
    """Seconds until the next start: none at first, from the third early death on doubling."""
    if early_deaths < EARLY_DEATHS:
        return 0.0
    doubled: float = BACK_OFF_SECS * 2.0 ** min(early_deaths - EARLY_DEATHS, 10)
    return min(doubled, LONGEST_BACK_OFF)
