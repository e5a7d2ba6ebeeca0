"""What holds for all tests: none of them sees the environment of whoever runs them, nor the signals; and how a run in
several processes begins (jobs.py)."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "processes")]

import jobs  # noqa: E402
import peers  # noqa: E402
import told_logs  # noqa: E402
from conformance_run import ConformanceRun  # noqa: E402

for name in ("SIPHON_LISTEN", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
    os.environ.pop(name, None)

settings.register_profile("siphond", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("siphond")
"""How long an example takes is the machine's affair."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts what runs in its background with SIGINT ignored, and so would all that the tests start be."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--jobs", type=int, default=1, help="run the tests in so many processes (tests/jobs.py)")


def pytest_configure(config: pytest.Config) -> None:
    """Each run is judged by the rows it has shown, by the process that hears of all of them."""
    if not jobs.is_helper():
        config.pluginmanager.register(ConformanceRun(), "conformance-run")
    jobs.register(config)
    peers.register(config)
    config.pluginmanager.register(told_logs, "told-logs")
