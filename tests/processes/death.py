"""What the tests of dying workers share: a script with traps, and which worker serves whom.

A trap is a file; the first handler that comes to its point takes the file away and blocks, until its worker is killed.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from proxy_process import Siphond, until
from tracer import Missed, Tracer
from udp_agent import Agent, Message

DEATH = r"worker \d/\d (died|is stuck)"
T_TAKE = 2.0
"""Seconds within which another worker goes on with what a dead one has left."""
SLOW = 20.0
"""What a machine with no time for its processes may add."""
WITHIN = T_TAKE + SLOW
TRIES = 12

SCRIPT = """
import os, time
from siphon import auth, proxy, registrar

def trap(point):
    try:
        os.rename(f"{place}/{point}", f"{place}/{point}.{os.getpid()}")
    except FileNotFoundError:
        return
    time.sleep(60)

@proxy.on_request
def route(request):
    if request.in_dialog:
        if request.loose_route():
            request.relay()
        else:
            request.reply(481)
    elif request.method == "REGISTER":
        if auth.require_digest(request):
            trap("register")
            registrar.save(request)
            trap("saved")
    elif request.method == "OPTIONS":
        request.reply(200)
    else:
        trap("request")
        ring = request.get_header("X-Ring")
        request.record_route()
        request.fork(
            request.get_header("X-Targets").split(","),
            strategy=request.get_header("X-Strategy") or "parallel",
            send_socket=request.get_header("X-Socket"),
            timeout=float(ring) if ring else None,
            on_failure=go_on,
        )

@proxy.on_reply
def passing(request, reply):
    if reply.status_code >= 300:
        trap("reply")
    reply.relay()

def go_on(request, code, reason):
    trap("failure")
    following = request.get_header("X-Next")
    if following:
        request.remove_header("X-Next")
        request.relay(following)
"""


class Trap:
    """A point of the script at which the next handler blocks."""

    def __init__(self, place: Path, point: str) -> None:
        self.place, self.point = place, point
        (place / point).touch()

    def caught(self) -> int:
        """The worker that is in it."""
        found = until(lambda: list(self.place.glob(f"{self.point}.*")), 30, f"a handler at {self.point}")
        return int(found[0].suffix[1:])

    def kill(self, *, again: bool = False) -> None:
        """kill -9 of the worker that is in it. `again`: it is there for the next one before that can come."""
        pid = self.caught()
        (self.place / f"{self.point}.{pid}").unlink()
        if again:
            (self.place / self.point).touch()
        os.kill(pid, signal.SIGKILL)


class Victim:
    """A siphond whose workers die. Each phone talks to one worker ("flow")."""

    def __init__(self, siphond: Siphond, place: Path) -> None:
        self.siphond = siphond
        self.place = place
        siphond.tolerated = DEATH

    def trap(self, point: str) -> Trap:
        return Trap(self.place, point)

    def worker_of(self, phone: Agent) -> int:
        """The process that reads what this phone sends."""
        before = self.siphond.messages()
        phone.send(phone.request("OPTIONS", "sip:example.com"))
        phone.expect("200 OPTIONS", but=("100 INVITE", "486 INVITE"))
        until(lambda: self.siphond.messages() != before, 20, "a count")
        rose = [now > then for now, then in zip(self.siphond.messages(), before, strict=True)]
        return self.siphond.slots().read(rose.index(True)).pid

    def traced(self, phone: Agent, call: str, moment: str, *, hold: bool = False) -> Tracer:
        """Its worker, to be killed at that system call."""
        return Tracer(self.worker_of(phone), call, moment, hold=hold)

    def kill_all(self) -> None:
        """All workers at once; returns when others are there."""
        before = set(self.siphond.worker_pids())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(set(self.siphond.worker_pids()) - before) == self.siphond.workers, 60, "new workers")


Test = TypeVar("Test", bound=Callable[..., None])


def repeated_if_missed(test: Test) -> Test:
    """A test whose worker is traced is tried again where another one has read the datagram: on a busy machine the
    traced one does not wake in time, and a sibling serves its socket."""

    @functools.wraps(test)
    def tried(*arguments: object, **named: object) -> None:
        for _ in range(TRIES - 1):
            try:
                return test(*arguments, **named)
            except Missed:
                continue
        return test(*arguments, **named)

    return cast(Test, tried)


def call(caller: Agent, *targets: Agent, extra: Sequence[str] = (), method: str = "INVITE") -> bytes:
    """Sends a request that is forked to these phones."""
    lines = [f"X-Targets: {','.join(target.uri for target in targets)}", *extra]
    return caller.send(caller.request(method, "sip:somebody@example.com", extra=lines))


def answered(caller: Agent, callee: Agent, offered: Message) -> None:
    """The callee takes the call; ACK and BYE pass."""
    callee.respond(offered, 200, tag="b")
    goes_through(caller, callee)


def goes_through(caller: Agent, callee: Agent) -> None:
    """The 200 is on its way: it comes, then ACK and BYE pass."""
    final = caller.expect("200 INVITE", within=WITHIN, but=("100 INVITE", "180 INVITE"))
    dialog = caller.dialog(final)
    caller.within(dialog, "ACK")
    callee.expect("ACK", within=WITHIN)
    caller.within(dialog, "BYE")
    callee.respond(callee.expect("BYE", within=WITHIN), 200)
    caller.expect("200 BYE", within=WITHIN, but=("200 INVITE",))


def refused(caller: Agent, invite: bytes, status: int) -> Message:
    """The failure comes up, and is acknowledged."""
    final = caller.expect(f"{status} INVITE", within=WITHIN, but=("100 INVITE", "180 INVITE"))
    caller.acknowledge(invite, final)
    return final


def branches(phone: Agent) -> set[str]:
    """Our branches of the INVITEs that came to a phone: one, or it was called twice."""
    return {message.all("via")[0].partition("branch=")[2] for message in phone.seen if message.is_a("INVITE")}
