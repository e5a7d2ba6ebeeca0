"""Does siphond's memory stay flat? Mixed traffic for a long time, sampled, the last third compared with the second.

    ./dev soak --minutes M [--rate CALLS_A_SECOND] [--workers N] [--steering flow|spread] [--t1 S] [--samples FILE]

Traffic: answered calls, refused ones and cancelled ones through SIPp (7:1:1), phones that refresh their registration,
others whose bindings expire, requests that are sent three times each, and datagrams of garbage: half of them from the
corpus of broken messages, half random. Descriptors, records and blocks of the tables and the memory of all processes
are sampled, 200 times in all at least, and written to a CSV file.

Flat is what has the same median in the last third of the run as in the second third: memory within 2 %; so are records
and blocks, or within the chance of their number (three standard deviations of so many independent calls); descriptors
are equal. A binding whose time is over stays until the sweep of the table, twice a minute, so the third of a run must
be several times longer than that for its median to say something: in a shorter one such tables are shown, not judged.

Exit status 1 when something is not flat, a call failed, a binding was not as its phone left it, a process of siphond
died, or its log has an error.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from load import ROOT
from load.calls import Kind, started
from load.footprint import faults, measured
from load.phones import Phones
from load.server import PASSWORD, prepared, users
from proxy_process import Siphond
from sipp_runner import SippRunner
from udp_agent import Agent

SHARES = {
    "answered": (7 / 9, ("uac_call", "uas_answer"), "bob", 1000),
    "refused": (1 / 9, ("uac_refused", "uas_refuse"), "alice", 0),
    "cancelled": (1 / 9, ("uac_cancel", "uas_ring"), "carol", 300),
}
"""Share of the calls, scenarios, who is called, and how long a call is held (ms)."""

PHONES, FLEETING = 40, 10
SETTINGS = "\n[registrar]\nmin_expires = 1\n\n[dialog]\nmax_age_secs = 60\n"
MEMORY_WITHIN = 0.02
CHANCE = 3.0
BLOCKS_A_RECORD = 3
SAMPLES = 200
SWEPT = ("records_location", "blocks_location")
SWEEPS_SECS = 300.0
"""A third of a run that is as long sees ten sweeps of the table."""


class Garbage(threading.Thread):
    """So many datagrams a second that are no proper SIP; what comes back is not looked at."""

    def __init__(self, siphond: Siphond, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.siphond, self.rate = siphond, rate
        self.random = random.Random(seed)
        self.corpus = [path.read_bytes() for path in sorted((ROOT / "tests/messages/invalid").glob("*.sip"))]
        self.enough = threading.Event()
        self.sent = 0

    def run(self) -> None:
        with Agent(self.siphond.address, "mallory") as mallory:
            while not self.enough.wait(1 / self.rate):
                mallory.send(self.datagram())
                mallory.sent.clear()
                self.sent += 1

    def datagram(self) -> bytes:
        if self.random.random() < 0.5:
            return self.random.choice(self.corpus)
        return self.random.randbytes(self.random.randrange(1, 1400))

    def __enter__(self) -> Garbage:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure in the second and the last third."""

    name: str
    second: float
    last: float
    allowed: float
    judged: bool

    @property
    def flat(self) -> bool:
        return not self.judged or abs(self.last - self.second) <= self.allowed

    def line(self) -> str:
        word = "flat" if self.flat else "NOT FLAT"
        change = f"{(self.last / self.second - 1) * 100:+.2f} %" if self.second else "-"
        return f"{self.name:22} {self.second:12.0f} {self.last:12.0f} {change:>9}  {word if self.judged else 'shown'}"


def judge(rows: Sequence[dict[str, float]]) -> list[Verdict]:
    """All figures of a run but its time."""
    end = rows[-1]["seconds"]
    second = [row for row in rows if end / 3 <= row["seconds"] < 2 * end / 3]
    last = [row for row in rows if row["seconds"] >= 2 * end / 3]
    found = []
    for name in rows[0]:
        if name == "seconds":
            continue
        before = statistics.median(row[name] for row in second)
        after = statistics.median(row[name] for row in last)
        judged = name != "pss_kb" and not (name in SWEPT and end / 3 < SWEEPS_SECS)
        found.append(Verdict(name, before, after, allowance(name, before), judged))
    return [one for one in found if one.second or one.last]


def allowance(name: str, value: float) -> float:
    """By how much two medians of a figure may differ."""
    if name in ("processes", "descriptors", "sockets"):
        return 0.0
    if name == "memory_kb":
        return MEMORY_WITHIN * value
    sizes = BLOCKS_A_RECORD if name.startswith("blocks_") else 1
    return max(MEMORY_WITHIN * value, CHANCE * math.sqrt(sizes * value), CHANCE)


