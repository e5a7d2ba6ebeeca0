"""The rows of tests/conformance.toml against what a test run really did: a row counts when a test of it has passed.

tools/conformance.py knows tests by their names alone; a test that was skipped, or that failed, shows nothing. After a
whole run (all of tests/, no -k, -m or path) the run fails when a row that is not due later was shown by no test.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

_TOOL = runpy.run_path(str(Path(__file__).resolve().parents[1] / "tools" / "conformance.py"))


class ConformanceRun:
    """A pytest plugin: gathers the tests that passed, by row, and judges at the end of a whole run."""

    def __init__(self) -> None:
        self.rows = _TOOL["listed"]()
        self.passed: dict[str, set[str]] = {name: set() for name in self.rows}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has ended: its rows are those of its name and of its parameters."""
        if report.when != "call" or report.outcome != "passed" or hasattr(report, "wasxfail"):
            return
        name, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
        for row in self._rows(name, parameters):
            self.passed[row].add(name)

    def _rows(self, name: str, parameters: str) -> list[str]:
        try:
            found: list[str] = _TOOL["named"](name, self.rows)
        except _TOOL["UnknownBehaviour"]:
            return []  # tests/docs says so
        return found + [row for row in self.rows if f"{parameters.rstrip(']')}-".startswith(f"{row}-")]

    def missing(self) -> list[str]:
        """Rows that no passed test has shown and that are not due later."""
        return [name for name, row in self.rows.items() if not self.passed[name] and not row.due]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Of a whole run: an error when a row is missing."""
        if is_whole(session.config) and self.missing():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Say it."""
        if not is_whole(config):
            return
        missing = self.missing()
        shown = sum(bool(tests) for tests in self.passed.values())
        terminalreporter.write_line(f"conformance: {shown} of {len(self.rows)} rows shown by tests that passed")
        if missing:
            terminalreporter.write_line(f"conformance: no test has shown {', '.join(missing)}", red=True)


def is_whole(config: pytest.Config) -> bool:
    """Whether everything was asked for."""
    options = config.option
    narrowed = options.keyword or options.markexpr or getattr(options, "lf", False) or options.collectonly
    return config.args_source == pytest.Config.ArgsSource.TESTPATHS and not narrowed
