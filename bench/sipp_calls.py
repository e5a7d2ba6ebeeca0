"""Calls per second and CPU a call: SIPp calls SIPp through a siphond that runs the recipe, or through Kamailio.

    .venv/bin/python bench/sipp_calls.py [--side siphond|kamailio|kamailio-kemi|kamailio-qm] [--workers N]
                                         [--steering flow|spread] [--seconds S] [--rates 200,500,1000]

A call is INVITE, 100, 180, 200, ACK, BYE, 200: 6 datagrams in and 7 out at the proxy. The CPU is that of all processes
of the server; SIPp shares the machine, so the highest rate that still passes without failures says more about the
machine than about the server. `./dev bench` has a lighter generator; this one, which others have written, is a second
opinion. A rate at which calls fail or SIPp repeats itself is marked with "!"; one that SIPp cannot finish ends the run.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/processes"), str(ROOT / "bench")]

from measure import SIDES  # noqa: E402
from server import IP, Needs, Server, free_port  # noqa: E402
from sipp_runner import SippRunner, Statistics  # noqa: E402
from udp_agent import Address, Agent  # noqa: E402

RECORDS_A_CALL = 2
LIFE_SECS = 40
"""How long the records of a call stay."""


class Measured(Protocol):
    @property
    def address(self) -> Address: ...

    def cpu_seconds(self) -> float: ...


class Running:
    """A server of this folder as measure() wants it."""

    def __init__(self, server: Server) -> None:
        self.address: Address = (IP, server.port)
        self._usage = server.usage()

    def cpu_seconds(self) -> float:
        return self._usage.seconds()


def measure(proxy: Measured, sipp: SippRunner, rate: int, seconds: int) -> tuple[Statistics, float]:
    """One rate: what the caller counted, and CPU seconds of the server."""
    port = free_port()
    phone = sipp.callee("uas_answer", port, ring=0, linger=500)
    with Agent(proxy.address, "bob") as bob:
        answer = bob.register(f"<sip:bob@127.0.0.1:{port}>")
        assert answer.status == 200, answer
    before = proxy.cpu_seconds()
    caller = sipp.caller("uac_call", proxy.address, calls=rate * seconds, rate=rate, hold=0)
    counted = caller.wait(seconds + 60)
    spent = proxy.cpu_seconds() - before
    phone.stop()
    with Agent(proxy.address, "bob") as bob:
        bob.register(f"<sip:bob@127.0.0.1:{port}>", expires=0)
    return counted, spent


def measure_all(proxy: Measured, sipp: SippRunner, rates: list[int], seconds: int) -> None:
    """A line a rate, up to the first that SIPp cannot finish."""
    print("calls/s   calls  failed  repeats  setup ms  CPU us/call  cores busy", flush=True)
    for rate in rates:
        began = time.monotonic()
        try:
            counted, spent = measure(proxy, sipp, rate, seconds)
        except AssertionError as error:  # the runner's: SIPp could not finish its calls
            print(f"{rate:7d}! past what this machine carries: {str(error).splitlines()[0][:90]}", flush=True)
            return
        mark = "!" if counted.failed or counted.retransmissions else " "
        print(
            f"{rate:7d}{mark} {counted.successful:7d} {counted.failed:7d} {counted.retransmissions:8d}"
            f" {counted.setup_ms:9.1f} {spent / max(1, counted.calls) * 1e6:12.1f}"
            f" {spent / (time.monotonic() - began):11.2f}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Calls per second and CPU a call, by SIPp on loopback.")
    parser.add_argument("--side", choices=list(SIDES), default="siphond")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steering", choices=["flow", "spread"], default="spread", help="of siphond")
    parser.add_argument("--seconds", type=int, default=5, help="length of each run")
    parser.add_argument("--rates", default="200,500,1000,1500,2000", help="calls a second, one run each")
    asked = parser.parse_args()
    rates = [int(rate) for rate in asked.rates.split(",")]
    records = RECORDS_A_CALL * sum(rate * min(asked.seconds, LIFE_SECS) for rate in rates) + 10000
    needs = Needs(workers=asked.workers, steering=asked.steering, transactions=records)
    with tempfile.TemporaryDirectory() as place:
        sipp = SippRunner(Path(place))
        try:
            with SIDES[asked.side](Path(place), needs) as server:
                print(f"{asked.side}, {asked.workers} workers, steering {asked.steering}, {asked.seconds} s a rate")
                measure_all(Running(server), sipp, rates, asked.seconds)
        finally:
            sipp.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
