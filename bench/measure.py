"""One server under one scenario: registrations, a paced load, saturation, a search for the highest clean rate, a trace.

A phase is a run of the driver with the CPU of the server's processes read before and after. What runs before the
first measured phase warms up caches and pools and is not counted.
"""

from __future__ import annotations

import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import driver_process
from driver_process import Counted
from kamailio_server import DefaultKamailio, Kamailio, Kemi
from machine import available_mb
from scenarios import Scenario
from server import IP, Needs, Server
from siphond_server import Siphond

SIDES: dict[str, type[Server]] = {side.name: side for side in (Siphond, Kamailio, Kemi, DefaultKamailio)}
LIFE_SECS = 40
"""How long siphond keeps the two records of a call."""
MOST_LAG_MS = 100
"""A load generator that is later with a call than this has not kept its rate."""
MOST_RATE = 15000
"""Calls a second that no server is expected to pass here: it bounds the tables of a closed loop."""


PATIENT = {"t1": 4000, "give_up": 30}
"""For the driver where nothing is measured: a busy machine makes no repeats."""


@dataclass(frozen=True)
class Plan:
    """How long and how much. Times in seconds, rates in calls a second."""

    workers: int = 2
    rates: tuple[float, ...] = (200,)
    seconds: float = 10
    warm_up: float = 3
    flight: int = 64
    """Calls at one time at saturation."""
    linger: float = 0
    """After a paced load the server's CPU is counted for so long, less what it takes when idle: removing old state."""
    idle: float = 2
    """How long it is looked at before any load."""
    search_seconds: float = 3
    """Of one rate that is tried; 0: no search."""
    search_precision: float = 0.05


@dataclass
class Phase:
    """A load and what the server used for it."""

    offered: float
    """Calls a second, or calls at one time."""
    counted: Counted
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        """A completed call."""
        return self.cpu_seconds / max(1, self.counted.completed) * 1e6

    def as_dict(self) -> dict[str, Any]:
        return {
            "offered": self.offered,
            "cpu_us": self.cpu_us,
            "cpu_seconds": self.cpu_seconds,
            "calls_per_second": self.counted.rate,
            **vars(self.counted),
        }


