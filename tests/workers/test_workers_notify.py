"""The service manager's protocol against a stand-in, and the supervisor's channel."""

import os
import socket
from pathlib import Path

import pytest

from workers.control import Channel, Closed, Message
from workers.notify import Notifier


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_secs == 0.0


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_every_state(tmp_path: Path, abstract: bool) -> None:
    path = f"@siphond-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path[1:] if abstract else path)
        notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000"})
        assert notifier.watchdog_secs == 3.0
        notifier.ready()
        notifier.reloading()
        notifier.status("4 workers")
        notifier.watchdog()
        notifier.stopping()
        notifier.extend(30.0)
        heard = [manager.recv(200).decode() for _ in range(6)]
    assert heard[0] == "READY=1"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[2:] == ["STATUS=4 workers", "WATCHDOG=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000"]


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_secs == 0.0


def test_a_channel_carries_messages_and_payloads_of_any_size() -> None:
    ours, theirs = Channel.pair()
    payload = os.urandom(3_000_000)
    assert theirs.receive() is None
    assert ours.send(Message.LOOK)
    assert ours.send(Message.RELOAD, payload)
    assert theirs.receive() == (Message.LOOK, b"")
    assert theirs.receive() == (Message.RELOAD, payload)
    ours.close()
    with pytest.raises(Closed):
        theirs.receive()
    assert not theirs.send(Message.READY)
    theirs.close()


def test_a_channel_that_nobody_reads_never_blocks_the_sender() -> None:
    ours, theirs = Channel.pair()
    sent = sum(ours.send(Message.LOOK) for _ in range(100_000))
    assert 10 < sent < 100_000
    ours.close()
    theirs.close()
