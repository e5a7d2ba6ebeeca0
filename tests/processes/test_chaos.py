"""Workers are killed while calls run. A call that needed a SIP retransmission has not failed."""

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest
from free_ports import free_port
from proxy_process import until

DEATH = r"worker \d/4 (died|is stuck)"
SECONDS = 20
RATE = 100
HOLD_MS = 2500
"""A call lasts longer than it takes to repeat a 200 whose ACK died with a worker; SIPp knows no BYE before its ACK."""


class Killer(threading.Thread):
    """kill -9 of a random worker every second."""

    def __init__(self, proxy, seed):
        super().__init__()
        self.proxy = proxy
        self.random = random.Random(seed)
        self.enough = threading.Event()
        self.killed = []

    def run(self):
        while not self.enough.wait(1):
            if pids := self.proxy.worker_pids():
                pid = self.random.choice(pids)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        self.join()


@pytest.mark.alone
@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_shared_24_a_worker_killed_every_second_fails_no_call(steering, siphond, agent, sipp, sleeper):
    """At a fifth or a twentieth of the rate where the machine has no time for more."""

    def attempt(rate):
        proxy = siphond(workers=4, steering=steering).start()
        proxy.tolerated = DEATH
        killed_every_second(proxy, agent, sipp, steering, rate)

    sleeper.carried((RATE, RATE / 5, RATE / 20, RATE / 20), attempt)


def killed_every_second(proxy, agent, sipp, seed, rate):
    port, calls = free_port(), int(SECONDS * rate)
    phone = sipp.callee("uas_answer", port, linger=4000)
    agent(proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>")
    options = {"calls": calls, "rate": rate, "at_once": int(4 * rate) + 1, "hold": HOLD_MS}
    caller = sipp.caller("uac_call", proxy.address, "-t", "un", "-max_socket", "3000", **options)
    with Killer(proxy, seed) as killer:
        called = caller.wait(SECONDS + 60)
    answered = phone.stop()
    assert len(killer.killed) >= SECONDS // 2, "one a second, or so"
    assert (called.successful, called.failed) == (calls, 0), caller.report()
    assert answered is not None
    assert answered.failed == 0, phone.report()
    until(lambda: len(proxy.worker_pids()) == 4, 20, "the return of all workers")
    until(lambda: proxy.restarts() >= len(killer.killed), 20, "that each restart is counted")


@pytest.mark.alone
def test_shared_12_a_worker_that_dies_is_replaced_within_a_tenth_of_a_second(proxy, agent, sleeper):
    """As near as a test can come to it on a machine of others: the quickest of four."""
    proxy.tolerated = DEATH
    took = []
    for pid in proxy.worker_pids():
        killed = time.time()
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: len(set(proxy.worker_pids()) - {pid}) == 4, 20, "the replacement")
        took.append(time.time() - killed - sleeper.slack(killed))
    assert min(took) < 0.5, took  # who has died often and early is backed off by as much
    alice = agent(proxy, "alice")
    for _ in range(20):
        alice.send(alice.request("OPTIONS", "sip:example.com"), via=alice.bound())
        alice.expect("200 OPTIONS")


def test_shared_15_a_ringing_call_goes_on_when_all_workers_are_killed(proxy, agent):
    proxy.tolerated = DEATH
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    before = set(proxy.worker_pids())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    answer = bob.respond(offered, 200, tag="b")
    final = alice.receive(5) or until(lambda: (bob.send(answer), alice.receive(2))[1], 30, "the answer, or its repeat")
    assert final.is_a("200 INVITE") and final.tag("to") == "b"
    alice.within(alice.dialog(final), "ACK")
    bob.expect("ACK")
    assert set(proxy.worker_pids()) & before == set()
    bob.send(answer)
    alice.expect("200 INVITE", but=[])


def test_shared_23_a_worker_that_is_stopped_delays_nobody_for_more_than_a_second(proxy, agent, sleeper):
    proxy.tolerated = DEATH
    until(lambda: not any(proxy.slots().read(index).busy for index in range(4)), 20, "a quiet moment")
    os.kill(proxy.worker_pids()[0], signal.SIGSTOP)
    alice = agent(proxy, "alice")
    for _ in range(40):  # from 40 ports: some of them belong to the stopped worker's socket
        asked = time.time()
        alice.send(alice.request("OPTIONS", "sip:example.com"), via=alice.bound())
        alice.expect("200 OPTIONS")
        assert time.time() - asked < 1.5 + sleeper.slack(asked)
