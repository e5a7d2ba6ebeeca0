"""One real worker in this process: its loop, its UDP socket, tables in shared memory; what a call costs it as a whole.

    .venv/bin/python bench/one_worker.py [--calls N]              microseconds of CPU a call, by message
    .venv/bin/python bench/instructions.py worker                 instructions above the system calls

The phones are two plain sockets of the same process; what they do is not counted. bench/replay.py is the engine alone,
so the difference of the two is the loop, the store in shared memory and the system calls.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import socket
import sys
import tempfile
from collections import defaultdict
from math import inf
from pathlib import Path
from time import process_time_ns
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench"), str(ROOT / "tests/engine")]

from replay import Call  # noqa: E402

from shm.slots import Slots  # noqa: E402
from siphon.cli.memory import COUNTERS, SLOTS, need  # noqa: E402
from siphon.cli.tables import create  # noqa: E402
from siphon.config.log import Log  # noqa: E402
from siphon.config.testing import settings_for_tests  # noqa: E402
from siphon.engine.application import Engine  # noqa: E402
from siphon.engine.shared import Shared  # noqa: E402
from siphon.engine.wakes import Wake, Wakes  # noqa: E402
from siphon.state.store import Send  # noqa: E402
from workers.adoption import Crew  # noqa: E402
from workers.application import WorkerContext  # noqa: E402
from workers.control import Channel  # noqa: E402
from workers.loop import LoopOptions, WorkerLoop, make_outbox  # noqa: E402
from workers.sockets import open_listeners  # noqa: E402

REGISTER = (
    b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK-register\r\n"
    b"From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: register@192.0.2.2\r\n"
    b"CSeq: 1 REGISTER\r\nContact: <sip:bob@192.0.2.2:5060>\r\nExpires: 3600\r\nMax-Forwards: 70\r\n"
    b"Content-Length: 0\r\n\r\n"
)
DIGEST = "        if not auth.require_digest(request, realm=DOMAIN):\n            return\n"


def phone() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


class OneWorker:
    """The worker, and a phone a side. `world` of the calls that replay.py makes."""

    def __init__(self, place: Path, transactions: int) -> None:
        script = place / "script.py"
        script.write_text((ROOT / "tests/recipe.py").read_text().replace(DIGEST, ""))
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.listener.bind(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.listener.close()
        self.address = ("127.0.0.1", port)
        settings = settings_for_tests(
            listen={"udp": [f"127.0.0.1:{port}"]},
            workers={"count": 1},
            shared={"path": str(place / "shared"), "max_transactions": transactions, "max_dialogs": transactions},
            script={"path": str(script)},
            server={"state_dir": str(place / "state")},
        )
        (place / "shared").mkdir(mode=0o700)
        slots = Slots.create(place / "slots", slots=SLOTS, counters=COUNTERS, fresh=True)
        tables: dict[str, Any] = {size.name: create(place / "shared", size, bytes(16), True) for size in need(settings)}
        shared = Shared(
            slots=slots, secret=bytes(32), node_token=bytes(16), wakes=Wakes(SLOTS), changes=Wake(), **tables
        )
        listeners = open_listeners([("127.0.0.1", port, None)], 1, 4 << 20)
        generation = slots.enter(0, os.getpid())
        context = WorkerContext(0, 0, generation, 1, False, slots, make_outbox(listeners, 0))
        engine = Engine(settings, shared, Log("warn", "text", "stderr"))
        engine.started(context)
        self.ledger = memoryview(bytearray(4))
        self.control, theirs = Channel.pair()
        crew = Crew(1)
        self.loop = WorkerLoop(
            context, engine, listeners, lambda *_: self.ledger, theirs, LoopOptions(crew), lambda *a, **k: print(a, k)
        )
        self.loop.epoll.register(context.aio.fileno(), 1)
        self.loop.watch_slot(0)
        self.loop.next_look = self.loop.next_count = inf  # what comes by the clock is no part of a call
        self.phones = {("192.0.2.1", 5060): phone(), ("192.0.2.2", 5060): phone()}
        self.texts = [
            (b"%b:%d" % (ip.encode(), port), b"127.0.0.1:%d" % sock.getsockname()[1])
            for (ip, port), sock in self.phones.items()
        ]
        self.places = {sock.getsockname(): virtual for virtual, sock in self.phones.items()}

    def send(self, data: bytes, source: tuple[str, int]) -> None:
        for virtual, real in self.texts:
            data = data.replace(virtual, real)
        self.phones[source].sendto(data, self.address)

    def heard(self) -> list[Send]:
        """What the phones have got, the caller first."""
        got = []
        for virtual, sock in self.phones.items():
            while True:
                try:
                    got.append(Send(sock.recv(65536), virtual, 0, ""))
                except BlockingIOError:
                    break
        return got


class WholeCall(Call):
    """A call of which each message passes the socket."""

    def put(self, name: str, data: bytes, source: tuple[str, int]) -> list[Send]:
        one: Any = self.world
        one.send(data, source)
        began = process_time_ns()
        one.loop.turn()
        self.spent[name] += (process_time_ns() - began) / 1e9
        heard: list[Send] = one.heard()
        return heard


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="siphond-one-", dir="/dev/shm"))
    try:
        one = OneWorker(place, asked.calls * asked.rounds * 3 + 1000)
        one.send(REGISTER, ("192.0.2.2", 5060))
        one.loop.turn()
        assert one.heard()[0].data.startswith(b"SIP/2.0 200"), "not registered"
        gc.collect()
        gc.freeze()
        best: dict[str, float] | None = None
        world: Any = one
        for round_ in range(asked.rounds):
            spent: dict[str, float] = defaultdict(float)
            for number in range(asked.calls):
                WholeCall(world, round_ * asked.calls + number + 1, spent).run()
            if best is None or sum(spent.values()) < sum(best.values()):
                best = spent
        assert best is not None
        for name, seconds in best.items():
            print(f"{name:10} {seconds / asked.calls * 1e6:8.1f} us")
        print(f"{'a call':10} {sum(best.values()) / asked.calls * 1e6:8.1f} us   (best of {asked.rounds} rounds)")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
