"""Runs SIPp with the scenarios of this folder and reads back what it counted.

A scenario is a file with $name where a test fills in a number (string.Template; a SIPp variable is written $$name).
A run is a process of its own; `wait()` returns its statistics or fails with what SIPp wrote about its errors.
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from string import Template

SCENARIOS = Path(__file__).parent / "sipp"

DEFAULTS = {"hold": "200", "ring": "50", "linger": "500", "status": "486", "again": "600"}


@dataclass(frozen=True)
class Statistics:
    """The cumulative columns of SIPp's last line."""

    calls: int
    successful: int
    failed: int
    retransmissions: int
    unexpected: int
    seconds: float
    setup_ms: float  # mean time from INVITE to 200, where the scenario measures it

    @classmethod
    def read(cls, path: Path) -> Statistics:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        last = rows[-1]
        return cls(
            calls=int(last["TotalCallCreated"]),
            successful=int(last["SuccessfulCall(C)"]),
            failed=int(last["FailedCall(C)"]),
            retransmissions=int(last["Retransmissions(C)"]),
            unexpected=int(last["FailedUnexpectedMessage(C)"]),
            seconds=clock(last["ElapsedTime(C)"]),
            setup_ms=clock(last.get("ResponseTimesetup(C)") or "00:00:00:000000") * 1000,
        )


def clock(text: str) -> float:
    """Seconds of SIPp's HH:MM:SS or HH:MM:SS:microseconds."""
    hours, minutes, seconds, micros = (int(part) for part in [*text.split(":"), "0"][:4])
    return hours * 3600 + minutes * 60 + seconds + micros / 1e6


class Sipp:
    """One running SIPp."""

    numbers = count(1)

    def __init__(self, directory: Path, scenario: str, arguments: Sequence[str], values: dict[str, object]) -> None:
        self.name = f"{scenario}-{next(self.numbers)}"
        self.directory = directory
        file = directory / f"{self.name}.xml"
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        file.write_text(Template(text).substitute(DEFAULTS | {name: str(value) for name, value in values.items()}))
        self.statistics_file = directory / f"{self.name}.csv"
        self.errors_file = directory / f"{self.name}.errors"
        self.output_file = directory / f"{self.name}.out"
        line = [
            "sipp",
            "-sf",
            str(file),
            "-i",
            "127.0.0.1",
            "-mi",
            "127.0.0.1",
            "-ci",
            "127.0.0.1",
            "-nostdin",
            "-deadcall_wait",
            "0",
        ]
        line += ["-trace_stat", "-stf", str(self.statistics_file), "-fd", "1"]
        line += ["-trace_err", "-error_file", str(self.errors_file), *arguments]
        with self.output_file.open("wb") as output:
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory, start_new_session=True
            )

    def wait(self, timeout: float) -> Statistics:
        """Its statistics once it has ended; SIPp's exit status is 0 or 1 (some call failed), else it went wrong."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {timeout} s: {self.stop()}\n{self.report()}"
            ) from None
        assert status in (0, 1, 97, 99), f"{self.name} exited with {status}\n{self.report()}"
        return Statistics.read(self.statistics_file)

    def stop(self, seconds: float = 10) -> Statistics | None:
        """Ends it, letting running calls finish for so long; its statistics so far."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return Statistics.read(self.statistics_file) if self.statistics_file.exists() else None

    def report(self) -> str:
        """The end of what it said."""
        texts = [
            path.read_text(errors="replace")[-3000:] for path in (self.output_file, self.errors_file) if path.exists()
        ]
        return f"--- {self.name}\n" + "\n".join(texts)


class SippRunner:
    """Starts SIPps in one directory and ends those that still run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs: list[Sipp] = []

    def start(self, scenario: str, *arguments: str, **values: object) -> Sipp:
        run = Sipp(self.directory, scenario, arguments, values)
        self.runs.append(run)
        return run

    def callee(self, scenario: str, port: int, *arguments: str, **values: object) -> Sipp:
        """A phone that serves calls on `port` until it is stopped."""
        return self.start(scenario, "-p", str(port), *arguments, **values)

    def caller(
        self,
        scenario: str,
        proxy: tuple[str, int],
        *arguments: str,
        calls: int = 1,
        rate: float = 10,
        user: str = "bob",
        at_once: int = 0,
        **values: object,
    ) -> Sipp:
        """`calls` calls to `user` through `proxy`, `rate` a second, at most `at_once` at the same time where given: a
        machine that is slow is then asked for less, instead of for more than it can carry."""
        fixed = ["-m", str(calls), "-r", f"{rate:g}", "-s", user, "-l", str(at_once or max(100, calls))]
        return self.start(scenario, *fixed, *arguments, f"{proxy[0]}:{proxy[1]}", **values)

    def close(self) -> None:
        for run in self.runs:
            run.stop()
