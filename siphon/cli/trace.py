"""`siphonctl trace`: the messages of one address of record or one call, as they come and go.

Workers connect to a socket in the shared directory and send copies (siphon/engine/traces.py). This program prints them
in the order of their times, as far as they come within HOLD_SECS of each other. It reads no faster than its terminal:
what a worker cannot send meanwhile it drops, and the next message of that worker says how many.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from shm.slots import Slots
from siphon.cli import directory
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import SLOTS_FILE
from siphon.cli.output import discard, write
from siphon.cli.show import counted
from siphon.engine.traces import COMMAND_BYTES, MOST, PREFIX, TRACING
from siphon.services.tracing.matching import call_id_of

PACKET_BYTES = 1 << 17
HOLD_SECS = 0.1
RAISE_SECS = 0.5
"""Between two times that the flag is raised: a worker that found nobody may have lowered it."""
CALLS = 1000
"""Call-IDs that are told to the other workers."""


def trace(place: Path, wanted: str, seconds: float | None, as_json: bool) -> int:
    """Print until Ctrl-C, for `seconds`, or until siphond has ended (NO_INSTANCE)."""
    if not wanted or len(wanted.encode()) > COMMAND_BYTES // 8:
        raise Refusal(Exit.USAGE, "an address of record or a Call-ID")
    os.chdir(place)  # an address of a socket is short
    others = len(list(Path().glob(f"{PREFIX}*")))
    if others >= MOST:
        raise Refusal(Exit.NOT_DONE, f"{others} traces are running; {MOST} may")
    slots = Slots.attach(place / SLOTS_FILE)
    name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        Path(f".{name}").unlink(missing_ok=True)
        listener.bind(f".{name}")
        listener.listen(128)
        listener.setblocking(False)
        os.rename(f".{name}", name)  # one that is there listens
        try:
            return Trace(place, slots, listener, wanted, as_json).run(seconds)
        except (KeyboardInterrupt, BrokenPipeError):
            discard()
            return Exit.OK
        finally:
            Path(name).unlink(missing_ok=True)


class Trace:
    """What is being printed."""

    def __init__(self, place: Path, slots: Slots, listener: socket.socket, wanted: str, as_json: bool) -> None:
        self.place, self.slots, self.wanted, self.as_json = place, slots, wanted, as_json
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ)
        self.processes: dict[socket.socket, dict[str, Any]] = {}
        self.calls: set[bytes] = set()
        self.held: list[tuple[float, dict[str, Any], bytes]] = []
        self.print_at = 0.0

    def run(self, seconds: float | None) -> int:
        end = None if seconds is None else time.monotonic() + seconds
        raise_at = 0.0
        while end is None or time.monotonic() < end:
            now = time.monotonic()
            if now >= raise_at:
                if directory.holder(self.place) is None:
                    self.print_held()
                    raise Refusal(Exit.NO_INSTANCE, "siphond has ended")
                self.slots.raise_flags(TRACING)
                raise_at = now + RAISE_SECS
            if self.held and now >= self.print_at:
                self.print_held()
            until = min(raise_at, self.print_at if self.held else raise_at, raise_at if end is None else end)
            self.turn(max(0.0, until - now))
        self.print_held()
        return Exit.OK

    def turn(self, seconds: float) -> None:
        for key, _ in self.selector.select(seconds):
            if key.fileobj is self.listener:
                self.accept()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self.read(key.fileobj)

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        self.processes[sock] = {}
        self.selector.register(sock, selectors.EVENT_READ)
        self.tell(sock, {"wanted": self.wanted})

    def read(self, sock: socket.socket) -> None:
        try:
            packet = sock.recv(PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self.selector.unregister(sock)
            sock.close()
            self.note(f"{self.processes.pop(sock).get('process', 'a process')} has ended")
            return
        head, _, message = packet.partition(b"\n")
        facts = json.loads(head)
        if "time" not in facts:
            self.processes[sock] = facts
            self.note(f"{facts['process']} is traced")
            return
        if not self.held:
            self.print_at = time.monotonic() + HOLD_SECS
        self.held.append((facts["time"], {**self.processes[sock], **facts}, message))
        self.spread(sock, message)

    def spread(self, finder: socket.socket, message: bytes) -> None:
        """What one has found by an address of record, the others find by its Call-ID."""
        call_id = call_id_of(message)
        if not call_id or call_id in self.calls or len(call_id) > COMMAND_BYTES // 8 or len(self.calls) >= CALLS:
            return
        self.calls.add(call_id)
        for sock in self.processes:
            if sock is not finder:
                self.tell(sock, {"call_id": call_id.decode("utf-8", "surrogateescape")})

    def tell(self, sock: socket.socket, command: dict[str, str]) -> None:
        try:
            sock.send(json.dumps(command).encode())
        except OSError:
            self.note("a process did not take what else belongs to the trace")

    def print_held(self) -> None:
        held, self.held = sorted(self.held, key=lambda one: one[0]), []
        for wall, facts, message in held:
            if facts["dropped"]:
                of = f"of {facts['process']}"
                dropped = counted(facts["dropped"], f"message {of} was", f"messages {of} were")
                self.note(f"{dropped} dropped: the output is too slow")
            write(as_object(wall, facts, message) if self.as_json else "\n".join(as_text(wall, facts, message)))

    def note(self, text: str) -> None:
        """Beside the messages."""
        click.echo(f"-- {text}", err=True)
        sys.stderr.flush()


def as_object(wall: float, facts: dict[str, Any], message: bytes) -> str:
    """One line of JSON; names are only ever added. Bytes that are no UTF-8 are written as \\xNN."""
    shown = {
        "time": when(wall),
        "process": facts["process"],
        "pid": facts["pid"],
        "direction": facts["direction"],
        "source": endpoint(facts["source"]),
        "destination": endpoint(facts["destination"]),
        "dropped": facts["dropped"],
        "message": message.decode("utf-8", "backslashreplace"),
    }
    return json.dumps(shown)


def as_text(wall: float, facts: dict[str, Any], message: bytes) -> list[str]:
    """A line on the message, and its lines, fit for a terminal."""
    ends = f"{endpoint(facts['source'])} > {endpoint(facts['destination'])}"
    head = f"== {when(wall)} {facts['process']} {facts['direction']} {ends}"
    lines = message.decode("utf-8", "backslashreplace").rstrip("\r\n").split("\n")
    return [head, *(printable(line.removesuffix("\r")) for line in lines), ""]


def printable(line: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)


def when(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def endpoint(address: list[Any]) -> str:
    ip, port = address
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
