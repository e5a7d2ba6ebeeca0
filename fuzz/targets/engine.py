"""Datagrams through a whole virtual siphond that is in the middle of its work (siphon/testing/world.py).

Before each input the world is the same: two phones are registered, a call rings at both, another is up with its dialog,
a MESSAGE and a failed INVITE wait for their ends. Its keys and its chance are fixed, so branches, tags and routes are
the same in every process, and the seeds hold the real ones: a response that was mutated still finds its branch.

An input is up to four datagrams, each behind a byte that says who sends it and what time passes afterwards. It is
judged by what leaves, by the log, by the CPU that it took, and by an OPTIONS that is sent after it. The time limit is
meant for the production build; $SIPHOND_FUZZ_CPU multiplies it for the instrumented one.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Any

from fuzz.target import Check, Target, holds, stored_messages
from siphon.sip.message import BadResponse, NotSip, PeerError, SipMessage, parse
from siphon.state.memory import MemoryTable
from siphon.testing.agent import Agent
from siphon.testing.world import World

CPU_SECS = 0.050
SLOWER = float(os.environ.get("SIPHOND_FUZZ_CPU", "1"))
SEPARATOR = b"\0--\0"
MOST_DATAGRAMS = 4
MOST_SENT = 64
"""That leave for one datagram: an answer, a copy and a CANCEL for each of at most 10 contacts and branches, and the
ends of what it completes."""
CALLER, STRANGER, PHONE, SECOND = ("192.0.2.9", 5099), ("2001:db8::9", 5060), ("127.0.0.2", 5090), ("127.0.0.3", 5090)
SOURCES = (CALLER, PHONE, SECOND, STRANGER)
PASSING = (0.0, 0.0, 0.0, 0.0, 0.6, 0.0, 40.0, 0.0)
ICMP, LATE = 0x20, 0x40
"""In the byte before a datagram: bits 0 and 1 the source, bits 2 to 4 the time, then: ICMP quotes it. In the first byte
of an input: the world is the one whose store answers late."""

SCRIPT = """
from siphon import auth, proxy, registrar

@proxy.on_request
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(404, "Not Here")
    elif request.method == "REGISTER":
        if request.ruri.host != "localhost" or auth.require_digest(request, realm="example.com"):
            registrar.save(request)
    elif not request.ruri.is_local or request.get_header("Route"):
        request.loose_route()
        request.relay()
    elif not request.ruri.user:
        request.reply(200, "OK")
    elif contacts := registrar.lookup(request.ruri):
        request.vars["caller"] = str(request.from_uri)
        request.set_header("X-Passed", request.call_id)
        request.record_route()
        request.fork(contacts)
    else:
        request.reply(404, "Not Found")

@proxy.on_reply
def reply(request, reply):
    reply.remove_header("X-Secret")
    reply.relay()

@proxy.on_failure
def failure(request, reply):
    if reply.status_code == 486:
        request.relay("sip:127.0.0.2:5090")
    else:
        reply.relay()
