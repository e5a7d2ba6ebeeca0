"""What holds for all tests: none of them sees the environment of the person or service that runs them."""

import os

for name in ("SIPHON_LISTEN", "STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"):
    os.environ.pop(name, None)
