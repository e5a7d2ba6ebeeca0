"""Breaks siphond's processes under load and shows that no caller and no registered phone is the worse for it.

    ./dev chaos [--seconds S] [--rate CALLS_A_SECOND] [--workers N] [--steering flow|spread] [--seed N] [--ways LIST]

SIPp makes whole calls (INVITE, 180, 200, ACK, BYE), a socket each; beside it phones register with a digest and refresh.
Each second a worker - now and then the timer helper - is killed (SIGKILL), stopped (SIGSTOP, which the supervisor has
to notice), or loses the right to any more memory (RLIMIT_DATA). A call that needed a repeat has not failed: what a dead
worker had read and not yet committed is lost, as UDP loses datagrams, and SIP repeats it.

At the end, when the records of the calls have outlived their timers:

    no call has failed, every phone's binding is as the phone left it, by a fetch
    memory, descriptors, records and blocks of siphond are what they were before
    the log has no error but the deaths
    the longest that a step of a call waited is at most --longest

Memory is compared after a short load without breaks, since a worker that has never served a call has not yet filled its
caches. SIPp gives a call up when BYE comes before ACK. The order of two requests of one call is kept as far as the
kernel keeps it, which is a socket's queue; with the sockets of a dead worker in other hands, or with "spread", it is
nobody's. So SIPp pauses between the two (--hold), longer than it takes to repeat a 200 whose ACK was lost.

Exit status 1 when anything is not as said.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from load.breaker import WAYS, Breaker
from load.calls import Kind, Wait, started, waits
from load.footprint import Footprint, faults, measured
from load.phones import Phones
from load.server import PASSWORD, prepared, users
from proxy_process import Siphond
from sipp_runner import SippRunner

WARM_UP_SECS = 3
PHONES = 50
MEMORY_GROWS = 0.05
"""Of memory: a worker that was forked late has other pages of its own than one that was forked at the start."""
USES_A_BLOCK = 5
"""Uses of a nonce of which a block of its record keeps the names."""
EXPECTED = r"(worker \d+/\d+|helper \w+) (died|is stuck)"
T_TAKE = 2.0
"""Seconds until another worker goes on with what a dead one has left."""
LONGEST = 1.5 + T_TAKE
"""A request that is lost twice is repeated after T1 and 2 T1."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    what: str
    before: str
    after: str
    good: bool

    def line(self) -> str:
        return f"{self.what:28} {self.before:>12} {self.after:>12}  {'ok' if self.good else 'NOT OK'}"


@dataclass
class Run:
    """What happened."""

    calls: Kind
    phones: Phones
    breaker: Breaker
    before: Footprint
    after: Footprint
    challenged: int
    """Challenges answered before `before` was measured."""
    damage: list[str]

    def waits(self) -> list[Wait]:
        return [*waits(self.calls.caller), *waits(self.calls.callee)]


def load(asked: argparse.Namespace, siphond: Siphond, sipp: SippRunner) -> Run:
    """The whole run."""
    siphond.start()
    names = users(PHONES)
    phones = Phones(siphond.address, names, PASSWORD, every=2.0, seed=asked.seed)
    with phones:
        warm = calls(asked, siphond, sipp, "warm-up", WARM_UP_SECS)
        warm.finish(60)
        if warm.failed:
            raise AssertionError(f"calls fail before anything is broken\n{warm.caller.report()}")
        running = calls(asked, siphond, sipp, "calls", asked.seconds)
        before = at_rest(measured(siphond))
        challenged = phones.challenged
        phones.begin()
        with Breaker(siphond, asked.seed, ways=tuple(asked.ways.split(","))) as breaker:
            watch(asked, siphond, running, breaker, phones)
        running.finish(asked.hold / 1000 + 60)
    after = when_settled(siphond, before, asked.t1)
    return Run(running, phones, breaker, before, after, challenged, faults(siphond))


def calls(asked: argparse.Namespace, siphond: Siphond, sipp: SippRunner, name: str, seconds: float) -> Kind:
    return started(
        siphond,
        sipp,
        name,
        user="bob",
        scenarios=("uac_call", "uas_answer"),
        calls=max(1, round(asked.rate * seconds)),
        rate=asked.rate,
        hold=asked.hold,
        timed=True,
    )


def at_rest(warm: Footprint) -> Footprint:
    """The base line: memory and descriptors of a warm instance, and no records but those of bindings and nonces."""
    records, blocks = (
        {name: number if name in ("location", "nonces") else 0 for name, number in kind.items()}
        for kind in (warm.records, warm.blocks)
    )
    return Footprint(warm.processes, warm.memory, warm.pss, warm.descriptors, warm.sockets, records, blocks)


