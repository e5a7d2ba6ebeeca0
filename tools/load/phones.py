"""Phones that register and refresh with a digest, in one thread, and see to their own retransmissions (Timers E, F).

A phone keeps its nonce and counts its uses, as phones do. One that is `fleeting` lets its binding expire, looks that it
is gone, and comes again. `Repeater` sends each of its requests several times and compares the answers.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from udp_agent import Address, Agent, Message, address_in, credentials, unique

T1, T2 = 0.5, 4.0
URI = "sip:example.com"


class Caller(Agent):
    """An agent whose final answers go to whoever waits for them, by Call-ID and CSeq."""

    def __init__(self, proxy: Address, user: str, ip: str = "127.0.0.1") -> None:
        super().__init__(proxy, user, ip=ip)
        self.waiting: dict[tuple[str, str], asyncio.Future[Message]] = {}
        self.longest = 0.0
        """Seconds that the slowest answer took."""
        self.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self.socket, self.read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket)
        super().close()

    def read(self) -> None:
        while True:
            try:
                raw, source = self.socket.recvfrom(65535)
            except OSError:  # nothing more, or an ICMP error of what was sent before
                return
            message = Message.parse(raw, source[:2])
            future = self.waiting.get((message["call-id"], message["cseq"]))
            if message.status >= 200 and future is not None and not future.done():
                future.set_result(message)

    async def ask(self, data: bytes) -> Message | None:
        """The final answer to a request, repeated until it comes; None where it does not."""
        sent = Message.parse(data, self.address)
        place = (sent["call-id"], sent["cseq"])
        self.waiting[place] = asyncio.get_running_loop().create_future()
        began, interval = time.monotonic(), T1
        try:
            while (left := began + 64 * T1 - time.monotonic()) > 0:
                self.socket.sendto(data, self.proxy)
                done, _ = await asyncio.wait([self.waiting[place]], timeout=min(interval, left))
                if done:
                    self.longest = max(self.longest, time.monotonic() - began)
                    return self.waiting[place].result()
                interval = min(2 * interval, T2)
            return None
        finally:
            del self.waiting[place]


class Phone(Caller):
    """One address of record with one contact."""

    def __init__(self, proxy: Address, user: str, password: str) -> None:
        super().__init__(proxy, user)
        self.password = password
        self.call_id, self.tag = unique("reg-"), unique("f")
        self.cseq = self.uses = 0
        self.challenge = ""
        self.challenged = self.refreshed = 0
        self.faults: list[str] = []

    async def answered(self, lines: Sequence[str]) -> Message | None:
        """The final answer; a challenge is answered once."""
        answer = await self.ask(self.message(lines))
        if answer is not None and answer.status == 401:
            self.challenged += 1
            self.challenge, self.uses = answer["www-authenticate"], 0
            answer = await self.ask(self.message(lines))
        return answer

    def message(self, lines: Sequence[str]) -> bytes:
        self.cseq += 1
        to = f"<sip:{self.user}@example.com>"
        extra = [*lines]
        if self.challenge:
            self.uses += 1
            given = credentials(self.challenge, self.user, self.password, "REGISTER", URI, self.uses)
            extra.append(f"Authorization: {given}")
        return self.request(
            "REGISTER", URI, cseq=self.cseq, call_id=self.call_id, local=f"{to};tag={self.tag}", remote=to, extra=extra
        )

    async def refresh(self, expires: int) -> None:
        answer = await self.answered([f"Contact: {self.contact}", f"Expires: {expires}"])
        self.refreshed += 1
        self.judge("refresh", answer, bound=expires > 0)

    async def fetch(self, bound: bool) -> None:
        self.judge("fetch", await self.answered([]), bound=bound)

    def judge(self, what: str, answer: Message | None, bound: bool) -> None:
        if answer is None or answer.status != 200:
            self.faults.append(f"{self.user}: {what}: {answer or 'no answer'}")
        elif [address_in(value) for value in answer.all("contact")] != ([self.uri] if bound else []):
            self.faults.append(f"{self.user}: {what}: bindings {answer.all('contact')}")


@dataclass
class Repeater:
    """Sends each request three times within Timer E's first interval; every answer must be the same."""

    proxy: Address
    asked: int = 0
    faults: list[str] = field(default_factory=list)

    async def run(self, rate: float, enough: threading.Event) -> None:
        caller = Agent(self.proxy, "repeater")
        caller.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            while not enough.is_set():
                self.asked += 1
                data = caller.request("MESSAGE", f"sip:nobody{self.asked % 50}@example.com")
                call_id = Message.parse(data, caller.address)["call-id"]
                answers = set()
                for _ in range(3):
                    caller.socket.sendto(data, self.proxy)
                    answers |= {raw async for raw in arriving(loop, caller, call_id, 1 / rate / 3)}
                bodies = {re.sub(rb"\r\nDate:.*", b"", raw) for raw in answers}
                if len(bodies) > 1:
                    self.faults.append(f"{len(bodies)} different answers to {call_id}")
        finally:
            caller.close()


