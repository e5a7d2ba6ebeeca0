"""A test on real processes that fails while others run beside it gets a second look: once more, alone, in the end.

A run has more processes than the machine has cores, and the machine has other work. So a test that bounds something by
time can fail for what the machine did, and cannot tell. Where it fails alone too, it fails. Where it passes alone, the
run passes and prints the first failure whole: either the test asks more of a busy machine than it may, or a race has
shown itself, and each is a fault of ours that is to be found. The page is there so that it is.

Only tests that wait for processes and clocks are looked at again, and only MOST of a run: a change that breaks
something breaks more, or breaks it again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = frozenset({"bench", "cli", "deploy", "docs", "processes", "project", "services", "state", "workers"})
"""Folders of tests/ whose tests wait for processes and clocks. All others compute, in virtual time."""
MOST = 3
LATER = "looked at again"
"""An outcome of a report."""


class SecondLook:
    """A plugin of the leader (jobs.py), which hears of all tests."""

    def __init__(self) -> None:
        self.first: dict[str, list[pytest.TestReport]] = {}
        """Failed reports of the first look, by node id."""
        self.failed_again: set[str] = set()
        self.began = False

    def begin(self) -> list[str]:
        """Node ids of those to run once more. What fails from here on has failed."""
        self.began = True
        return list(self.first)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        """Around all others, so that nobody counts it as failed."""
        if report.failed and self.began:
            self.failed_again.add(report.nodeid)
        elif report.failed and self.may_look(report.nodeid):
            self.first.setdefault(report.nodeid, []).append(copy.copy(report))
            report.outcome = LATER  # type: ignore[assignment]
        return (yield)

    def may_look(self, node_id: str) -> bool:
        folders = Path(node_id.partition("::")[0]).parts[:-1]
        return not FOLDERS.isdisjoint(folders) and (node_id in self.first or len(self.first) < MOST)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return (LATER, "L", "LATER") if report.outcome == LATER else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Of those that passed alone. Who failed twice is told as all that fail, with the second failure."""
        for node_id in [one for one in self.first if one not in self.failed_again]:
            terminalreporter.section(f"failed beside others, passed alone: {node_id}", yellow=True)
            for report in self.first[node_id]:
                report.toterminal(terminalreporter._tw)
                for title, text in report.sections:
                    terminalreporter.write_sep("-", title)
                    terminalreporter.write_line(text)