def watch(asked: argparse.Namespace, siphond: Siphond, running: Kind, breaker: Breaker, phones: Phones) -> None:
    """A line every five seconds while it is broken."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < asked.seconds:
        time.sleep(min(5.0, asked.seconds - passed))
        print(
            f"{time.monotonic() - began:5.0f} of {asked.seconds} s   broken: {breaker.by_way()}   "
            f"restarts {siphond.restarts()}   registrations {phones.refreshed}",
            flush=True,
        )


def when_settled(siphond: Siphond, before: Footprint, t1: float) -> Footprint:
    """As soon as all processes run and the records of transactions have gone, or when they should have."""
    print("waiting for the end of the transactions' timers", flush=True)
    deadline = time.monotonic() + 64 * t1 + 30
    while True:
        now = measured(siphond)
        gone = all(now.records[name] == 0 for name in before.records if before.records[name] == 0)
        same_again = (now.processes, now.descriptors) == (before.processes, before.descriptors)
        if (gone and same_again) or time.monotonic() > deadline:
            time.sleep(1)  # a worker that was forked a moment ago
            return measured(siphond)
        time.sleep(0.2)


def checks(asked: argparse.Namespace, run: Run, errors: Sequence[str]) -> list[Check]:
    """The table."""
    calls, before, after = run.calls, run.before, run.after
    longest = max((wait.seconds for wait in run.waits()), default=0.0)
    wrong = run.phones.faults()
    found = [
        Check("failed calls", f"of {calls.calls}", str(calls.failed), calls.failed == 0),
        Check("lost bindings, refusals", f"of {run.phones.refreshed}", str(len(wrong)), not wrong),
        Check("longest wait of a call", f"{asked.longest} s", f"{longest:.2f} s", longest <= asked.longest),
        Check("errors but the deaths", "0", str(len(errors)), not errors),
        Check("tables with damage", "0", str(len(run.damage)), not run.damage),
        same("processes", before.processes, after.processes),
        same("descriptors", before.descriptors, after.descriptors),
        same("sockets", before.sockets, after.sockets),
        Check("memory, kB", *limited(before.memory, after.memory, before.memory * (1 + MEMORY_GROWS))),
    ]
    used = run.phones.challenged - run.challenged  # a phone that was asked for its password again has a nonce more
    for name in before.records:
        more = used if name == "nonces" else 0
        uses = run.phones.refreshed // USES_A_BLOCK if name == "nonces" else 0  # those of the last 32 s are kept
        for what, old, new, most in (
            ("records", before.records, after.records, more),
            ("blocks", before.blocks, after.blocks, more + uses),
        ):
            if old[name] or new[name]:
                found.append(Check(f"{what} of {name}", *limited(old[name], new[name], old[name] + most)))
    return found


def same(what: str, before: int, after: int) -> Check:
    return Check(what, str(before), str(after), before == after)


def limited(before: int, after: int, most: float) -> tuple[str, str, bool]:
    return str(before), str(after), after <= most


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos", description="Breaks siphond's processes under load.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=float, default=300, help="calls a second")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--steering", choices=["flow", "spread"], default="spread")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS), help=f"of breaking: {', '.join(WAYS)}")
    parser.add_argument("--hold", type=int, default=2500, help="pause between ACK and BYE, ms")
    parser.add_argument("--longest", type=float, default=LONGEST, help="longest wait of a call, seconds")
    parser.add_argument(
        "--t1", type=float, default=0.5, help="T1 of siphond: a record of a call lives 64 times as long"
    )
    asked = parser.parse_args()
    if unknown := set(asked.ways.split(",")) - set(WAYS):
        parser.error(f"no such way of breaking: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as place:
        return chaos(asked, Path(place))


def chaos(asked: argparse.Namespace, directory: Path) -> int:
    siphond = prepared(
        directory,
        workers=asked.workers,
        steering=asked.steering,
        rate=asked.rate,
        phones=PHONES,
        t1=asked.t1,
        greedy=True,
    )
    sipp = SippRunner(directory)
    try:
        run = load(asked, siphond, sipp)
        errors = [line for line in siphond.errors() if not re.search(EXPECTED, line)]
        return report(asked, run, errors)
    finally:
        sipp.close()
        siphond.tolerated = "."  # has been judged
        siphond.close()


def report(asked: argparse.Namespace, run: Run, errors: Sequence[str]) -> int:
    print(f"\nseed {asked.seed}: {len(run.breaker.broken)} processes broken ({run.breaker.by_way()})")
    print(f"calls: {run.calls.calls}, repeats by SIPp {run.calls.repeats}; registrations: {run.phones.refreshed}")
    for step in ("setup", "ack", "bye"):
        taken = sorted(wait.seconds for wait in run.waits() if wait.step == step)
        if taken:
            print(
                f"  {step:6} p50 {taken[len(taken) // 2]:.3f} s   p99 {taken[len(taken) * 99 // 100]:.3f} s   "
                f"longest {taken[-1]:.3f} s"
            )
    print(f"  REGISTER longest {run.phones.longest:.3f} s\n\n{'':28} {'promised':>12} {'found':>12}")
    found = checks(asked, run, errors)
    for check in found:
        print(check.line())
    if run.calls.failed:
        print(run.calls.caller.report(), run.calls.callee.report(), sep="\n")
    for line in [*run.phones.faults()[:20], *run.damage, *errors[:20]]:
        print(f"WRONG: {line}")
    good = all(check.good for check in found)
    print("passed" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
