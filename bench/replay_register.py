"""One worker's engine in this process, no sockets: what a REGISTER, and what other requests answered here, cost.

    .venv/bin/python bench/replay_register.py [--what register|digest|options] [--calls N] [--profile]

As bench/replay.py, but transactions, bindings, nonces and marks lie in tables of shared memory, as in a worker. Each
call is a phone of its own among --users, whose binding is refreshed by it from the second round on; with `digest` it is
challenged first and answers with a new nonce, as those of ./dev bench do.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections import defaultdict
from hashlib import md5
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT)]

from replay import Silent  # noqa: E402
from siphond_server import DIGEST, RECIPE  # noqa: E402

from shm.table import Table  # noqa: E402
from siphon.engine.enums import make_members_cheap  # noqa: E402
from siphon.state.memory_store import MemoryStore  # noqa: E402
from siphon.testing.clock import VirtualClock  # noqa: E402
from siphon.testing.worker import VirtualWorker  # noqa: E402

ROUNDS = 5
DOMAIN = "example.com"
KINDS = ("register", "digest", "options")


class Now(VirtualClock):
    """Begins at this moment, by both clocks: shared tables look at the real ones."""

    WALL_OFFSET = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def __init__(self) -> None:
        super().__init__(time.clock_gettime(time.CLOCK_BOOTTIME))


class Shared(Silent):
    """Its tables are those of siphond."""

    def __init__(self, script: Path, place: Path, **settings: Any) -> None:
        self.place = place
        super().__init__(script, workers=1, **settings)

    def make_clock(self) -> VirtualClock:
        return Now()

    def table(self, name: str, records: int, blocks: int, **facts: Any) -> Any:
        return Table.create(self.place / name, records=records, blocks=blocks, **facts)

    def make_table(self) -> Any:
        return self.table("transactions", 40000, 120000)

    def make_location_table(self) -> Any:
        self.hint_table = self.table("hints", 40000, 40000, wall_expiry=True)
        self.nonce_table = self.table("nonces", 40000, 80000, wall_expiry=True, block_bytes=64)
        return self.table("location", 30000, 100000, wall_expiry=True, marked=True, block_bytes=64)

    def new_worker(self, slot: int, generation: int) -> VirtualWorker:
        self.hints, self.nonces = self.hint_table, self.nonce_table
        return super().new_worker(slot, generation)

    def store_of(self, worker: VirtualWorker) -> MemoryStore:
        return MemoryStore(self.transactions, lambda send: self.transmit(worker.slot, send))


class Phone:
    """One of the phones, whose n-th call this is."""

    def __init__(self, world: Shared, user: int, number: int, spent: dict[str, float]) -> None:
        self.world, self.user, self.number, self.spent = world, user, number, spent
        self.address = "192.0.2.1", 20000 + user
        self.cseq = 0

    def put(self, name: str, data: bytes, status: bytes) -> bytes:
        """The answer, which has this status."""
        out: list[Any] = []
        world = self.world
        world.out = out
        took = world.workers[0].ingest.datagram
        began = time.perf_counter()
        took(data, self.address, 0, "", world.clock.now)
        self.spent[name] += time.perf_counter() - began
        assert len(out) == 1 and out[0].data.startswith(b"SIP/2.0 " + status), out
        return bytes(out[0].data)

    def request(self, method: str, more: str) -> bytes:
        self.cseq += 1
        place = f"192.0.2.1:{self.address[1]}"
        return (
            f"{method} sip:{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {place};rport;branch=z9hG4bK-1f-{self.number}-{self.cseq}\r\nMax-Forwards: 70\r\n"
            f"Call-ID: 1f-{self.number}@127.0.0.1\r\nCSeq: {self.cseq} {method}\r\n"
            f"From: <sip:u{self.user}@{DOMAIN}>;tag=f{self.number:08x}\r\nTo: <sip:u{self.user}@{DOMAIN}>\r\n"
            f"{more}Content-Length: 0\r\n\r\n"
        ).encode()

    def register(self, credentials: str = "") -> bytes:
        contact = f"Contact: <sip:u{self.user}@192.0.2.1:{self.address[1]}>\r\n"
        return self.request("REGISTER", f"{contact}Expires: 3600\r\n{credentials}")

    def run(self, what: str) -> None:
        if what == "options":
            self.put("OPTIONS", self.request("OPTIONS", ""), b"200")
        elif what == "register":
            self.put("REGISTER", self.register(), b"200")
        else:
            challenge = self.put("REGISTER 401", self.register(), b"401")
            self.put("REGISTER 200", self.register(self.credentials(challenge)), b"200")

    def credentials(self, challenge: bytes) -> str:
        text = challenge.decode()
        nonce, opaque = (text.partition(f'{name}="')[2].partition('"')[0] for name in ("nonce", "opaque"))
        texts = f"u{self.user}:{DOMAIN}:secret", f"REGISTER:sip:{DOMAIN}"
        one, two = (md5(text.encode()).hexdigest() for text in texts)
        answer = md5(f"{one}:{nonce}:00000001:c0ffee:auth:{two}".encode()).hexdigest()
        return (
            f'Authorization: Digest username="u{self.user}", realm="{DOMAIN}", nonce="{nonce}", '
            f'uri="sip:{DOMAIN}", response="{answer}", algorithm=MD5, opaque="{opaque}", qop=auth, nc=00000001, '
            f'cnonce="c0ffee"\r\n'
        )


def ready_world(what: str, users: int, place: Path) -> Shared:
    """One worker, nobody registered."""
    script = place / "script.py"
    text = RECIPE.read_text()
    script.write_text(text if what == "digest" else text.replace(DIGEST, ""))
    auth = {"users": {f"u{user}": "secret" for user in range(users)}, "algorithms": ["MD5"]}
    world = Shared(script, place, auth=auth)
    world.workers[0].ingest.shorten()  # as a real worker does: without comparing
    services = world.workers[0].runtime.services
    services.location.shorten()
    services.digest.shorten()
    return world


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of a REGISTER in the engine, without system calls.")
    parser.add_argument("--what", choices=KINDS, default="register")
    parser.add_argument("--calls", type=int, default=2000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--profile", action="store_true", help="print where Python spends it (cProfile)")
    asked = parser.parse_args()
    make_members_cheap()
    with tempfile.TemporaryDirectory(prefix="siphond-replay-", dir="/dev/shm") as place:
        replay(asked, Path(place))
    return 0


def replay(asked: argparse.Namespace, place: Path) -> None:
    world = ready_world(asked.what, asked.users, place)
    number = 0
    best: dict[str, float] | None = None
    profile = None
    for _ in range(2):
        Phone(world, 0, number := number + 1, defaultdict(float)).run(asked.what)
    gc.collect()
    gc.freeze()
    if asked.profile:
        import cProfile

        profile = cProfile.Profile()
        profile.enable()
    for _ in range(asked.rounds):
        spent: dict[str, float] = defaultdict(float)
        for call in range(asked.calls):
            number += 1
            Phone(world, call % asked.users, number, spent).run(asked.what)
        for table in (world.transactions, world.hints, world.nonces):
            table.expire(world.clock.wall() + 1e6, 10_000_000)
        world.workers[0].timers.clear()
        if best is None or sum(spent.values()) < sum(best.values()):
            best = spent
    if profile is not None:
        import pstats

        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(70)
    assert best is not None
    for name, seconds in best.items():
        print(f"{name:14} {seconds / asked.calls * 1e6:8.1f} us")
    print(f"{'a call':14} {sum(best.values()) / asked.calls * 1e6:8.1f} us   (best of {asked.rounds} rounds)")


if __name__ == "__main__":
    sys.exit(main())
