"""Calls by SIPp through siphond, and the longest time that one of them waited.

The scenarios are those of the tests. SIPp writes how long each step of each call took: `setup` from INVITE to 200,
`ack` at the callee from its 200 to the ACK, `bye` from BYE to its 200. The callee answers at once: SIPp's loses a call
whose INVITE is repeated while it rings.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_port
from proxy_process import Siphond
from sipp_runner import Sipp, SippRunner, Statistics
from udp_agent import Agent

TIMES = ("-trace_rtt", "-rtt_freq", "1")
SOCKETS = ("-t", "un", "-max_socket", "5000")
"""A socket a call, so that the kernel spreads the calls over all workers."""


@dataclass
class Kind:
    """One kind of calls that runs: caller and callee. `calls`: how many were asked for, then how many were begun."""

    name: str
    caller: Sipp
    callee: Sipp
    calls: int
    counted: Statistics | None = None
    answered: Statistics | None = None

    def finish(self, timeout: float) -> None:
        """When all calls have been made; those that have not ended in so many seconds have failed."""
        try:
            self.counted = self.caller.wait(timeout)
        except AssertionError:
            self.counted = self.caller.stop()
        self.answered = self.callee.stop()

    def end(self) -> None:
        """Now: no call is begun any more, and SIPp waits for those that run."""
        self.counted = self.caller.stop(64)
        assert self.counted is not None
        self.calls = self.counted.calls
        self.answered = self.callee.stop()

    @property
    def successful(self) -> int:
        return self.counted.successful if self.counted else 0

    @property
    def failed(self) -> int:
        """Calls that did not end as their scenario says, on either side."""
        assert self.counted is not None
        return self.calls - self.counted.successful + (self.answered.failed if self.answered else 0)

    @property
    def repeats(self) -> int:
        return sum(one.retransmissions for one in (self.counted, self.answered) if one)


def started(
    siphond: Siphond,
    sipp: SippRunner,
    name: str,
    *,
    user: str,
    scenarios: tuple[str, str],
    calls: int,
    rate: float,
    hold: int,
    timed: bool = False,
) -> Kind:
    """`user` is registered at a new callee, and the calls begin."""
    port = free_port()
    times = TIMES if timed else ()
    callee = sipp.callee(scenarios[1], port, *times, ring=0, linger=4000)
    with Agent(siphond.address, user) as phone:
        for contact in phone.bindings():
            phone.register(f"<{contact}>", expires=0)
        answer = phone.register(f"<sip:{user}@127.0.0.1:{port}>", expires=7200)
        assert answer.status == 200, answer
    caller = sipp.caller(
        scenarios[0],
        siphond.address,
        *SOCKETS,
        *times,
        calls=calls,
        rate=rate,
        user=user,
        at_once=int((hold / 1000 + 3) * rate) + 50,
        hold=hold,
    )
    return Kind(name, caller, callee, calls)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long one step of a call took. `at`: when it ended, epoch seconds."""

    step: str
    seconds: float
    at: float


def waits(sipp: Sipp) -> Iterator[Wait]:
    """All steps of all calls of one SIPp."""
    for path in sorted(Path(sipp.directory).glob(f"*_{sipp.process.pid}_rtt.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file, delimiter=";"):
                step = (row.get("rtd_no") or row.get("rtd_name") or "").strip('"')
                yield Wait(step, float(row["response_time_ms"]) / 1000, float(row["Date_ms"]) / 1000)
