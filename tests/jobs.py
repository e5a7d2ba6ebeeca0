"""`--jobs N`: one run of pytest in N processes, with one result.

Most of what the tests on real processes take is waiting, so that more of them side by side than there are cores take
less time. The process that was started is the leader: it starts the helpers, which are the same command, and all take
from one list what to run next, a unit - mostly a file - at a time. A helper leaves the reports of a unit in a file; the
leader gives them to its own plugins as if it had run the unit itself, so that the terminal, the exit status, --maxfail
and the conformance table see one run. A unit that a helper took and did not report fails the run. The end of the run
tells which units took longest, and how much of it was computing, which tells more when the machine has other work.

The list begins with what waits most and ends with what computes most. One process takes from its end, the others from
its beginning, so that processors are busy while tests wait; they meet in the middle, where units are short.

Nothing of two processes may collide: each has ports of its own (free_ports.py). A test that is marked `alone` measures
time or makes load: nothing else runs beside it. The leader runs all of them in the end, when the helpers have gone; if
they ran between the others, all processes would have to wait for each other before each of them.

Why not pytest-xdist: its processes have threads, and tests here fork.

The directory that they share:

    units.pickle    [(name, [node id, ...]), ...], written once by the leader
    N.taken         unit N is being run, or was
    N.reports       (*Cost, its reports), when it was run by a helper
    again/          the same once more, for the second look
"""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from second_look import SecondLook

PLACE, NUMBER, LEADER = "SIPHOND_TESTS_PLACE", "SIPHOND_TESTS_JOB", "SIPHOND_TESTS_LEADER"
SCENARIOS = "side by side"
"""Name of their unit."""
WAITING = ("processes", "cli", "workers", "deploy", "state")
"""Folders of tests/ that the list begins with."""
COMPUTING = ("engine", "testing", "shm", "bench", "fuzzing", "project")
"""Those that it ends with."""
ALONE, AGAIN = ", alone", ", again"
LONGEST = 15
"""So many units are named in the end."""
END_SECS = 120
"""A helper that is asked to end ends within so long: what its test has started has to end first."""

Unit = tuple[str, list[str]]


def is_helper() -> bool:
    return PLACE in os.environ


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def units_of(items: Sequence[pytest.Item]) -> list[Unit]:
    """From what waits to what computes. All scenarios of side_by_side.py are one unit: they run at the same time."""
    of_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        of_file.setdefault(item.nodeid.partition("::")[0], []).append(item)
    units: dict[str, list[str]] = {}
    for path, found in of_file.items():
        scenarios = any(inspect.iscoroutinefunction(getattr(item, "obj", None)) for item in found)
        units.setdefault(SCENARIOS if scenarios else path, []).extend(item.nodeid for item in found)
    return sorted(units.items(), key=lambda unit: rank(unit[0]))


def rank(name: str) -> int:
    """Of a unit in the list."""
    if name == SCENARIOS:
        return -len(WAITING) - 1
    folder = next((part for part in Path(name).parts if part in (*WAITING, *COMPUTING)), None)
    if folder in WAITING:
        return WAITING.index(folder) - len(WAITING)
    return COMPUTING.index(folder) + 1 if folder else 0


class Cost(NamedTuple):
    """Seconds."""

    passed: float
    computed: float
    """Of processors, by the process itself and those of its children that have ended."""

    @classmethod
    def now(cls) -> Cost:
        return cls(time.monotonic(), sum(os.times()[:4]))

    def since(self, start: Cost) -> Cost:
        return Cost(self.passed - start.passed, self.computed - start.computed)


class Job:
    """What leader and helper do: take units and run them."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def take(self, units: Sequence[Unit], *, from_its_end: bool = False) -> Iterator[tuple[int, Unit]]:
        """Those that nobody else has taken, each when it is asked for."""
        numbered = list(enumerate(units))
        for number, unit in reversed(numbered) if from_its_end else numbered:
            try:
                (self.place / f"{number}.taken").touch(exist_ok=False)
            except FileExistsError:
                continue
            yield number, unit

    def run(self, session: pytest.Session, node_ids: Sequence[str], by_id: dict[str, pytest.Item]) -> Cost:
        began = Cost.now()
        items = [by_id[node_id] for node_id in node_ids]
        for item, next_item in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
            self.stop_if_asked(session)
        return Cost.now().since(began)

    def stop_if_asked(self, session: pytest.Session) -> None:
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)


class Helper(Job):
    def __init__(self) -> None:
        # A pytest that a test starts is no helper of this run.
        super().__init__(Path(os.environ.pop(PLACE)))
        self.leader = int(os.environ.pop(LEADER))
        self.reports: list[Any] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        units: list[Unit] = pickle.loads((self.place / "units.pickle").read_bytes())
        by_id = {item.nodeid: item for item in session.items}
        is_last = int(os.environ[NUMBER]) == session.config.option.jobs - 1
        for number, (_, node_ids) in self.take(units, from_its_end=is_last):
            self.reports = []
            cost = self.run(session, node_ids, by_id)
            written = self.place / f"{number}.part"
            written.write_bytes(pickle.dumps((*cost, self.reports)))
            written.rename(self.place / f"{number}.reports")
        return True

    def stop_if_asked(self, session: pytest.Session) -> None:
        """--maxfail is the leader's to judge; a leader that was killed asks by being gone."""
        if os.getppid() != self.leader:
            raise session.Interrupted("the leader is gone")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        config = self.config
        self.reports.append(config.hook.pytest_report_to_serializable(config=config, report=report))

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config


