"""Rows of 32 and 64 seconds at the price of one: every test on the wire that is a coroutine runs at the same time.

A test `async def test_...(stage)` says what phones send and when, and what must come, against a siphond with default
timers. The first of them to be reported starts three siphonds - one worker, four with "flow", four with "spread" - and
runs all tests of the session that are coroutines, each against each siphond, side by side in one thread; then each
reports its own outcome. So the whole takes as long as the slowest.

Times are those of the kernel: a datagram's arrival is stamped when it enters the phone's socket, however late this
process gets to read it. What siphond itself is late by on a busy machine stays in the measurement; TOLERANCE is that of
the list of behaviours, and for a machine that does not run its processes `Stage.stalls` adds what a process that only
sleeps was late by.

Where the machine or this process was late, and phones with it, a scenario that has failed is played again.

Every scenario ends with an OPTIONS that must get 200, and no worker may have been restarted in the end.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from proxy_process import Siphond
from sleeper import Sleeper
from udp_agent import Address, Agent, Message

Scenario = Callable[["Stage"], Awaitable[None]]

SCRIPT = Path(__file__).with_name("wire_script.py")
SERVERS = {"one": (1, "flow"), "flow": (4, "flow"), "spread": (4, "spread")}
"""Workers and steering."""

TIMER_C = 34
"""Seconds: beyond Timer B, so that the two are told apart, and short enough to be waited for."""
SETTINGS = f"\n[transaction]\ntimer_c = {TIMER_C}\n"

STAGGER = 0.01
LONGEST = 100
LATE = 0.25
"""Seconds by which phones may answer late without a scenario being another one."""
ATTEMPTS = 3
SO_TIMESTAMPNS = 35


def tolerance(due: float) -> float:
    """Seconds by which what is due after `due` seconds may be off."""
    return max(0.1 * due, 0.06)


class Phone(Agent):
    """An agent whose messages are read as they come, each with the kernel's time of arrival."""

    def __init__(self, stage: Stage, user: str, *, ip: str = "127.0.0.1") -> None:
        super().__init__(stage.siphond.address, user, ip=ip)
        self.stage = stage
        self.unread: list[Message] = []
        self.more = asyncio.Event()
        self.at = 0.0
        """When it last sent something."""
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        asyncio.get_running_loop().add_reader(self.socket, self.read)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.socket)
            super().close()

    def hang_up(self) -> Address:
        """Its socket is closed: what comes for it is ICMP port unreachable. Where it was."""
        self.close()
        return self.address

    # --- sending

    def send(self, data: bytes, *, to: Address | None = None, via: socket.socket | None = None) -> bytes:
        self.at = time.time()
        return super().send(data, to=to, via=via)

    def start(self, method: str, *targets: Agent | str, user: str = "somebody", extra: Sequence[str] = ()) -> bytes:
        """Sends a request outside of dialogs that the script forwards to these phones or URIs."""
        uris = [target if isinstance(target, str) else target.uri for target in targets]
        lines = [f"X-Targets: {','.join(uris)}"] if uris else []
        return self.send(self.request(method, f"sip:{user}@example.com", extra=[*lines, *extra]))

    def invite(self, *targets: Agent | str, extra: Sequence[str] = ()) -> bytes:
        return self.start("INVITE", *targets, extra=extra)

    def enrol(self, user: str, q: float | None = None, expires: int = 600) -> bytes:
        """Sends a REGISTER of its contact; the script asks nobody but `guarded` for a password."""
        to = f"<sip:{user}@example.com>"
        contact = f"Contact: {self.contact}" + (f";q={q}" if q is not None else "")
        lines = [contact, f"Expires: {expires}"]
        return self.send(self.request("REGISTER", "sip:example.com", local=f"{to};tag=r", remote=to, extra=lines))

    # --- receiving

    def read(self) -> None:
        while True:
            try:
                raw, ancillary, _, source = self.socket.recvmsg(65535, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            message = Message.parse(raw, source[:2], seconds + nanoseconds / 1e9)
            self.seen.append(message)
            self.unread.append(message)
            self.more.set()

    async def comes(self, what: str, *, within: float = 15.0, but: Sequence[str] = ("100 INVITE",)) -> Message:
        """The next message, which must be `what`; those in `but` may come before it, and repeats of requests."""
        async with asyncio.timeout(within):
            while True:
                while not self.unread:
                    self.more.clear()
                    await self.more.wait()
                message = self.unread.pop(0)
                if message.is_a(what):
                    return message
                known = any(message.raw == other.raw for other in self.seen if other is not message)
                assert (known and not message.status) or any(message.is_a(other) for other in but), (
                    f"{self.user}: {message} instead of {what}; came: {[str(one) for one in self.seen]}"
                )

    def forget(self) -> None:
        """What has come so far is read."""
        self.unread.clear()

    def came(self, what: str) -> list[Message]:
        """All messages of this kind so far, repeats too."""
        return [message for message in self.seen if message.is_a(what)]

    def distinct(self) -> list[str]:
        """What came, repeats of the same bytes left out."""
        found = {message.raw: str(message) if message.status else message.method for message in self.seen}
        return list(found.values())

    def times(self, what: str, since: float) -> list[float]:
        return [message.at - since for message in self.came(what)]


class Stage:
    """One scenario's place: a siphond and the phones that it has made."""

    def __init__(self, siphond: Siphond, sleeper: Sleeper, stack: ExitStack) -> None:
        self.siphond = siphond
        self.sleeper = sleeper
        self.stack = stack
        self.began = time.time()

    def phone(self, user: str, *, ip: str = "127.0.0.1") -> Phone:
        return self.stack.enter_context(Phone(self, user, ip=ip))

    def phones(self, *users: str) -> list[Phone]:
        return [self.phone(user) for user in users]

    async def until(self, moment: float) -> None:
        """Sleeps to a time of time.time()."""
        await asyncio.sleep(max(0.0, moment - time.time()))

    def on_time(self, found: Sequence[float], due: Sequence[float], since: float) -> None:
        """Found seconds are those due, each within its tolerance; `since` is their zero, of time.time()."""
        assert len(found) == len(due), f"at {[round(at, 3) for at in found]} instead of {list(due)}"
        for at, wanted in zip(found, due, strict=True):
            allowed = tolerance(wanted)
            late = at - wanted - self.sleeper.stalls(since, since + at)
            assert -allowed <= at - wanted and late <= allowed, f"{at:.3f} instead of {wanted}: {found}"

    async def control(self) -> None:
        """siphond still answers."""
        asker = self.phone("control")
        ask = asker.request("OPTIONS", "sip:example.com")
        for _ in range(8):
            asker.send(ask)
            await asyncio.sleep(0.25)
            if asker.came("200 OPTIONS"):
                return
        raise AssertionError("no answer to OPTIONS")


class SideBySide:
    """All scenarios of a session, and what came of them."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self.items = [item for item in items if is_scenario(item)]
        self.outcomes: dict[str, BaseException | None] = {}
        self.broken: list[str] = []
        """Logs of those siphonds of which a worker was restarted."""
        self.last_late = 0.0
        """When phones could last not answer in time, of time.time()."""

    def outcome(self, item: pytest.Item) -> BaseException | None:
        if not self.outcomes:
            self.run()
        assert self.broken == [], "a worker was restarted"
        return self.outcomes[item.nodeid]

    def run(self) -> None:
        wanted = {server_of(item) for item in self.items}
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            sleeper = Sleeper(directory / "stalls")
            stack.callback(sleeper.close)
            siphonds = {name: started(directory / name, *SERVERS[name], stack) for name in SERVERS if name in wanted}
            asyncio.run(self.play(siphonds, sleeper))
            for siphond in siphonds.values():
                processes = siphond.status()
                restarted = sum(one["restarts"] for one in processes["workers"] + processes["helpers"])
                self.broken += [siphond.log()[-3000:]] if restarted else []

    async def play(self, siphonds: dict[str, Siphond], sleeper: Sleeper) -> None:
        watch = asyncio.create_task(self.watch())
        async with asyncio.TaskGroup() as tasks:
            for item in self.items:
                tasks.create_task(self.play_one(item, siphonds[server_of(item)], sleeper))
                await asyncio.sleep(STAGGER)
        watch.cancel()

    async def watch(self) -> None:
        """Notes when what is to be done in this process waits too long for its turn."""
        while True:
            due = time.time() + 0.02
            await asyncio.sleep(0.02)
            if (now := time.time()) - due > LATE:
                self.last_late = now

    async def play_one(self, item: pytest.Item, siphond: Siphond, sleeper: Sleeper) -> None:
        for attempt in range(ATTEMPTS):
            began = time.time()
            error = self.outcomes[item.nodeid] = await self.outcome_of(item, siphond, sleeper)
            if error is None or not (self.last_late > began or sleeper.stalls(began, time.time()) > LATE):
                break
            print(f"attempt {attempt + 1} of {item.nodeid}: {error}")

    async def outcome_of(self, item: pytest.Item, siphond: Siphond, sleeper: Sleeper) -> Exception | None:
        scenario: Scenario = item.function  # type: ignore[attr-defined]
        try:
            with ExitStack() as stack:
                stage = Stage(siphond, sleeper, stack)
                async with asyncio.timeout(LONGEST):
                    await scenario(stage)
                    await stage.control()
        except Exception as error:  # the test's own outcome, raised where it is reported
            return error
        return None


def started(directory: Path, workers: int, steering: str, stack: ExitStack) -> Siphond:
    directory.mkdir()
    made = Siphond(directory, workers=workers, steering=steering, script=SCRIPT, more=SETTINGS)
    stack.callback(made.close)
    return made.start()


def is_scenario(item: pytest.Item) -> bool:
    return inspect.iscoroutinefunction(getattr(item, "function", None))


def server_of(item: pytest.Item) -> str:
    name: str = item.callspec.params["stage"]  # type: ignore[attr-defined]
    return name
