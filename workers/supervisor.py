"""Forks the workers and the timer helper, watches them, restarts them, stops them. Never handles a datagram.

The supervisor keeps the sockets open, so a worker's queue outlives the worker. Every TICK (while nobody works, every
QUIET_TICK) it reads the slot table: who does not beat is dumped and killed, and the sibling that should serve such a
slot is woken. Handlers of signals only enqueue:

    TERM        drain: the DRAINING flag is set, workers stop when `idle()` is true or after `drain_secs`
    TERM again  stop at once, as INT; a worker that does not obey within STOP_SECS is killed. All state stays
    HUP         `validate()` runs in a scratch process; if it succeeds, its payload is sent to every process
    USR2        not yet
    CHLD        a process that died is forked again at once; after three deaths within 1 s of their start, ever later

A process forked after a reload gets the payload of the last good one after it has started.
"""

import gc
import mmap
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import FrameType

from workers.adoption import crew_of
from workers.application import Application, Counter, Flag, Log, SlotState, SlotTable, WorkerContext
from workers.control import Channel, Closed, Message
from workers.deaf import DeafWatch
from workers.loop import LoopOptions, WorkerLoop, make_outbox
from workers.net import boottime
from workers.notify import Notifier
from workers.process import fork, set_title
from workers.scratch import Scratch
from workers.watch import Verdict, Watch

TICK = 0.025
QUIET_TICK = 2 * TICK
"""Not above BEAT_LIMIT: a worker that is found busy after it cannot have been silent for longer than allowed."""
QUIET_SECS = 0.25
EARLY_SECS = 1.0
EARLY_DEATHS = 3
BACK_OFF_SECS = 0.5
LONGEST_BACK_OFF = 8.0
STOP_SECS = 1.0
DUMP_SECS = 1.0
START_SECS = 60.0
PAUSE_SECS = 0.5
IDLE_POLL_SECS = 0.1


