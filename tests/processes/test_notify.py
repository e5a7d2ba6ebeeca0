"""What systemd is told. It does not run here: a datagram socket stands in for it, as NOTIFY_SOCKET says."""

import socket
import time
from itertools import pairwise

import pytest
from proxy_process import START_SECS


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The socket on which a service manager would listen; the environment that it gives to a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(START_SECS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        yield listening


def hear(manager, wanted):
    """Everything said until `wanted` was, in order."""
    said = []
    while wanted not in said:
        said += manager.recv(4096).decode().split("\n")
    return said


def test_systemd_hears_ready_watchdog_and_stopping(manager, siphond):
    proxy = siphond(workers=2).start()
    hear(manager, "READY=1")
    heard = []
    for _ in range(8):
        hear(manager, "WATCHDOG=1")
        heard.append(time.monotonic())
    gaps = sorted(b - a for a, b in pairwise(heard))
    assert gaps[len(gaps) // 2] < 1, f"twice within the limit of 1 s, as a rule: {gaps}"
    proxy.stop()
    hear(manager, "STOPPING=1")


def test_ready_is_said_only_when_requests_are_answered(manager, siphond, agent):
    proxy = siphond(workers=2)
    proxy.launch()
    hear(manager, "READY=1")
    alice = agent(proxy, "alice")
    for _ in range(10):
        alice.send(alice.request("OPTIONS", "sip:example.com"), via=alice.bound())
        alice.expect("200 OPTIONS")


def test_a_refused_start_never_says_ready(manager, siphond):
    proxy = siphond(workers=2, script="raise SystemExit\n")
    proxy.tolerated = "."
    assert proxy.launch().wait(START_SECS) == 78
    manager.settimeout(0.1)
    with pytest.raises(TimeoutError):
        hear(manager, "READY=1")