async def arriving(loop: asyncio.AbstractEventLoop, agent: Agent, call_id: str, seconds: float):  # type: ignore[no-untyped-def]
    """Datagrams of that Call-ID within so many seconds."""
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0:
        try:
            raw = await asyncio.wait_for(loop.sock_recv(agent.socket, 65535), left)
        except TimeoutError:
            return
        if call_id.encode() in raw:
            yield raw


class Phones(threading.Thread):
    """All phones of a run, in a thread. Each refreshes `every` seconds, more or less; the first `fleeting` of them let
    their binding expire each time. `stop()` returns when the last has fetched its binding."""

    def __init__(
        self,
        proxy: Address,
        users: Sequence[str],
        password: str,
        *,
        every: float,
        expires: int = 600,
        fleeting: int = 0,
        fleeting_secs: int = 10,
        repeats: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(daemon=True)
        self.proxy, self.users, self.password = proxy, users, password
        self.every, self.expires = every, expires
        self.fleeting, self.fleeting_secs = fleeting, fleeting_secs
        self.repeats = repeats
        self.random = random.Random(seed)
        self.registered = threading.Event()
        self.go, self.enough = threading.Event(), threading.Event()
        self.phones: list[Phone] = []
        self.repeater = Repeater(proxy)
        self.error: BaseException | None = None

    def __enter__(self) -> Phones:
        """All are registered once."""
        self.start()
        self.registered.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def begin(self) -> None:
        """From now on they refresh."""
        self.go.set()

    def stop(self) -> None:
        self.go.set()
        self.enough.set()
        self.join()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self.error = error
        finally:
            self.registered.set()

    async def _run(self) -> None:
        self.phones = [Phone(self.proxy, user, self.password) for user in self.users]
        try:
            await asyncio.gather(*(phone.refresh(self.expires) for phone in self.phones))
            self.registered.set()
            while not self.go.is_set():
                await asyncio.sleep(0.05)
            tasks = [self._live(phone, number < self.fleeting) for number, phone in enumerate(self.phones)]
            if self.repeats:
                tasks.append(self.repeater.run(self.repeats, self.enough))
            await asyncio.gather(*tasks)
            await asyncio.gather(*(phone.fetch(True) for phone in self.phones))
        finally:
            for phone in self.phones:
                phone.close()

    async def _live(self, phone: Phone, fleeting: bool) -> None:
        await self._pause(self.random.random() * self.every)
        while not self.enough.is_set():
            await phone.refresh(self.fleeting_secs if fleeting else self.expires)
            if fleeting:
                await self._pause(self.fleeting_secs + 1.5)
                if not self.enough.is_set():
                    await phone.fetch(False)
            else:
                await self._pause(self.every * self.random.uniform(0.5, 1.5))
        if fleeting:
            await phone.refresh(self.expires)

    async def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.enough.is_set() and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(0.1, left))

    # --- what came of it

    def faults(self) -> list[str]:
        return [fault for phone in self.phones for fault in phone.faults] + self.repeater.faults

    @property
    def refreshed(self) -> int:
        return sum(phone.refreshed for phone in self.phones)

    @property
    def challenged(self) -> int:
        return sum(phone.challenged for phone in self.phones)

    @property
    def longest(self) -> float:
        return max((phone.longest for phone in self.phones), default=0.0)
