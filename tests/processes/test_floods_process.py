"""Floods of new calls and of malformed requests against a real siphond: memory stays bounded, others are served."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from proxy_process import until
from udp_agent import Agent, unique

ROUTE = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "INVITE":
        request.relay("sip:127.0.0.1:{port}")
    elif request.method == "OPTIONS" or proxy.rate_limit(request, 3600, {most}):
        request.reply(200)
    else:
        request.reply(429, "Slowly")
"""


@pytest.fixture
def silent():
    """The port of a callee that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as callee:
        callee.bind(("127.0.0.1", 0))
        yield callee.getsockname()[1]


def resident(proxy):
    """kB of private memory of all worker processes."""
    total = 0
    for pid in proxy.worker_pids():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
    return total


def flood(proxy, messages, seconds):
    """Send until all messages are out or the time is over; how many left."""
    with Agent(proxy.address, "flooder") as flooder:
        until_time, sent = time.monotonic() + seconds, 0
        for data in messages:
            flooder.send(data)
            flooder.sent.clear()
            sent += 1
            if sent % 64 == 0:
                time.sleep(0.002)
                if time.monotonic() > until_time:
                    break
        return sent


@pytest.mark.alone
def test_sec_12_a_hundred_thousand_invites_never_acknowledged_take_bounded_memory(siphond, silent):
    proxy = siphond(script=ROUTE.format(port=silent, most=10**6), workers=2, transactions=2000).start()
    with Agent(proxy.address, "mallory") as template:
        text = template.request("INVITE", "sip:bob@example.com", branch="z9hG4bKXXXX")
        many = (text.replace(b"XXXX", b"%d" % number) for number in range(100_000))
        flood(proxy, many, 2)  # the caches that a worker has are warm
        before = resident(proxy)
        sent = flood(proxy, many, 40)
        grown = resident(proxy) - before
    assert sent > 10_000
    assert grown < 30_000, f"{grown} kB after {sent} INVITEs"
    tables = proxy.status()["tables"]
    assert tables["transactions"]["records"] <= 2000
    assert proxy.restarts() == 0


def test_sec_12_a_source_that_fills_its_share_leaves_the_table_to_others(siphond, silent):
    more = "\n[limits]\nper_source = 200\n"
    proxy = siphond(script=ROUTE.format(port=silent, most=10**6), workers=2, transactions=2000, more=more).start()
    with Agent(proxy.address, "mallory") as template:
        text = template.request("INVITE", "sip:bob@example.com", branch="z9hG4bKXXXX")
        flood(proxy, (text.replace(b"XXXX", b"%d" % number) for number in range(10_000)), 30)
    assert until(lambda: proxy.status()["tables"]["transactions"]["records"] <= 201, 20, "the share")
    with Agent(proxy.address, "alice", ip="127.0.0.2") as other:
        for _ in range(5):  # the first ones wait behind what is left of the flood
            other.insist(other.request("OPTIONS", "sip:example.com"), "200 OPTIONS")


def test_sec_13_a_flood_of_malformed_requests_leaves_good_calls_and_the_log_alone(siphond, silent, agent):
    proxy = siphond(script=ROUTE.format(port=silent, most=10**6), workers=2, steering="spread").start()
    good = agent(proxy, "alice")
    bad = (
        agent(proxy, "mallory")
        .request("INVITE", "sip:bob@example.com", branch=unique("z9hG4bK"))
        .replace(b"CSeq: 1", b"CSeq: x")
    )
    flooding = threading.Thread(target=flood, args=(proxy, (bad for _ in range(100_000)), 4))
    flooding.start()
    for _ in range(40):  # what a full socket lost is sent again, as by Timer E
        good.insist(good.request("OPTIONS", "sip:example.com"), "200 OPTIONS")
    flooding.join()
    assert proxy.restarts() == 0
    assert len(proxy.log().splitlines()) < 200


def test_rate_limit_is_one_count_for_real_processes(siphond, silent, agent):
    proxy = siphond(script=ROUTE.format(port=silent, most=40), workers=4).start()
    alice = agent(proxy, "alice", fresh=True)  # each from a port of its own, so that all workers are reached
    statuses = []
    for _ in range(60):
        alice.send(alice.request("MESSAGE", "sip:example.com"))
        statuses.append(alice.expect("xxx MESSAGE").status)
    assert statuses == [200] * 40 + [429] * 20
    assert sum(number > 0 for number in proxy.messages()) > 1


def test_memory_used_pct_is_that_of_all_processes_and_the_tables(siphond, agent):
    script = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(200, f"{proxy.memory_used_pct()} percent")
"""
    proxy = siphond(script=script, workers=2).start()
    alice = agent(proxy, "alice")
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    told = int(alice.expect("200 OPTIONS").start.split()[2])
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    tables = sum(path.stat().st_blocks * 512 for path in proxy.shared.iterdir())
    assert max(1, tables * 100 // machine) <= told <= 20 + tables * 100 // machine


def test_the_helper_removes_counts_of_windows_that_are_over(siphond, silent, agent):
    script = ROUTE.format(port=silent, most=5).replace("3600", "1")
    proxy = siphond(script=script, workers=2).start()
    alice = agent(proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:example.com"))
    alice.expect("200 MESSAGE")
    until(lambda: proxy.status()["tables"]["limits"]["records"] == 0, 30, "the sweep")


def test_rate_limit_outlives_the_workers(siphond, silent, agent):
    proxy = siphond(script=ROUTE.format(port=silent, most=20), workers=2).start()
    alice = agent(proxy, "alice")

    def ask():
        return alice.insist(alice.request("MESSAGE", "sip:example.com"), "xxx MESSAGE").status

    while ask() == 200:
        pass
    proxy.tolerated = "worker|killed|signal"
    for pid in proxy.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: proxy.restarts() >= 2, 30, "new workers")
    assert ask() == 429
