"""The wall clock of a running siphond is set an hour forward or back."""

import os
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest
from proxy_process import until
from udp_agent import credentials

from workers.application import Counter

STALE_SECS = 4
"""A request that has waited longer in a socket is dropped and counted."""
SOURCE = Path(__file__).with_name("stepped_clock.c")
STEPS = pytest.mark.parametrize("step", [-3600, 3600])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("clock") / "stepped_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", made, SOURCE], check=True)
    return made


class SteppedClock:
    """The wall clock of one siphond."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0)

    def set(self, seconds: int, arrivals: int | None = None) -> None:
        """What it is ahead of the machine's, and what it was when the datagrams arrived that are read from now on."""
        with open(self.path, "r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("ll", seconds, seconds if arrivals is None else arrivals))


@pytest.fixture
def stepped(siphond, library, tmp_path):
    """The recipe on two workers, and its clock."""
    clock = SteppedClock(tmp_path / "step")
    proxy = siphond(workers=2)
    proxy.environment = {"LD_PRELOAD": str(library), "CLOCK_STEP": str(clock.path)}
    return proxy.start(), clock


def nobody_was_replaced(proxy, pids):
    return proxy.worker_pids() == pids and proxy.restarts() == 0


@STEPS
def test_shared_34_a_step_moves_no_timer_and_a_call_goes_on(stepped, agent, step):
    proxy, clock = stepped
    pids = proxy.worker_pids()
    bob, alice, silent = agent(proxy, "bob"), agent(proxy, "alice"), agent(proxy, "carol")
    bob.register()
    silent.register()
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    alice.send(alice.request("INVITE", "sip:carol@example.com"))
    times = []
    for number in range(5):  # Timer A: after 0.5, 1.5, 3.5 and 7.5 s
        assert silent.receive(30) is not None
        times.append(time.monotonic())
        if number == 1:
            clock.set(step)
    assert times[4] - times[1] > 3 and times[4] - times[0] < 25, times
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200)
    alice.expect("200 BYE")
    assert nobody_was_replaced(proxy, pids)


@STEPS
def test_shared_34_bindings_end_by_the_wall_clock(stepped, agent, step):
    """An hour forward ends a binding of ten minutes at once, an hour back lets it live an hour longer."""
    proxy, clock = stepped
    pids = proxy.worker_pids()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register(expires=600)
    clock.set(step)
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    if step > 0:
        alice.expect("404 MESSAGE")
        assert bob.bindings() == []
        assert bob.register().status == 200
        alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    bob.respond(bob.expect("MESSAGE"), 200)
    alice.expect("200 MESSAGE")
    clock.set(0)
    assert bob.bindings() == [bob.uri], "once the clock is right again"
    assert nobody_was_replaced(proxy, pids)


@STEPS
def test_shared_34_a_nonce_of_before_the_step_is_stale_and_the_next_one_serves(stepped, agent, step):
    proxy, clock = stepped
    pids = proxy.worker_pids()
    bob = agent(proxy, "bob")
    uri, to = "sip:example.com", "<sip:bob@example.com>"

    def register(cseq, challenge=None):
        extra = [f"Contact: {bob.contact}"]
        if challenge is not None:
            given = credentials(challenge["www-authenticate"], "bob", "secret", "REGISTER", uri)
            extra.append(f"Authorization: {given}")
        bob.send(bob.request("REGISTER", uri, cseq=cseq, call_id=f"step{step}", remote=to, extra=extra))
        return bob.answer_to(f"{cseq} REGISTER")

    first = register(1)
    assert first.status == 401 and "stale" not in first["www-authenticate"]
    clock.set(step + (5 if step > 0 else -5))
    second = register(2, first)
    assert second.status == 401 and "stale=true" in second["www-authenticate"].lower()
    assert register(3, second).status == 200
    clock.set(0)
    assert register(4, second).status == 401
    assert bob.register().status == 200
    assert nobody_was_replaced(proxy, pids)


@STEPS
def test_shared_34_what_waits_in_a_socket_across_a_step_is_served(stepped, agent, step):
    """Its kernel time stamp is an hour off then: it would be too old, or from the future."""
    proxy, clock = stepped
    alice = agent(proxy, "alice")
    phones = [alice.bound() for _ in range(20)]
    for phone in phones:  # so that both workers have read
        alice.send(alice.request("OPTIONS", "sip:example.com"), via=phone)
        alice.expect("200 OPTIONS")
    stopped = [proxy.process.pid, *proxy.worker_pids()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        for phone in phones:
            alice.send(alice.request("OPTIONS", "sip:example.com"), via=phone)
        clock.set(step, arrivals=0)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    def stale():
        return proxy.slots().row(0)[Counter.STALE_DROPS] + proxy.slots().row(1)[Counter.STALE_DROPS]

    def answered():
        list(alice.drain())
        return sum(message.is_a("200 OPTIONS") for message in alice.seen) - len(phones)

    until(lambda: answered() + stale() >= len(phones), 20, "that all are read")
    took = time.monotonic() - began
    until(lambda: proxy.status()["counters"]["datagrams"] >= 2 * len(phones), 20, "that they are counted")
    assert stale() == 0 or took > STALE_SECS
