"""What holds for all tests: none of them sees the environment of whoever runs them, nor the signals."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conformance_run import ConformanceRun  # noqa: E402

for name in ("SIPHON_LISTEN", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
    os.environ.pop(name, None)

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts what runs in its background with SIGINT ignored, and so would all that the tests start be."""


def pytest_configure(config: pytest.Config) -> None:
    """Each run is judged by the rows it has shown."""
    config.pluginmanager.register(ConformanceRun(), "conformance-run")