def log_to_stderr(level: str, event: str, **fields: object) -> None:
    print(level, event, *(f"{key}={value}" for key, value in fields.items()), file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Extra:
    """A helper with an application of its own. It is no part of the crew: it has no sockets and no deadlines, so nobody
    serves its slot while it is down. `wanted()` is asked at the start and after each reload; once there, it stays."""

    name: str
    make_application: Callable[[], Application]
    wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Options:
    """`slot_count` is the size of the slot table: workers take the first rows, the timer helper the last, `extras`
    those before it, the first of them the highest.

    `has_work(slot)` says whether an earlier run has left deadlines in a slot. What `validate()` gives in a scratch
    process is given to `accepted()` here and sent to all processes.
    """

    count: int
    slot_count: int = 64
    drain_secs: float = 30.0
    handler_stall_abort_secs: float = 30.0
    helper: bool = True
    extras: Sequence[Extra] = ()
    batch: int = 32
    stale_after: float = 4.0
    keep_stale: Callable[[bytes], bool] | None = None
    has_work: Callable[[int], bool] = lambda slot: True
    validate: Callable[[], bytes] | None = None
    accepted: Callable[[bytes], None] = lambda payload: None
    idle: Callable[[], bool] | None = None
    notifier: Notifier = field(default_factory=Notifier)
    log: Log = log_to_stderr
    program: str = "siphond"


class State(Enum):
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"


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


class Supervisor:
    """`listeners` is [listener][worker] from open_listeners(); `make_application` runs after each fork."""

    def __init__(
        self,
        listeners: Sequence[Sequence[socket.socket]],
        slots: SlotTable,
        make_application: Callable[[], Application],
        options: Options,
    ) -> None:
        self.listeners = listeners
        self.slots = slots
        self.make_application = make_application
        self.options = options
        self.log = options.log
        if options.count + bool(options.helper) + len(options.extras) > options.slot_count:
            raise ValueError(f"{options.count} workers do not fit into {options.slot_count} slots")
        self.crew = crew_of(slots, options.slot_count, options.count, options.helper, options.has_work)
        self.ledgers = mmap.mmap(-1, max(4, 4 * len(listeners) * options.count))
        self.children = [self.new_child(index) for index in range(options.count)]
        if self.crew.helper is not None:
            self.children.append(self.new_child(self.crew.helper))
        self.hire()
        self.selector = selectors.DefaultSelector()
        self.state = State.RUNNING
        self.announced = False
        self.payload: bytes | None = None
        self.scratch: Scratch | None = None
        self.reload_wanted = False
        self.deadline = 0.0
        self.next_idle_poll = 0.0
        self.next_watchdog = 0.0
        self.last_tick = 0.0
        self.woken: dict[int, int] = {}
        self.deaf = DeafWatch({index: [group[index] for group in listeners] for index in range(options.count)})
        self.quiet = False

    def new_child(self, slot: int) -> Child:
        is_helper = slot == self.crew.helper
        name = "helper timer" if is_helper else f"worker {slot + 1}/{self.options.count}"
        return Child(slot, name, is_helper, Watch(self.options.handler_stall_abort_secs), self.make_application)

    def hire(self) -> None:
        """Extras that are wanted and not there yet."""
        for number, extra in enumerate(self.options.extras):
            slot = self.options.slot_count - 2 - number
            if all(child.slot != slot for child in self.children) and extra.wanted():
                watch = Watch(self.options.handler_stall_abort_secs)
                self.children.append(Child(slot, f"helper {extra.name}", True, watch, extra.make_application))

    def run(self) -> int:
        """Returns 0 after a stop that was asked for. Runs in the main thread."""
        set_title(f"{self.options.program}: supervisor")
        self.clear_slots()
        self.take_signals()
        try:
            for child in self.children:
                self.spawn(child)
            while any(child.pid for child in self.children) or self.state is not State.STOPPING:
                self.turn()
        finally:
            self.kill_all()
            self.slots.set_flags(self.slots.flags & ~Flag.DRAINING)
            self.give_signals_back()
        return 0

    def turn(self) -> None:
        events = self.selector.select(QUIET_TICK if self.quiet else TICK)
        for key, _ in events:
            key.data()
        now = time.monotonic()
        if events or not self.stays_quiet(now):
            self.tick(now)

    def stays_quiet(self, now: float) -> bool:
        """The short look while nobody works: is that still so? Now and then the long one is due all the same."""
        if not self.quiet or now - self.last_tick > QUIET_SECS:
            return False
        return not self.slots.any_busy() and not self.deaf.anything_waits()

    def tick(self, now: float) -> None:
        if now - self.last_tick > PAUSE_SECS:
            for child in self.children:
                child.watch.reset()
        self.last_tick = now
        self.respawn(now)
        states = self.read_states()
        self.watch_hearts(states, now)
        if self.watch_sockets(states, now):
            states = self.read_states()
        self.wake_adopters(states)
        self.follow_scratch(now)
        self.follow_stop(now)
        self.feed_watchdog(now)
        self.quiet = self.is_quiet(states)

    def read_states(self) -> dict[int, SlotState]:
        return {**self.crew.read(self.slots), **{child.slot: self.slots.read(child.slot) for child in self.children}}

    def is_quiet(self, states: Mapping[int, SlotState]) -> bool:
        waited_for = self.state is not State.RUNNING or self.scratch is not None
        all_there = all(child.pid and child.ready and not child.condemned_at for child in self.children)
        return all_there and not waited_for and not any(state.busy for state in states.values())

    def clear_slots(self) -> None:
        """Whoever was in the table before is gone: the caller holds it exclusively."""
        for index in range(self.options.slot_count):
            if self.slots.read(index).pid:
                self.slots.leave(index)
        self.slots.set_flags(self.slots.flags & ~Flag.DRAINING)

    # Signals.

    def take_signals(self) -> None:
        self.signal_in, self.signal_out = socket.socketpair()
        self.signal_in.setblocking(False)
        self.signal_out.setblocking(False)
        self.selector.register(self.signal_in, selectors.EVENT_READ, self.read_signals)
        self.old_wakeup = signal.set_wakeup_fd(self.signal_out.fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
        self.old_handlers = {number: signal.signal(number, enqueue_only) for number in numbers}

    def give_signals_back(self) -> None:
        for number, handler in self.old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self.old_wakeup)
        self.selector.close()
        self.signal_in.close()
        self.signal_out.close()

    def read_signals(self) -> None:
        for number in self.signal_in.recv(4096):
            if number == signal.SIGCHLD:
                self.reap()
            elif number == signal.SIGTERM and self.state is State.RUNNING:
                self.drain()
            elif number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number == signal.SIGHUP:
                self.reload()
            elif number == signal.SIGUSR2:
                self.log("warning", "handing over to a new binary is not offered yet")

    # Children.

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
        self.close_own()
        generation = self.slots.enter(child.slot, os.getpid())
        self.slots.beat(child.slot, 0.0, True)  # not beating yet: siblings serve the slot until the first turn
        context = WorkerContext(
            index=child.slot,
            slot=child.slot,
            generation=generation,
            count=self.options.count,
            is_helper=child.is_helper,
            slots=self.slots,
            outbox=make_outbox(self.listeners, child.slot),
        )
        application = child.make_application()
        application.started(context)
        loop = WorkerLoop(context, application, self.listeners, self.ledger, control, self.loop_options(), self.log)
        if self.payload is not None:
            loop.reload(self.payload)
        gc.collect()
        gc.freeze()
        loop.run()
        self.slots.leave(child.slot)
        return 0

    def close_own(self) -> None:
        """After fork: what only the supervisor uses, the channel too of a process that has died a moment ago."""
        for key in self.selector.get_map().values():
            if isinstance(key.fileobj, Channel):
                key.fileobj.close()
        self.selector.close()
        self.signal_in.close()
        self.signal_out.close()
        if self.scratch is not None:
            self.scratch.forget()
        for other in self.children:
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

    def ledger(self, listener: int, worker: int) -> memoryview:
        place = 4 * (listener * self.options.count + worker)
        return memoryview(self.ledgers)[place : place + 4]

    def hear(self, child: Child, channel: Channel) -> None:
        try:
            received = channel.receive()
        except Closed:
            self.selector.unregister(channel)
            channel.close()
            if child.channel is channel:
                child.channel = None
            return
        if received is not None and received[0] is Message.READY:
            child.ready = True
            child.watch.reset()
            if self.announced:
                self.log("info", f"{child.name} runs again", pid=child.pid)
            self.announce()

    def announce(self) -> None:
        if self.announced or not all(child.ready for child in self.children):
            return
        self.announced = True
        self.log("info", "ready", workers=self.options.count)
        self.options.notifier.ready()

    def reap(self) -> None:
        for child in self.children:
            if child.pid and (status := ended(child.pid)) is not None:
                self.bury(child, status)
        if self.scratch is not None:
            self.scratch.reap()

    def bury(self, child: Child, status: int) -> None:
        pid, child.pid = child.pid, 0
        self.slots.leave(child.slot)
        if self.state is State.STOPPING:
            return
        now = time.monotonic()
        child.early_deaths = child.early_deaths + 1 if now - child.spawned < EARLY_SECS else 0
        child.respawn_at = now + back_off(child.early_deaths)
        self.slots.add(child.slot, Counter.RESTARTS)
        self.log("error", f"{child.name} died", pid=pid, cause=cause_of(status), again_in=child.respawn_at - now)
        self.respawn(now)

    def respawn(self, now: float) -> None:
        if self.state is State.STOPPING:
            return
        for child in self.children:
            if not child.pid and now >= child.respawn_at:
                self.spawn(child)

    # Hearts.

    def watch_hearts(self, states: Mapping[int, SlotState], now: float) -> None:
        for child in self.children:
            if not child.pid:
                continue
            if child.condemned_at:
                if now - child.condemned_at > DUMP_SECS:
                    os.kill(child.pid, signal.SIGKILL)
            elif not child.ready:
                if now - child.spawned > START_SECS:
                    self.condemn(child, Verdict.DUMP, f"not ready after {START_SECS:.0f} s", now)
            elif (verdict := child.watch.judge(states[child.slot], now)) is not Verdict.FINE:
                self.condemn(child, verdict, child.watch.reason, now)

    def watch_sockets(self, states: Mapping[int, SlotState], now: float) -> bool:
        """An idle worker that does not wake for its datagrams counts as a busy one that does not beat (deaf.py)."""
        found = self.deaf.find(states, now)
        for slot in found:
            self.slots.beat(slot, states[slot].heartbeat, True)
            self.tell(self.child_of(slot), Message.LOOK)
        return bool(found)

    def condemn(self, child: Child, verdict: Verdict, reason: str, now: float) -> None:
        """SIGABRT makes the process write its stack and end; SIGKILL follows for one that cannot even do that."""
        self.log("error", f"{child.name} is stuck: {reason}", pid=child.pid)
        self.slots.add(child.slot, Counter.STALLS)
        child.condemned_at = now
        os.kill(child.pid, signal.SIGABRT if verdict is Verdict.DUMP else signal.SIGKILL)

    def wake_adopters(self, states: Mapping[int, SlotState]) -> None:
        """A sleeping worker cannot see that a sibling is stuck, so it is told, once."""
        found = self.crew.adopters(states, boottime())
        for slot, adopter in found.items():
            if self.woken.get(slot) != adopter:
                self.tell(self.child_of(adopter), Message.LOOK)
        self.woken = found

    def child_of(self, slot: int) -> Child:
        return next(child for child in self.children if child.slot == slot)

    def tell(self, child: Child, message: Message, payload: bytes | None = None) -> bool:
        return child.channel is not None and child.channel.send(message, payload)

    # Reload.

    def reload(self) -> None:
        if self.state is not State.RUNNING:
            return
        if self.options.validate is None:
            self.log("warning", "nothing to reload")
        elif self.scratch is not None:
            self.reload_wanted = True
        else:
            self.options.notifier.reloading()
            self.scratch = Scratch(self.options.validate, self.close_own, f"{self.options.program}: reload check")

    def follow_scratch(self, now: float) -> None:
        if self.scratch is None or not self.scratch.finished(now):
            return
        scratch, self.scratch = self.scratch, None
        scratch.close()
        if scratch.error:
            self.log("error", "reload refused, nothing has changed", error=scratch.error)
        else:
            self.payload = scratch.payload
            self.options.accepted(scratch.payload)
            for child in self.children:
                if child.pid and not self.tell(child, Message.RELOAD, scratch.payload):
                    self.log("error", f"{child.name} could not be told to reload", pid=child.pid)
            self.hire()
            self.log("info", "reloaded")
        self.options.notifier.ready()
        if self.reload_wanted:
            self.reload_wanted = False
            self.reload()

    # The end.

    def drain(self) -> None:
        self.state = State.DRAINING
        self.deadline = time.monotonic() + self.options.drain_secs
        self.slots.set_flags(self.slots.flags | Flag.DRAINING)
        self.options.notifier.stopping()
        self.log("info", "draining", limit_secs=self.options.drain_secs)

    def stop(self) -> None:
        if self.state is State.STOPPING:
            return
        self.state = State.STOPPING
        self.deadline = time.monotonic() + STOP_SECS
        self.slots.set_flags(self.slots.flags | Flag.DRAINING)
        self.options.notifier.stopping()
        self.log("info", "stopping")
        for child in self.children:
            self.tell(child, Message.STOP)

    def follow_stop(self, now: float) -> None:
        if self.state is State.DRAINING and now >= self.next_idle_poll:
            self.next_idle_poll = now + IDLE_POLL_SECS
            if now >= self.deadline or self.options.idle is None or self.options.idle():
                self.stop()
        elif self.state is State.STOPPING and now >= self.deadline:
            for child in self.children:
                if child.pid:
                    os.kill(child.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Whatever ended run(): no process stays behind."""
        for child in self.children:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                self.slots.leave(child.slot)
                child.pid = 0
            if child.channel is not None:
                child.channel.close()
        if self.scratch is not None:
            self.scratch.close()

    def feed_watchdog(self, now: float) -> None:
        if self.options.notifier.watchdog_secs and now >= self.next_watchdog:
            self.next_watchdog = now + self.options.notifier.watchdog_secs / 2
            self.options.notifier.watchdog()


def enqueue_only(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has the number already; the work is done in the loop."""


def ended(pid: int) -> int | None:
    """The wait status of a child that has ended, else None."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return status if done else None


def cause_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def back_off(early_deaths: int) -> float:
    """Seconds until the next start: none at first, from the third early death on doubling."""
    if early_deaths < EARLY_DEATHS:
        return 0.0
    doubled: float = BACK_OFF_SECS * 2.0 ** min(early_deaths - EARLY_DEATHS, 10)
    return min(doubled, LONGEST_BACK_OFF)
