"""Ports of 127.0.0.1 for what a test starts.

They lie below those that the kernel gives to a socket that names none: between choosing a port and listening on it
nobody comes by it by chance. Each process of a run (tests/jobs.py) has a range of its own, and goes through it in
order: what is late for the last test's siphond does not reach the next one.
"""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

FIRST = 10000
JOBS = 8
"""There is room for as many; beyond that they share."""


def _ports() -> Iterator[int]:
    """For ever. They start somewhere: another checkout may run its tests beside this one."""
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if end - FIRST < 1000 * JOBS:  # this machine gives away nearly all of them
        end = 32768
    size = (end - FIRST) // JOBS
    mine = FIRST + size * (int(os.environ.get("SIPHOND_TESTS_JOB", 0)) % JOBS)
    for number in itertools.count(random.SystemRandom().randrange(size)):
        yield mine + number % size


_next_ports = _ports()


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def free_port() -> int:
    """One that nobody has, for UDP and TCP and at all addresses."""
    return next(filter(_is_free, _next_ports))