class Leader(Job):
    def __init__(self, place: Path, jobs: int, second_look: SecondLook) -> None:
        super().__init__(place)
        self.jobs = jobs
        self.second_look = second_look
        self.costs: dict[str, Cost] = {}
        """By the name of the unit."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or session.config.option.collectonly:
            return None  # pytest says what is wrong
        by_id = {item.nodeid: item for item in session.items}
        beside = Round(self, session, self.place, units_of([item for item in session.items if not is_alone(item)]))
        with beside.helpers(self.jobs - 1) as helpers:
            for number, (name, node_ids) in self.take(beside.units):
                self.costs[name] = self.run(session, node_ids, by_id)
                beside.reported.add(number)
                beside.hear()
            beside.hear_all(helpers)
        for name, node_ids in units_of([item for item in session.items if is_alone(item)]):
            self.costs[name + ALONE] = self.run(session, node_ids, by_id)
        if failed := self.second_look.begin():
            self.look_again(session, units_of([by_id[node_id] for node_id in failed]))
        return True

    def look_again(self, session: pytest.Session, units: Sequence[Unit]) -> None:
        """In a process that has not run them before."""
        place = self.place / "again"
        place.mkdir()
        again = Round(self, session, place, [(name + AGAIN, node_ids) for name, node_ids in units])
        with again.helpers(1) as helpers:
            again.hear_all(helpers)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.costs:
            return
        alone = [cost for name, cost in self.costs.items() if name.endswith(ALONE)]
        rows = sorted(self.costs.items(), key=lambda row: -row[1].passed)[:LONGEST]
        rows += [("all that are alone", total(alone)), ("all", total(self.costs.values()))]
        terminalreporter.section("longest units: seconds, of which computing")
        for name, cost in rows:
            terminalreporter.write_line(f"{cost.passed:8.1f} {cost.computed:8.1f}  {name}")


class Round:
    """Units that are taken from one list, and what helpers report of them."""

    def __init__(self, leader: Leader, session: pytest.Session, place: Path, units: list[Unit]) -> None:
        self.leader = leader
        self.session = session
        self.config = session.config
        self.place = place
        self.units = units
        self.reported: set[int] = set()
        """Numbers of units."""
        (place / "units.pickle").write_bytes(pickle.dumps(units))

    @contextmanager
    def helpers(self, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """They run, and have ended afterwards."""
        known = {PLACE: str(self.place), LEADER: str(os.getpid())}
        line = [sys.executable, "-m", "pytest", *self.config.invocation_params.args]
        if self.config.pluginmanager.has_plugin("cacheprovider"):
            line += ["-o", f"cache_dir={self.place}/cache"]  # what --lf knows is of the whole run
        started = []
        try:
            for number in range(1, count + 1):
                with (self.place / f"helper-{number}.out").open("wb") as out:
                    environment = {**os.environ, **known, NUMBER: str(number)}
                    started.append(
                        subprocess.Popen(
                            line,
                            stdin=subprocess.DEVNULL,
                            stdout=out,
                            stderr=out,
                            env=environment,
                            cwd=self.config.invocation_params.dir,
                            start_new_session=True,  # Ctrl-C is for the leader, who tells them once
                        )
                    )
            yield started
        finally:
            for helper in started:
                if helper.poll() is None:
                    helper.send_signal(signal.SIGINT)
            for helper in started:
                if not ended(helper, END_SECS):
                    helper.kill()
                    helper.wait()

    def hear_all(self, helpers: Sequence[subprocess.Popen[bytes]]) -> None:
        for helper in helpers:
            while not ended(helper, 0.2):
                self.hear()
        self.hear()
        self.complain(helpers)

    def hear(self) -> None:
        """Passes on what helpers have reported since."""
        for path in sorted(self.place.glob("*.reports")):
            if (number := int(path.stem)) in self.reported:
                continue
            self.reported.add(number)
            passed, computed, reports = pickle.loads(path.read_bytes())
            self.leader.costs[self.units[number][0]] = Cost(passed, computed)
            for data in reports:
                self.pass_on(data)
            self.leader.stop_if_asked(self.session)

    def pass_on(self, data: dict[str, Any]) -> None:
        hook = self.config.hook
        report = hook.pytest_report_from_serializable(config=self.config, data=data)
        if report.when == "setup":
            hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
        hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)

    def complain(self, helpers: Sequence[subprocess.Popen[bytes]]) -> None:
        """When nobody has reported a unit, or a helper says that it went wrong."""
        missing = [name for number, (name, _) in enumerate(self.units) if number not in self.reported]
        good = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if not missing and all(helper.returncode in good for helper in helpers):
            return
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        for number, helper in enumerate(helpers, 1):
            said = (self.place / f"helper-{number}.out").read_text(errors="replace")
            reporter.write(f"\njob {number} ended with {helper.returncode}:\n{said[-5000:]}")
        self.session.shouldfail = f"not reported: {', '.join(missing)}" if missing else "a job went wrong"
        raise self.session.Failed(self.session.shouldfail)


def total(costs: Iterable[Cost]) -> Cost:
    return Cost(*(sum(column) for column in zip(Cost(0, 0), *costs, strict=True)))


def ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def register(config: pytest.Config) -> None:
    """Called when pytest is configured."""
    if is_helper():
        config.pluginmanager.register(Helper(), "job")
    elif config.option.jobs > 1:
        place = tempfile.TemporaryDirectory(prefix="siphond-tests-")
        config.add_cleanup(place.cleanup)
        second_look = SecondLook()
        config.pluginmanager.register(second_look, "second-look")
        config.pluginmanager.register(Leader(Path(place.name), config.option.jobs, second_look), "job")
