"""Calls whose every message leaves from another source port, so that the kernel hands them to different workers.

Which worker serves a source port is found out beforehand: an OPTIONS from it, and whose counter rose. So each call can
be spread over the workers on purpose, and the counters prove that it was.
"""

import re
import socket
from collections.abc import Iterator
from itertools import cycle

import pytest
from proxy_process import Siphond, until
from udp_agent import Agent

WORKERS = 4
CALLS = 50
SUPPLY = 55
"""Ports a worker, enough for one test; looking for one in the middle of a call would make its timers run."""


class Ports:
    """Sockets on ports that were never used in a call before, by the worker that the kernel maps them to."""

    def __init__(self, proxy: Siphond, probe: Agent) -> None:
        self.proxy = proxy
        self.probe = probe
        self.waiting: list[list[socket.socket]] = [[] for _ in range(WORKERS)]
        self.turn: Iterator[int] = cycle(range(WORKERS))
        while min(len(ports) for ports in self.waiting) < SUPPLY:
            self.find()

    def next(self) -> socket.socket:
        """One that another worker serves than the one before."""
        return self.waiting[next(self.turn)].pop()

    def find(self) -> None:
        before = self.proxy.messages()
        made = self.probe.bound()
        self.probe.send(self.probe.request("OPTIONS", "sip:example.com"), via=made)
        self.probe.expect("200 OPTIONS")
        until(lambda: self.proxy.messages() != before, 20, "a count")
        rose = [now > then for now, then in zip(self.proxy.messages(), before, strict=True)]
        self.waiting[rose.index(True)].append(made)


class Roamer(Agent):
    """Sends every message from a port of its own, each served by another worker than the last."""

    ports: Ports

    def send(self, data, *, to=None, via=None):
        return super().send(data, to=to, via=via or self.ports.next())


@pytest.fixture
def roamers(proxy):
    """alice and bob on one supply of ports; bob is registered."""
    with (
        Agent(proxy.address, "probe") as probe,
        Roamer(proxy.address, "alice") as alice,
        Roamer(proxy.address, "bob") as bob,
    ):
        alice.ports = bob.ports = Ports(proxy, probe)
        with Agent(proxy.address, "bob") as desk:  # from one port, or it would be called at that port (NAT)
            assert desk.register(bob.contact).status == 200
        yield alice, bob


def touched(proxy, before):
    """How many workers have read a message since."""
    return sum(a > b for a, b in zip(proxy.messages(), before, strict=True))


def were_spread(proxy, found):
    """Nearly every message of each call was read by another worker than the one before. A worker that the machine gives
    no time is stood in for, and then they need not have been."""
    assert min(found) >= 3 or (max(found) >= 3 and proxy.adoptions() > 0), found


def ring(alice, bob):
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    return invite, offered


def test_can_01_answered_calls_work_with_every_message_on_another_worker(proxy, roamers):
    alice, bob = roamers
    found = []
    for _ in range(CALLS // 2):
        before = proxy.messages()
        _, offered = ring(alice, bob)
        bob.respond(offered, 200, tag="b")
        dialog = alice.dialog(alice.expect("200 INVITE"))
        alice.within(dialog, "ACK")
        bob.expect("ACK")
        alice.within(dialog, "BYE")
        bob.respond(bob.expect("BYE"), 200)
        alice.expect("200 BYE")
        found.append(touched(proxy, before))
    were_spread(proxy, found)
    assert proxy.restarts() == 0


def test_shared_06_cancelled_calls_work_with_every_message_on_another_worker(proxy, roamers):
    alice, bob = roamers
    found = []
    for _ in range(CALLS // 2):
        before = proxy.messages()
        invite, offered = ring(alice, bob)
        alice.cancel(invite)
        alice.expect("200 CANCEL")
        bob.respond(bob.expect("CANCEL"), 200, tag="b")
        bob.respond(offered, 487, tag="b")
        bob.expect("ACK")
        alice.acknowledge(invite, alice.expect("487 INVITE"))
        found.append(touched(proxy, before))
    were_spread(proxy, found)
    alice.silence(0.6)
    bob.silence(0.1)


def test_shared_01_a_repeated_invite_on_another_worker_is_absorbed(proxy, roamers):
    alice, bob = roamers
    invite, offered = ring(alice, bob)
    for _ in range(WORKERS):
        alice.send(invite)
        alice.expect("180 INVITE")
    bob.silence(0.3)
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    final = alice.expect("486 INVITE")
    for _ in range(WORKERS):
        alice.send(invite)
        assert alice.expect("486 INVITE", but=[]).raw == final.raw
    alice.acknowledge(invite, final)


def test_reg_14_a_repeated_register_on_another_worker_gets_the_same_answer(proxy, roamers):
    alice, _ = roamers
    first = alice.register()
    again = alice.sent[-1]
    for _ in range(WORKERS):
        alice.send(again)
        repeated = alice.answer_to("2 REGISTER")
        assert re.sub(rb"\r\n(Date|Expires).*", b"", repeated.raw) == re.sub(rb"\r\n(Date|Expires).*", b"", first.raw)


def test_auth_08_a_nonce_used_on_one_worker_cannot_be_replayed_on_another(proxy, roamers):
    alice, _ = roamers
    assert alice.register().status == 200
    stolen = re.search(rb"Authorization: (.*)\r\n", alice.sent[-1])
    assert stolen is not None
    for number in range(WORKERS):
        extra = [f"Contact: {alice.contact}", f"Authorization: {stolen[1].decode()}"]
        alice.send(
            alice.request("REGISTER", "sip:example.com", cseq=9 + number, remote="<sip:alice@example.com>", extra=extra)
        )
        assert alice.answer_to(f"{9 + number} REGISTER").status == 401