def sampled(siphond: Siphond, seconds: float, path: Path) -> list[dict[str, float]]:
    """Samples until the time is over; each is written at once."""
    every = min(5.0, seconds / SAMPLES)
    began = time.monotonic()
    rows: list[dict[str, float]] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        while (passed := time.monotonic() - began) < seconds:
            row: dict[str, float] = {"seconds": round(passed, 2), **measured(siphond).row()}
            writer = csv.DictWriter(file, list(row))
            if not rows:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            rows.append(row)
            if len(rows) % max(1, round(10 / every)) == 0:
                progress(row, seconds)
            time.sleep(max(0.0, began + len(rows) * every - time.monotonic()))
    return rows


def progress(row: dict[str, float], seconds: float) -> None:
    print(
        f"{row['seconds']:6.0f} of {seconds:.0f} s   memory {row['memory_kb'] / 1024:.1f} MB   "
        f"records {row['records_transactions']:.0f}   descriptors {row['descriptors']:.0f}",
        flush=True,
    )


def soak(asked: argparse.Namespace, siphond: Siphond, sipp: SippRunner) -> list[str]:
    """Runs it and prints what it came to; what is wrong, in words."""
    seconds = asked.minutes * 60
    siphond.start()
    with ExitStack() as stack:
        phones = stack.enter_context(
            Phones(
                siphond.address,
                users(PHONES),
                PASSWORD,
                every=4.0,
                fleeting=FLEETING,
                fleeting_secs=10,
                repeats=max(1.0, asked.rate / 10),
                seed=asked.seed,
            )
        )
        kinds = []
        for name, (share, scenarios, user, hold) in SHARES.items():
            rate = asked.rate * share
            kinds.append(
                started(
                    siphond,
                    sipp,
                    name,
                    user=user,
                    scenarios=scenarios,
                    calls=max(1, round(rate * (seconds + 600))),  # ended below, when the time is over
                    rate=rate,
                    hold=hold,
                )
            )
        phones.begin()
        garbage = stack.enter_context(Garbage(siphond, max(2.0, asked.rate / 5), asked.seed))
        rows = sampled(siphond, seconds, asked.samples)
        for kind in kinds:
            kind.end()
    found = traffic(kinds, phones, garbage) + dropped(siphond)
    print(f"\n{'median of':22} {'second third':>12} {'last third':>12} {'change':>9}")
    for verdict in judge(rows):
        print(verdict.line())
        if not verdict.flat:
            found.append(f"{verdict.name} is not flat: {verdict.second:.0f}, then {verdict.last:.0f}")
    print(f"samples: {len(rows)} in {asked.samples}")
    if siphond.restarts():
        found.append(f"{siphond.restarts()} processes of siphond have died")
    return found + faults(siphond) + siphond.errors()


def dropped(siphond: Siphond) -> list[str]:
    """Datagrams that nobody had time for: then the rate is more than this machine carries, whatever failed."""
    counters = siphond.status()["counters"]
    late = {name: counters[name] for name in ("kernel_drops", "stale_drops") if counters[name]}
    return [f"datagrams were not served in time, lower --rate: {late}"] if late else []


def traffic(kinds: Sequence[Kind], phones: Phones, garbage: Garbage) -> list[str]:
    """Prints what was sent; what of it went wrong."""
    print(f"\n{'traffic':22} {'number':>12} {'failed':>12} {'repeats':>9}")
    for kind in kinds:
        print(f"{kind.name + ' calls':22} {kind.calls:12} {kind.failed:12} {kind.repeats:9}")
    wrong = phones.faults()
    print(f"{'registrations':22} {phones.refreshed:12} {len(wrong):12}")
    print(f"{'repeated requests':22} {phones.repeater.asked:12}")
    print(f"{'garbage datagrams':22} {garbage.sent:12}")
    failed = [f"{kind.failed} {kind.name} calls failed\n{kind.caller.report()}" for kind in kinds if kind.failed]
    return failed + wrong[:10]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak", description="Mixed traffic: is siphond's memory flat?")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rate", type=float, default=50, help="calls a second, all kinds together")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--steering", choices=["flow", "spread"], default="spread")
    parser.add_argument(
        "--t1", type=float, default=0.5, help="T1 of siphond: a record of a call lives 64 times as long"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--samples", type=Path, default=ROOT / "build/soak.csv")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        siphond = prepared(
            directory,
            workers=asked.workers,
            steering=asked.steering,
            rate=asked.rate,
            phones=PHONES,
            t1=asked.t1,
            more=SETTINGS,
        )
        sipp = SippRunner(directory)
        try:
            wrong = soak(asked, siphond, sipp)
        finally:
            sipp.close()
            siphond.tolerated = "."  # has been judged
            siphond.close()
    for line in wrong:
        print(f"WRONG: {line}")
    print(f"{'FAILED' if wrong else 'passed'} after {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
