"""A slot table in anonymous shared memory, an echo application and a way to run both in real processes."""

import mmap
import os
import re
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from workers.application import WorkerContext
from workers.net import Received, Unreachable
from workers.options import Limits
from workers.sockets import open_listeners
from workers.supervisor import Options, Supervisor

ROW = struct.Struct("=IIdddIi")  # pid, generation, heartbeat, critical, handler, busy, -
COUNTERS = 32
ROW_BYTES = ROW.size + 8 * COUNTERS
SLOTS = 8
LIMITS = ("drain_secs", "handler_stall_abort_secs", "upgrade_secs")

T = TypeVar("T")


@dataclass
class FakeSlot:
    pid: int = 0
    generation: int = 0
    heartbeat: float = 0.0
    critical_since: float = 0.0
    in_handler_since: float = 0.0
    busy: bool = False
    starts: int = 0


class FakeSlots:
    """Inherited over fork; every field has one writer, so no lock."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8 + SLOTS * ROW_BYTES)

    def row(self, index: int) -> int:
        return 8 + index * ROW_BYTES

    def read(self, index: int) -> FakeSlot:
        pid, generation, heartbeat, critical, handler, busy, _ = ROW.unpack_from(self.memory, self.row(index))
        return FakeSlot(pid, generation, heartbeat, critical, handler, bool(busy), generation)

    def any_busy(self) -> bool:
        return any(slot.pid and slot.busy for slot in map(self.read, range(SLOTS)))

    def all_live(self, indexes: Iterable[int], now: float, limit: float) -> bool:
        rows = map(self.read, indexes)
        return all(slot.pid and (not slot.busy or now - slot.heartbeat <= limit) for slot in rows)

    def write(self, index: int, **changes: object) -> None:
        slot = self.read(index)
        for name, value in changes.items():
            setattr(slot, name, value)
        fields = (slot.pid, slot.generation, slot.heartbeat, slot.critical_since, slot.in_handler_since, slot.busy, 0)
        ROW.pack_into(self.memory, self.row(index), *fields)

    def enter(self, index: int, pid: int) -> int:
        generation = self.read(index).generation + 1
        self.write(index, pid=pid, generation=generation, critical_since=0.0, in_handler_since=0.0)
        return generation

    def leave(self, index: int) -> None:
        self.write(index, pid=0)

    def beat(self, index: int, now: float, busy: bool) -> None:
        self.write(index, heartbeat=now, busy=busy)

    def set_handler(self, index: int, since: float) -> None:
        self.write(index, in_handler_since=since)

    def add(self, index: int, counter: int, n: int = 1) -> None:
        place = self.row(index) + ROW.size + 8 * counter
        struct.pack_into("=q", self.memory, place, self.counter(index, counter) + n)

    def counter(self, index: int, counter: int) -> int:
        return int(struct.unpack_from("=q", self.memory, self.row(index) + ROW.size + 8 * counter)[0])

    def total(self, counter: int) -> int:
        return sum(self.counter(index, counter) for index in range(SLOTS))

    @property
    def flags(self) -> int:
        return int(struct.unpack_from("=q", self.memory, 0)[0])

    def raise_flags(self, flags: int) -> None:
        struct.pack_into("=q", self.memory, 0, self.flags | flags)

    def lower_flags(self, flags: int) -> None:
        struct.pack_into("=q", self.memory, 0, self.flags & ~flags)


class Echo:
    """Answers each datagram with its own name; some datagrams are commands."""

    def __init__(self) -> None:
        self.version = b"first"
        self.wakes: list[float] = []

    def started(self, context: WorkerContext) -> None:
        self.context = context

    def reply(self, datagram: Received, data: bytes) -> None:
        self.context.outbox.put(data, datagram.source, datagram.listener, datagram.local)
        self.context.outbox.flush()

    def receive(self, batch: list[Received], now: float) -> None:
        for datagram in batch:
            word, _, rest = datagram.data.partition(b" ")
            command: Callable[[Received, bytes, float], None] | None = getattr(self, f"do_{word.decode()}", None)
            if command is not None:
                command(datagram, rest, now)
            else:
                who = f"{datagram.data.decode()} worker={self.context.index} socket={datagram.socket} pid={os.getpid()}"
                self.reply(datagram, who.encode())

    def do_block(self, datagram: Received, rest: bytes, now: float) -> None:
        """Blocks outside a handler."""
        self.reply(datagram, b"blocking %d" % self.context.index)
        time.sleep(float(rest))

    def do_spin(self, datagram: Received, rest: bytes, now: float) -> None:
        """Computes for ever, outside a handler."""
        while True:
            pass

    def do_deafen(self, datagram: Received, rest: bytes, now: float) -> None:
        """Blocks, and SIGABRT with it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
        self.do_block(datagram, rest, now)

    def do_handle(self, datagram: Received, rest: bytes, now: float) -> None:
        """Blocks inside a handler."""
        self.reply(datagram, b"blocking %d" % self.context.index)
        self.context.enter_handler(now)
        try:
            time.sleep(float(rest))
        finally:
            self.context.leave_handler()

    def do_hold(self, datagram: Received, rest: bytes, now: float) -> None:
        """Blocks inside a handler until there is a file of that name."""
        self.reply(datagram, b"blocking %d" % self.context.index)
        self.context.enter_handler(now)
        try:
            wait_for(Path(rest.decode()))
        finally:
            self.context.leave_handler()

    def do_critical(self, datagram: Received, rest: bytes, now: float) -> None:
        self.context.slots.write(self.context.slot, critical_since=now)  # type: ignore[attr-defined]
        self.context.enter_handler(now)
        time.sleep(30)

    def do_raise(self, datagram: Received, rest: bytes, now: float) -> None:
        kind = {b"exit": SystemExit, b"memory": MemoryError}.get(rest, RuntimeError)
        raise kind("out of the application")

    def do_version(self, datagram: Received, rest: bytes, now: float) -> None:
        self.reply(datagram, b"%s %d" % (self.version, self.context.index))

    def do_draining(self, datagram: Received, rest: bytes, now: float) -> None:
        self.reply(datagram, b"yes" if self.context.draining() else b"no")

    def do_random(self, datagram: Received, rest: bytes, now: float) -> None:
        import random

        self.reply(datagram, b"%d %d" % (self.context.index, random.getrandbits(64)))

    def do_send(self, datagram: Received, rest: bytes, now: float) -> None:
        """Sends to a port of this host, where perhaps nobody listens; what it sends says who wants to know."""
        data = b"sent for %d" % datagram.source[1]
        self.context.outbox.put(data, ("127.0.0.1", int(rest)), datagram.listener)
        self.context.outbox.flush()

    def do_arm(self, datagram: Received, rest: bytes, now: float) -> None:
        self.asker = datagram
        self.context.timers.arm(now + float(rest), b"0123456789abcdef", 7)

    def do_async(self, datagram: Received, rest: bytes, now: float) -> None:
        import asyncio

        async def later() -> None:
            await asyncio.sleep(float(rest))
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            loop.call_later(0.01, done.set_result, b"slept")
            self.reply(datagram, await done)

        self.task = self.context.aio.loop.create_task(later())

    def unreachable(self, errors: list[Unreachable], now: float) -> None:
        for error in errors:
            asker = ("127.0.0.1", int(error.data.split()[-1]))
            self.context.outbox.put(b"unreachable %d %d" % (error.to[1], error.errno), asker, error.listener)
        self.context.outbox.flush()

    def due(self, entries: list[tuple[bytes, int]], now: float) -> None:
        for key, version in entries:
            self.reply(self.asker, b"due %s %d" % (key, version))

    def adopt(self, slot: int, generation_dead: bool, now: float) -> None:
        note(f"worker {self.context.slot} adopts {slot} dead={generation_dead}")

    def release(self, slot: int) -> None:
        note(f"worker {self.context.slot} releases {slot}")

    def tick(self, now: float) -> float | None:
        return None

    def reload(self, payload: bytes) -> None:
        self.version = payload
        note(f"worker {self.context.slot} reloads")

    def finish(self) -> bool:
        return True

    def stopping(self) -> None:
        note(f"worker {self.context.slot} stops")


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Instance:
    """A supervisor with its workers in a process of its own, and a client socket."""

    def __init__(
        self,
        log: Path,
        count: int = 2,
        steering: str = "flow",
        make: Callable[[], Echo] = Echo,
        rcvbuf: int = 0,
        slots: FakeSlots | None = None,
        listeners: list[list[socket.socket]] | None = None,
        **options: object,
    ) -> None:
        self.slots = slots or FakeSlots()
        self.count = count
        self.log = log
        self.listeners = listeners or open_listeners([("127.0.0.1", 0, None)], count, rcvbuf, steering)
        self.address = self.listeners[0][0].getsockname()
        self.client = self.new_client()
        self.pid = os.fork()
        if self.pid == 0:
            self.supervise(make, options)
        for sock in self.listeners[0]:
            sock.close()

    def supervise(self, make: Callable[[], Echo], options: dict[str, object]) -> None:
        status = 99
        try:
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            sys.stderr = os.fdopen(descriptor, "w", buffering=1)  # not what pytest has put there
            os.dup2(descriptor, 2)
            options = {"stale_after": 60.0, **options}  # on a busy machine a start takes longer than the default, 4 s
            limits = Limits(**{name: options.pop(name) for name in LIMITS if name in options})  # type: ignore[arg-type]
            settings = Options(count=self.count, slot_count=SLOTS, limits=limits, **options)  # type: ignore[arg-type]
            status = Supervisor(self.listeners, self.slots, make, settings).run()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def new_client(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(self.address)
        client.settimeout(60)
        return client

    def ask(self, text: str) -> str:
        self.client.send(text.encode())
        return self.client.recv(2000).decode()

    def ask_from_new_port(self, text: str) -> str:
        with self.new_client() as client:
            client.send(text.encode())
            return client.recv(2000).decode()

    def worker_pids(self) -> list[int]:
        return [self.slots.read(index).pid for index in range(self.count)]

    def kill(self, slot: int, number: signal.Signals = signal.SIGKILL) -> int:
        """Whom it sent the signal: the process of a slot, once there is one (0 would be all of ours)."""
        pid = until(lambda: self.slots.read(slot).pid, f"a process in slot {slot}")
        os.kill(pid, number)
        return pid

    def noted(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def until_noted(self, text: str, times: int = 1) -> None:
        until(lambda: self.noted().count(text) >= times, f"{text!r} in the log")

    def until_number(self, before: str) -> float:
        """The number behind a text in the log."""
        found = until(lambda: re.search(re.escape(before) + r"([0-9.]+[0-9])", self.noted()), f"{before!r} in the log")
        return float(found[1])

    def until_served_by(self, worker: int, text: str = "hi", *, new_port: bool = False) -> None:
        """Whoever is late for a moment is served by another one meanwhile, the helper too."""
        ask = self.ask_from_new_port if new_port else self.ask
        until(lambda: f"worker={worker} " in ask(text), f"an answer from worker {worker}")

    def adoptions(self) -> set[tuple[str, int]]:
        """(worker, slot) for each live slot that another process serves at the moment."""
        open_ones: set[tuple[str, int]] = set()
        for who, what, slot in re.findall(r"worker (\d) (adopts|releases) (\d)", self.noted()):
            (open_ones.add if what == "adopts" else open_ones.discard)((who, int(slot)))
        return {one for one in open_ones if self.slots.read(one[1]).pid}

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit status of the supervisor."""
        until(self.has_ended, "the end of the supervisor")
        status = os.waitpid(self.pid, 0)[1]
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def close(self) -> None:
        self.client.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def until(ask: Callable[[], T | None], what: str, secs: float = 90.0) -> T:
    """Asks again until the answer is true, and returns it; fails after `secs`."""
    deadline = time.monotonic() + secs
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"no {what} within {secs} s"
        time.sleep(0.002)


def is_running(pid: int) -> bool:
    """False for a zombie, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def title_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode()