class Bench:
    """A running server with everyone registered, and the ports of the agents."""

    def __init__(self, server: Server, scenario: Scenario) -> None:
        self.server = server
        self.scenario = scenario
        self.ports = free_ports(scenario.callers + scenario.callees)

    def drive(self, limit: float, **options: Any) -> Counted:
        line = self.scenario.options() | {"server": self.server.address, "ports": self.ports} | options
        return driver_process.run(line, limit)

    def register_all(self) -> Counted:
        counted = self.drive(60 + self.scenario.users / 100, **self.scenario.registrations(), **PATIENT)
        if counted.failed:
            raise RuntimeError(f"{self.server.name}: registrations failed: {counted}\n{self.server.log()}")
        return counted

    def idle(self, seconds: float) -> float:
        """CPU seconds a second of a server that has nothing to do."""
        usage, began = self.server.usage(), time.monotonic()
        time.sleep(seconds)
        return usage.seconds() / (time.monotonic() - began)

    def phase(self, offered: float, seconds: float, linger: float = 0, idle: float = 0, **options: Any) -> Phase:
        usage = self.server.usage()
        counted = self.drive(seconds + 60, seconds=seconds, **options)
        ended = time.monotonic()
        time.sleep(linger)
        spent = usage.seconds()
        return Phase(offered, counted, spent - (idle * (time.monotonic() - ended) if linger else 0))

    def paced(self, rate: float, seconds: float, linger: float = 0, idle: float = 0, **options: Any) -> Phase:
        return self.phase(rate, seconds, linger, idle, rate=rate, **options)

    def saturated(self, flight: int, seconds: float) -> Phase:
        return self.phase(flight, seconds, flight=flight)


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has; below those that the kernel gives away. They start
    somewhere: another bench that asks now, before these are bound, is told others."""
    firsts: Sequence[int] = range(20000, 32000 - count, count)
    start = random.randrange(len(firsts))
    for first in [*firsts[start:], *firsts[:start]]:
        held = []
        try:
            for port in range(first, first + count):
                held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held[-1].bind((IP, port))
            return first
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    raise RuntimeError(f"no {count} free ports in a row")


@contextmanager
def running(side: str, scenario: Scenario, needs: Needs) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="siphond-bench-") as place, SIDES[side](Path(place), needs) as server:
        bench = Bench(server, scenario)
        bench.register_all()
        yield bench


def needs_of(scenario: Scenario, plan: Plan, calls: float) -> Needs:
    """Tables for so many calls within LIFE_SECS."""
    return Needs(
        workers=plan.workers,
        steering=scenario.steering,
        digest=scenario.digest,
        users=scenario.users,
        contacts=scenario.contacts,
        transactions=int(2.2 * calls) + 4 * min(scenario.users, 100000) + 10000,
        memory_mb=min(1024 + int(calls * 0.04 * scenario.contacts) + scenario.users // 250, available_mb() // 2),
    )


def measure(side: str, scenario: Scenario, plan: Plan) -> dict[str, Any]:
    """One round of one side: paced loads, saturation, memory, and the search where the plan has one."""
    paced_calls = sum(plan.rates) * plan.seconds + plan.rates[0] * plan.warm_up
    calls = paced_calls + MOST_RATE * plan.seconds / 2
    with running(side, scenario, needs_of(scenario, plan, calls)) as bench:
        time.sleep(plan.idle)  # what follows the registrations is not idling
        at_start, idle = bench.server.pss_bytes(), bench.idle(plan.idle)
        bench.paced(plan.rates[0], plan.warm_up)
        paced = [bench.paced(rate, plan.seconds, plan.linger, idle) for rate in plan.rates]
        saturated = bench.saturated(plan.flight, plan.seconds / 2)
        found = {
            "idle_cpu_us_per_second": idle * 1e6,
            "paced": [phase.as_dict() for phase in paced],
            "saturated": saturated.as_dict(),
            "pss_registered_bytes": at_start,
            "pss_loaded_bytes": bench.server.pss_bytes(),
            "reserved_bytes": bench.server.reserved_bytes(),
            "processes": bench.server.process_count(),
        }
        found["log"] = [line for line in bench.server.log().splitlines() if "rror" in line][:5]
    if plan.search_seconds:
        found["highest"] = highest_rate(side, scenario, plan, saturated.counted.rate)
    return found


def search(passes: Callable[[float], bool], guess: float, precision: float, most: int = 12) -> float:
    """The highest rate that passes, to a part of `precision`, from a guess: up by 1.3 until one fails, then bisection.
    0 when none has passed within `most` tries."""
    low, high, rate = 0.0, 0.0, guess
    for _ in range(most):
        if passes(rate):
            low = rate
        else:
            high = rate
        if high and high - low <= precision * high:
            break
        rate = (low + high) / 2 if high else rate * 1.3
    return low


def highest_rate(side: str, scenario: Scenario, plan: Plan, guess: float) -> dict[str, Any]:
    """The highest rate without a failure and without a message sent twice; from what a closed loop reached. A rate
    counts only when the load generator kept it, too."""
    tried: list[dict[str, Any]] = []
    guess = max(20.0, guess * 0.9)
    with running(side, scenario, needs_of(scenario, plan, 12 * guess * plan.search_seconds)) as bench:
        bench.paced(min(guess / 2, plan.rates[0]), min(1, plan.warm_up))

        def passes(rate: float) -> bool:
            phase = bench.paced(rate, plan.search_seconds, strict=True, give_up=4)
            good = phase.counted.clean and phase.counted.lag_ms < MOST_LAG_MS
            tried.append(phase.as_dict() | {"clean": good})
            if not good:
                time.sleep(min(1, plan.search_seconds))  # what is left of it must not spoil the next one
            return good

        found = search(passes, guess, plan.search_precision)
    return {"rate": found, "at": next((one for one in tried if one["offered"] == found), None), "tried": tried}


# --- what passes, and how often the script runs


def traced(side: str, scenario: Scenario, plan: Plan, calls: int = 10) -> dict[str, Any]:
    """Calls one after the other: what each agent sent and heard for the first, and handler calls a call."""
    small = replace(scenario, users=1, callers=1, callees=scenario.contacts)
    needs = replace(needs_of(small, plan, 1000), count=True)
    with running(side, small, needs) as bench:
        file = bench.server.directory / "trace"
        for _ in range(5):  # a repeat is no difference between servers
            before = bench.server.handler_calls()
            first = bench.drive(60, calls=1, flight=1, trace=file, **PATIENT)
            more = bench.drive(60, calls=calls, flight=1, **PATIENT)
            time.sleep(0.2)
            after = bench.server.handler_calls()
            if first.clean and more.clean:
                break
        lines = file.read_text().splitlines()
    agents = sorted({line.split()[0] for line in lines})
    return {
        "handler_calls_per_call": (after - before) / (calls + 1),
        "clean": first.clean and more.clean,
        "messages": {agent: [line.split(" ", 1)[1] for line in lines if line.split()[0] == agent] for agent in agents},
    }


def test_bed(scenario: Scenario, seconds: float) -> dict[str, Any]:
    """The load generator without a server (RFC 7502 §6.1): callers send to the callees."""
    counted = driver_process.run(
        scenario.options()
        | {"direct": True, "ports": free_ports(scenario.callers + scenario.callees)}
        | {"contacts": 1, "flight": 64, "seconds": seconds},
        seconds + 30,
    )
    return {
        "calls_per_second": counted.rate,
        "cpu_us": counted.driver_cpu_seconds / max(1, counted.completed) * 1e6,
        "delay_us": counted.delay_us,
    }
