"""A target on the production build, with random mutations: no clang, no guidance, the same inputs for the same seed.

CI runs it for each target, and it is what the times are taken from: AddressSanitizer makes everything slower.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from fuzz.target import Check, Target

PIECES: tuple[bytes, ...] = (
    *(b";", b",", b'"', b"<", b">", b"\r\n", b"\n", b"\r", b"\r\n ", b" ", b"\t", b":", b"=", b"@", b"%", b"%00", b"?"),
    *(b"\\", b"\0", b"\xff", b"\xc3\xa9", b"[::1]", b"[", b"]", b"/", b"*", b"sip:", b"sips:", b"tel:", b"SIP/2.0 "),
    *(b"0", b"-1", b"65536", b"4294967296", b"99999999999999999999", b"\r\n\r\n", b"INVITE ", b"CANCEL ", b"ACK "),
    *(b"\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa", b"rport", b"received=", b"maddr=", b"branch=", b"z9hG4bK", b";tag=1"),
    *(b"\r\nRoute: <sip:127.0.0.1;lr>", b"\r\nContact: *", b"\r\nExpires: 0", b"\r\nContent-Length: 5", b"expires="),
    *(b"\r\nMax-Forwards: 0", b"\r\nProxy-Require: x", b"Digest ", b"nc=", b"qop=", b"\r\nRecord-Route: ", b";lr"),
)
"""What the grammar is made of; the dictionary of libFuzzer too."""


@dataclass(slots=True)
class Tried:
    """What a run came to. `growth` is that of the memory in bytes after the first tenth, when all caches are full;
    `slowest` the most CPU that one datagram took, in seconds, where a target measures it."""

    inputs: int
    seconds: float
    growth: int = 0
    slowest: float = 0.0

    def slowest_text(self) -> str:
        return f"at most {self.slowest * 1000:.1f} ms of CPU a datagram" if self.slowest else f"{self.seconds:.1f} s"


def mutated(raw: bytes, others: Sequence[bytes], random: Random, max_bytes: int) -> bytes:
    """One to six changes: pieces put in, bytes taken out, doubled or turned, a part of another input."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 6))):
        at = random.randrange(len(data) + 1)
        size = random.choice((0, 0, 1, 1, 2, 5, 40))
        kind = random.randrange(8)
        if kind < 4:
            data[at : at + size] = random.choice(PIECES)
        elif kind == 4:
            data[at : at + size] = random.randbytes(random.randrange(5))
        elif kind == 5:
            data[at:at] = data[at : at + 60] * random.choice((1, 1, 2, 20))
        elif kind == 6 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        else:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            data[at : at + size] = other[start : start + random.choice((8, 40, 400))]
    return bytes(data[:max_bytes])


def inputs(target: Target, runs: int, seed: int) -> Iterator[bytes]:
    """The seeds as they are, then mutations of them."""
    seeds = list(target.seeds())
    random = Random(seed)
    for number in range(runs):
        yield seeds[number] if number < len(seeds) else mutated(random.choice(seeds), seeds, random, target.max_bytes)


def memory() -> int:
    """Bytes of this process in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Failed(Exception):
    """The target's invariant does not hold for `input`; the cause says what was wrong."""

    def __init__(self, data: bytes) -> None:
        super().__init__(repr(data))
        self.input = data


def run(target: Target, runs: int, seed: int = 1) -> Tried:
    """Raises Failed for the first input that breaks the invariant."""
    return _each(target, inputs(target, runs, seed), runs)


def replay(target: Target, found: Sequence[bytes]) -> Tried:
    """Inputs that are there already, in their order. Raises Failed."""
    return _each(target, found, len(found))


def _each(target: Target, found: Iterable[bytes], count: int) -> Tried:
    check, started, before = target.make(), time.monotonic(), 0
    try:
        for number, data in enumerate(found):
            if number == count // 10:
                before = memory()
            one(check, data)
        growth = max(0, memory() - before)
        return Tried(count, time.monotonic() - started, growth, getattr(check, "slowest", 0.0))
    finally:
        getattr(check, "close", lambda: None)()


def one(check: Check, data: bytes) -> None:
    """Raises Failed."""
    try:
        check(data)
    except Exception as error:
        raise Failed(data) from error