"""
NAMES = {"services.example.com": ["192.0.2.81"], "example.net": ["192.0.2.82"], "gw1.example.net": ["192.0.2.84"]}


@dataclass
class Bench:
    """The world in its middle, and the way back to it. `taken` are all datagrams that led there."""

    world: World
    taken: list[bytes] = field(default_factory=list)
    saved: list[Callable[[], None]] = field(default_factory=list)
    options: bytes = b""

    def note(self, agent: Agent, data: bytes | str, kind: int) -> None:
        """Deliver, and keep as a seed."""
        raw = data if isinstance(data, bytes) else encoded(data)
        self.taken.append(bytes([kind]) + raw)
        agent.send(raw)

    def restore(self) -> None:
        """Back to the middle."""
        for back in self.saved:
            back()


def saved_table(table: MemoryTable) -> Callable[[], None]:
    """How a table gets back what it has now; its values are never changed in place."""
    state: dict[str, Any] = {name: value for name, value in vars(table).items() if name != "_entries"}
    entries = dict(vars(table)["_entries"])
    return lambda: vars(table).update(state, _entries=dict(entries))


def saved_world(world: World) -> list[Callable[[], None]]:
    """One way back for each thing that an input may change."""
    tables = [world.transactions, world.location_table, world.dialogs, world.nonces]
    tables += [world.hints, world.limits, world.timers, world.bans]
    now, chances = world.clock.now, [(random, random.getstate()) for random in (world.random, world.late) if random]
    timers = [list(worker.timers) for worker in world.workers]

    def back() -> None:
        world.clock.now = now
        for random, chance in chances:
            random.setstate(chance)
        for worker, entries in zip(world.workers, timers, strict=True):
            worker.timers[:] = entries
            worker.ingest.malformed.seen.clear()
            worker.core.repeats.seen.clear()
            worker.notes.clear()
        world.sent.clear()
        world.lost.clear()
        world.next_worker = 0

    return [*(saved_table(table) for table in tables), back]


def prepared(late: bool) -> Bench:
    """The world in the middle of its work; `late`: over a store that answers late and out of order."""
    world = World(SCRIPT, listen={"udp": ["127.0.0.1:5060", "[::1]:5060"]}, late=Random(7) if late else None)
    world.resolver.names.update(NAMES)
    bench = Bench(world)
    caller, phone, second = world.agent(*CALLER), world.agent(*PHONE), world.agent(*SECOND)
    for agent, kind in ((phone, 1), (second, 2)):
        bench.note(agent, register(agent, "user"), kind)
    bench.note(phone, register(phone, "b"), 1)
    bench.note(caller, caller.request("REGISTER", "sip:localhost", to="sip:alice@example.com"), 0)
    ring(bench, caller, (phone, second))
    talk(bench, caller, phone)
    wait(bench, caller, phone)
    holds(not errors(world), f"the world is sound: {errors(world)}")
    bench.options = encoded(caller.request("OPTIONS", "sip:example.com", branch="z9hG4bKcontrol", call_id="control"))
    world.agents.clear()  # from here on what leaves is only looked at
    bench.saved = saved_world(world)
    bench.restore()
    gc.collect()
    gc.freeze()  # as a worker does: what a full collection costs is not the datagram's
    return bench


def encoded(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def register(agent: Agent, user: str) -> str:
    return agent.request("REGISTER", "sip:example.com", to=f"sip:{user}@example.com", headers="Expires: 3600")


def copied(request: SipMessage, status: str, more: str = "") -> str:
    """A response to a request that came to an agent."""
    names = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
    lines = [f"{name}: {value.decode()}" for name in names for value in request.all_lines(name)]
    return "\n".join([f"SIP/2.0 {status}", *lines, *([more] if more else []), "Content-Length: 0", "", ""])


def ring(bench: Bench, caller: Agent, phones: tuple[Agent, Agent]) -> None:
    """A call that rings at two phones, and what may come for it next."""
    invite = caller.request("INVITE", "sip:user@example.com", branch="z9hG4bKring", call_id="ring", body="v=0\n")
    bench.note(caller, invite, 0)
    for kind, phone in enumerate(phones, 1):
        request = phone.last
        bench.note(phone, copied(request, "180 Ringing", f"Contact: <sip:{phone.ip}:{phone.port}>"), kind)
        for final in ("200 OK", "486 Busy Here", "302 Moved", "503 Down", "603 No", "100 Trying", "183 Progress"):
            bench.taken.append(bytes([kind]) + encoded(copied(request, final)))
        bench.taken.append(bytes([ICMP | kind]) + request.raw)
    cancel = caller.request("CANCEL", "sip:user@example.com", branch="z9hG4bKring", call_id="ring")
    bench.taken.append(b"\0" + encoded(cancel))
    pair = [bench.taken[-1], b"\1" + encoded(copied(phones[0].last, "487 Gone"))]
    bench.taken.append(SEPARATOR.join(pair))


def talk(bench: Bench, caller: Agent, phone: Agent) -> None:
    """A call that is up, and what may come in its dialog."""
    bench.note(caller, caller.request("INVITE", "sip:b@example.com", branch="z9hG4bKtalk", call_id="talk"), 0)
    bench.note(phone, copied(phone.last, "200 OK", "Contact: <sip:127.0.0.2:5090>"), 1)
    routes = "\n".join(f"Route: {route.decode()}" for route in reversed(caller.last.values("Record-Route")))
    for method in ("ACK", "BYE", "INVITE", "INFO", "UPDATE"):
        text = caller.request(
            method, "sip:127.0.0.2:5090", to="sip:b@example.com", to_tag="t9", call_id="talk", cseq=2, headers=routes
        )
        bench.taken.append(b"\0" + encoded(text))


def wait(bench: Bench, caller: Agent, phone: Agent) -> None:
    """A MESSAGE that is not answered yet, and a call that was refused and not acknowledged."""
    bench.note(caller, caller.request("MESSAGE", "sip:b@example.com", branch="z9hG4bKmsg", body="hello"), 0)
    for final in ("200 OK", "404 Not Found", "408 Timeout", "503 Down"):
        bench.taken.append(b"\1" + encoded(copied(phone.last, final)))
    bench.note(caller, caller.request("INVITE", "sip:nobody@example.com", branch="z9hG4bKno", call_id="no"), 0)
    ack = caller.request("ACK", "sip:nobody@example.com", branch="z9hG4bKno", call_id="no")
    bench.taken.append(b"\0" + encoded(ack))


def errors(world: World) -> list[str]:
    """What the log would call one; that an outcome of the script is too large for a record is an answer by rule."""
    return [error for worker in world.workers for error in worker.errors if "no_room" not in error]


class EngineCheck:
    """`slowest` is the CPU of the longest datagram so far, in seconds."""

    def __init__(self) -> None:
        self.benches = (prepared(False), prepared(True))
        self.bench = self.benches[0]
        self.slowest = 0.0
        gc.collect()
        gc.freeze()  # as a worker does: what was loaded is not walked through in the middle of a datagram

    def __call__(self, data: bytes) -> None:
        """Every datagram of the input, then an OPTIONS."""
        self.bench = self.benches[bool(data) and bool(data[0] & LATE)]
        try:
            for part in data.split(SEPARATOR)[:MOST_DATAGRAMS]:
                if part:
                    self.datagram(part[0], part[1:])
            self.control()
            holds(not errors(self.world), f"nothing goes wrong: {errors(self.world)}")
        finally:
            for worker in self.world.workers:
                worker.errors.clear()
            self.bench.restore()

    def close(self) -> None:
        """The end of the world."""
        gc.unfreeze()
        for bench in self.benches:
            bench.world.close()

    @property
    def world(self) -> World:
        return self.bench.world

    def datagram(self, kind: int, raw: bytes) -> None:
        world, source = self.world, SOURCES[kind & 3]
        listener = 1 if ":" in source[0] else 0
        world.sent.clear()
        started = time.thread_time()
        if kind & ICMP:
            world.workers[0].ingest.unreachable(raw)
        else:
            world.deliver(raw, source, listener=listener)
        spent = time.thread_time() - started
        self.slowest = max(self.slowest, spent)
        holds(spent < CPU_SECS * SLOWER, f"in time: {spent * 1000:.1f} ms")
        self.judge(raw)
        world.advance(PASSING[kind >> 2 & 7])

    def judge(self, raw: bytes) -> None:
        """What left: not much, to places that exist, whole messages, and each final once."""
        sent = self.world.sent
        holds(len(sent) <= MOST_SENT, f"{len(sent)} datagrams for one")
        finals = set()
        for send in sent:
            place = ip_address(send.to[0])
            bad = place.is_multicast or place.is_unspecified or send.to[0] == "255.255.255.255"
            holds(not bad and 0 < send.to[1] <= 65535, f"a place that exists: {send.to}")
            message = read(send.data)
            if message is None:  # a refusal shows the sender its own faults
                holds(read(raw) is None and send.data[:8] == b"SIP/2.0 ", f"a whole message: {send.data!r}")
                continue
            if not message.is_request and message.status >= 200:
                final = (send.to, message.via.branch, message.cseq, message.cseq_method, message.call_id)
                holds(final not in finals, f"one final: {final}")
                finals.add(final)
        if method_of(raw) == "ACK":
            holds(not [send for send in sent if send.data[:4] == b"SIP/"], "an ACK is not answered")

    def control(self) -> None:
        """The world still serves."""
        self.world.sent.clear()
        self.world.deliver(self.bench.options, CALLER)
        answers = [send.data[:12] for send in self.world.sent]
        holds(answers == [b"SIP/2.0 200 "], f"an OPTIONS is answered: {answers}")


def method_of(raw: bytes) -> str:
    """Of a request that can be read; else empty."""
    try:
        return parse(raw).method if raw[:4] != b"SIP/" else ""
    except PeerError as error:
        return "" if error.partial is None else error.partial.method
    except (NotSip, BadResponse):
        return ""


def read(raw: bytes) -> SipMessage | None:
    """None when it cannot be read."""
    try:
        return parse(raw)
    except (PeerError, NotSip, BadResponse):
        return None


def seeds() -> list[bytes]:
    """The traffic of the prepared world, every stored message, and pairs of them."""
    found: list[bytes] = []
    for late in (0, LATE):
        bench = prepared(bool(late))
        found += [bytes([data[0] | late]) + data[1:] for data in bench.taken]
        bench.world.close()
    found += [b"\0" + raw for raw in stored_messages() if len(raw) < 4000]
    random = Random(2)
    found += [SEPARATOR.join(random.sample(found, 2)) for _ in range(40)]
    return found


def make() -> Check:
    return EngineCheck()


TARGET = Target(
    "engine",
    "Each datagram is answered by rule or dropped, in less than 50 ms of CPU, and the next OPTIONS is answered.",
    make,
    seeds,
    4000,
    python=True,
)
