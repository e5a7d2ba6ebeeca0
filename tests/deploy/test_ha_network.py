"""deploy/ha-demo/ha_network.py: hosts in namespaces, and an address that moves between them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "deploy/ha-demo"
sys.path.append(str(DEMO))

import ha_network  # noqa: E402
from ha_network import Loopback, Network, NoNetwork, gratuitous_arp  # noqa: E402
from ha_nodes import Program  # noqa: E402


@pytest.fixture
def network():
    try:
        with Network() as made:
            yield made
    except NoNetwork as error:
        pytest.skip(str(error))


def udp(host, ip, port=0):
    with host.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((ip, port))
    made.settimeout(0.2)
    return made


def reaches(sender, ip, receivers, seconds=30.0):
    """Which of the receivers gets what is sent to the address now: its index, None for none."""
    deadline, mark = time.monotonic() + seconds, os.urandom(8)  # not what an earlier call has left in a socket
    while time.monotonic() < deadline:
        sender.sendto(mark, (ip, 5060))
        for index, receiver in enumerate(receivers):
            with contextlib.suppress(TimeoutError):
                while receiver.recv(10) != mark:
                    pass
                return index
    return None


def test_hosts_reach_each_other_and_nobody_else_sees_them(network):
    a, b = network.host("a", 1), network.host("b", 2)
    with udp(a, a.ip) as sender, udp(b, b.ip, 5060) as receiver:
        assert reaches(sender, b.ip, [receiver]) == 0
    outside = subprocess.run(["ip", "-oneline", "address"], capture_output=True, text=True).stdout
    assert "10.77.0." not in outside


def test_an_address_moves_and_the_neighbours_learn_it_at_once(network):
    a, b, phone = network.host("a", 1), network.host("b", 2), network.host("phone", 3)
    with udp(phone, phone.ip) as sender, udp(a, "10.77.0.9", 5060) as on_a, udp(b, "10.77.0.9", 5060) as on_b:
        a.take("10.77.0.9")
        assert (a.holds("10.77.0.9"), b.holds("10.77.0.9")) == (True, False)
        assert reaches(sender, "10.77.0.9", [on_a, on_b]) == 0
        known = phone.run("ip", "neighbour", "show", "10.77.0.9")
        a.leave("10.77.0.9")
        b.take("10.77.0.9")
        assert (a.holds("10.77.0.9"), b.holds("10.77.0.9")) == (False, True)
        deadline = time.monotonic() + 60
        while phone.run("ip", "neighbour", "show", "10.77.0.9").split("lladdr")[1] == known.split("lladdr")[1]:
            assert time.monotonic() < deadline, "the announcement was not heard"
        assert reaches(sender, "10.77.0.9", [on_a, on_b]) == 1


def test_without_the_announcement_the_neighbour_goes_on_with_the_old_one(network):
    a, b, phone = network.host("a", 1), network.host("b", 2), network.host("phone", 3)
    with udp(phone, phone.ip) as sender, udp(a, "10.77.0.9", 5060) as on_a, udp(b, "10.77.0.9", 5060) as on_b:
        a.take("10.77.0.9")
        assert reaches(sender, "10.77.0.9", [on_a, on_b]) == 0
        a.leave("10.77.0.9")
        b.run("ip", "address", "add", "10.77.0.9/32", "dev", "eth0")
        assert reaches(sender, "10.77.0.9", [on_a, on_b], 0.5) is None


def test_two_hosts_that_are_cut_off_from_each_other_reach_the_third(network):
    a, b, c = network.host("a", 1), network.host("b", 2), network.host("c", 3)
    with udp(a, a.ip) as sender, udp(b, b.ip, 5060) as on_b, udp(c, c.ip, 5060) as on_c:
        assert reaches(sender, b.ip, [on_b]) == 0
        a.cut(b)
        with pytest.raises(OSError):
            sender.sendto(b"?", (b.ip, 5060))
        on_c.settimeout(30)
        on_b.sendto(b"?", (c.ip, 5060))
        assert on_c.recv(10) == b"?"
        assert reaches(sender, c.ip, [on_c]) == 0
        a.mend(b)
        assert reaches(sender, b.ip, [on_b]) == 0


def test_a_process_on_a_host_ends_with_who_started_it():
    program = f"""
import sys, time
sys.path.append({str(DEMO)!r})
from ha_network import Network
with Network() as network:
    child = network.host("a", 1).popen(["sleep", "600"])
    print(child.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as starter:
        line = starter.stdout.readline()
        if not line:
            pytest.skip(starter.stderr.read().decode().splitlines()[-1])
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{int(line)}/exe"):
        assert time.monotonic() < deadline, "sleep is still there"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_starts_as_we_are_asked_to_end_is_known_and_ends_too(number, monkeypatch, tmp_path):
    def asked_meanwhile(parent):
        os.kill(parent, number)
        time.sleep(0.2)  # the parent waits for the exec
        die_with(parent)

    def interrupted(*_):
        raise KeyboardInterrupt

    die_with = ha_network.die_with
    monkeypatch.setattr(ha_network, "die_with", asked_meanwhile)
    program = Program(Loopback().host("a", 1), "sleep", tmp_path / "log")
    before = signal.signal(number, interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            program.start(["sleep", "600"])
    finally:
        signal.signal(number, before)
    assert program.process is not None
    program.stop()
    assert program.process.returncode == -signal.SIGINT


def test_the_gratuitous_arp_names_the_address_as_sender_and_target():
    frame = gratuitous_arp(b"\x02\0\0\0\0\x01", "10.77.0.9", 1)
    assert len(frame) == 42
    assert frame[:14] == b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\x06"
    assert frame[28:32] == frame[38:42] == bytes([10, 77, 0, 9])


def test_loopback_has_hosts_and_no_address_that_moves():
    with Loopback() as network:
        host = network.host("a", 3)
        assert host.ip == "127.77.0.3"
        assert network.moves is False
        assert host.holds(host.ip) is False
        with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((host.ip, 0))
