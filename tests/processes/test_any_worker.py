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


class Ports:
    """Sockets on ports that were never used in a call before, by the worker that the kernel maps them to."""

    def __init__(self, proxy: Siphond) -> None:
        self.proxy = proxy
        self.waiting: list[list[socket.socket]] = [[] for _ in range(WORKERS)]
        self.used: list[socket.socket] = []
        self.turn: Iterator[int] = cycle(range(WORKERS))

    def next(self) -> socket.socket:
        """One that another worker serves than the one before."""
        worker = next(self.turn)
        while not self.waiting[worker]:
            self.find()
        self.used.append(self.waiting[worker].pop())
        return self.used[-1]

    def find(self) -> None:
        with Agent(self.proxy.address, "probe") as probe:
            before = self.proxy.datagrams()
            made = probe.bound()
            probe.send(probe.request("OPTIONS", "sip:example.com"), via=made)
            probe.expect("200 OPTIONS")
            until(lambda: any(a > b for a, b in zip(self.proxy.datagrams(), before, strict=True)), 1, "a count")
            rose = [a > b for a, b in zip(self.proxy.datagrams(), before, strict=True)]
            self.waiting[rose.index(True)].append(made)

    def close(self) -> None:
        for one in [*self.used, *(one for group in self.waiting for one in group)]:
            one.close()


class Roamer(Agent):
    """Sends every message from a port of its own, each served by another worker than the last."""

    ports: Ports

    def send(self, data, *, to=None, via=None):
        return super().send(data, to=to, via=via or self.ports.next())


@pytest.fixture
def roamers(proxy):
    """alice and bob on one supply of ports; bob is registered."""
    ports = Ports(proxy)
    with Roamer(proxy.address, "alice") as alice, Roamer(proxy.address, "bob") as bob:
        alice.ports = bob.ports = ports
        assert bob.register().status == 200
        yield alice, bob
    ports.close()


def touched(proxy, before):
    """How many workers have read a datagram since."""
    return sum(a > b for a, b in zip(proxy.datagrams(), before, strict=True))


def ring(alice, bob):
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    return invite, offered


def test_can_01_answered_calls_work_with_every_message_on_another_worker(proxy, roamers):
    alice, bob = roamers
    for _ in range(CALLS // 2):
        before = proxy.datagrams()
        _, offered = ring(alice, bob)
        bob.respond(offered, 200, tag="b")
        dialog = alice.dialog(alice.expect("200 INVITE"))
        alice.within(dialog, "ACK")
        bob.expect("ACK")
        alice.within(dialog, "BYE")
        bob.respond(bob.expect("BYE"), 200)
        alice.expect("200 BYE")
        assert touched(proxy, before) >= 3
    assert proxy.restarts() == 0


def test_shared_06_cancelled_calls_work_with_every_message_on_another_worker(proxy, roamers):
    alice, bob = roamers
    for _ in range(CALLS // 2):
        before = proxy.datagrams()
        invite, offered = ring(alice, bob)
        alice.cancel(invite)
        alice.expect("200 CANCEL")
        bob.respond(bob.expect("CANCEL"), 200, tag="b")
        bob.respond(offered, 487, tag="b")
        bob.expect("ACK")
        alice.acknowledge(invite, alice.expect("487 INVITE"))
        assert touched(proxy, before) >= 3
    alice.silence(0.6)
    bob.silence(0.1)


def test_shared_01_a_repeated_invite_on_another_worker_is_absorbed(proxy, roamers):
    alice, bob = roamers
    invite, offered = ring(alice, bob)
    for _ in range(WORKERS):
        alice.send(invite)
        alice.expect("180 INVITE", but=[])
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
