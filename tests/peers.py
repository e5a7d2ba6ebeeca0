"""Programs of others that tests use, and when a test may do without.

A machine may lack some of them, so that a test is skipped. In the run that judges a change none may: `.ci/run` sets
SIPHOND_GATE, `./dev test` installs what Debian offers, and then each skip whose reason is not one of MAY_SKIP is a
failure, whoever skipped and why. What may be skipped there is what the machine does not permit, or what root cannot
be shown, or a program that the distribution does not have; never a program that was not installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

GATE = "SIPHOND_GATE"

PACKAGES = {
    "clang": "clang",
    "ip": "iproute2",
    "kamailio": "kamailio",
    "nft": "nftables",
    "redis-server": "redis-server",
    "rtpengine": "rtpengine-daemon",
    "sipp": "sip-tester",
    "systemd-analyze": "systemd",
    "tshark": "tshark",
    "valgrind": "valgrind",
}
"""Program: the Debian package that has it. `./dev test` installs them."""

NOT_OFFERED = "this distribution has no package"
MAY_SKIP = (
    NOT_OFFERED,
    "root reads everything",  # there is no file that root cannot read
    "root may install",
    "only root can",  # give a file away, make the directory of another user
    "needs the right to",  # mount, change a packet filter: a container may not
    "no network namespaces",
    "no user namespaces",
    "matplotlib is not installed",  # siphond[plot] is nothing that runs
)
"""How the reasons begin."""


def missing(*programs: str) -> str:
    """Why a test cannot have these; "" when it can."""
    for program in programs:
        if shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin"):
            continue
        package = PACKAGES[program]
        return f"no {program} (Debian: {package})" if offered(package) else f"{NOT_OFFERED} {package}"
    return ""


def offered(package: str) -> bool:
    """Whether apt could install it. Without apt nobody can tell: the answer is that it could."""
    if shutil.which("apt-cache") is None:
        return True
    known = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    lists = subprocess.run(["apt-cache", "show", "apt"], capture_output=True, check=False)
    return known.returncode == 0 or lists.returncode != 0


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test, or a file as its `pytestmark`."""
    why = missing(*programs)
    return pytest.mark.skipif(bool(why), reason=why or "all there")


def require(*programs: str) -> None:
    """Skips the test that calls this."""
    if why := missing(*programs):
        pytest.skip(why)


def may_skip(reason: str) -> bool:
    return reason.startswith(MAY_SKIP)


class Gate:
    """The plugin of a run that judges: a skip is a failure. Reports are changed where they are made, so that a run in
    several processes (jobs.py) sees one and the same."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        return self.judged((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Iterator[None]:
        return self.judged((yield))

    def judged(self, report: Any) -> Any:
        """A report of pytest, failed when it was skipped for no good reason."""
        if report.outcome != "skipped" or hasattr(report, "wasxfail"):
            return report
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        why = re.sub("^Skipped: ", "", why)
        if not may_skip(why):
            report.outcome = "failed"
            report.longrepr = f"skipped, which this run may not ({GATE} is set; tests/peers.py): {why}"
        return report


def register(config: pytest.Config) -> None:
    """Called when pytest is configured."""
    if os.environ.get(GATE):
        config.pluginmanager.register(Gate(), "gate")
