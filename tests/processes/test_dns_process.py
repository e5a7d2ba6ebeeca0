"""Next hops by name through a real siphond that asks a DNS server on loopback."""

import asyncio
import os
import signal
import threading
import time

import pytest
from free_ports import free_port
from proxy_process import until

from siphon.testing.nameserver import AAAA, NAPTR, SRV, A, Nameserver, a, srv

BY_NAME = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.method == "OPTIONS":
        request.reply(200, "OK")
    else:
        request.relay()
"""


@pytest.fixture
def nameserver():
    loop, server = asyncio.new_event_loop(), Nameserver()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.call_later, 0.05, loop.stop)
    thread.join()
    loop.close()


def asking(siphond, nameserver, *, timeout_ms=10_000, **options):
    """With a limit that an answer does not reach on a busy machine either."""
    dns = f'\n[dns]\nservers = ["127.0.0.1:{nameserver.port}"]\ntimeout_ms = {timeout_ms}\n'
    return siphond(script=BY_NAME, more=dns, **options).start()


def test_dns_04_a_call_by_srv_reaches_the_second_server_when_the_first_is_dead(siphond, nameserver, agent):
    proxy = asking(siphond, nameserver)
    alice, bob = agent(proxy, "alice"), agent(proxy, "bob")
    nameserver.zone = {
        "_sip._udp.pbx.test": [srv(1, 0, free_port(), "h.pbx.test"), srv(2, 0, bob.address[1], "h.pbx.test")],
        "h.pbx.test": [a("127.0.0.1")],
    }
    alice.send(alice.request("MESSAGE", "sip:bob@pbx.test"))
    bob.respond(bob.expect("MESSAGE", within=25), 200)  # else the first is given up by timer F, after 32 s
    alice.expect("200 MESSAGE")
    assert ("pbx.test", NAPTR) in nameserver.asked


def test_dns_07_and_08_a_silent_dns_server_holds_up_nobody_else(siphond, nameserver, agent):
    nameserver.silent = {A, SRV, NAPTR}
    proxy = asking(siphond, nameserver, workers=1, timeout_ms=10_000)
    alice = agent(proxy, "alice")
    invite = alice.send(alice.request("INVITE", "sip:bob@dead.test"))
    for _ in range(20):
        alice.send(alice.request("OPTIONS", "sip:example.com"))
        alice.expect("200 OPTIONS")  # and not before it the 500 of the INVITE
    alice.acknowledge(invite, alice.expect("500 INVITE", within=30))
    alice.send(alice.request("MESSAGE", "sip:bob@dead.test"))
    alice.expect("500 MESSAGE", within=30)


def through_every_worker(proxy, send):
    """`send` messages from ever new ports until each worker has read a few; one that has just begun gets none yet."""
    before, deadline = proxy.messages(), time.monotonic() + 30
    while time.monotonic() < deadline:
        send()
        if min(now - then for now, then in zip(proxy.messages(), before, strict=True)) > 3:
            return
    raise AssertionError(f"not every worker was reached: {before} {proxy.messages()}")


def test_dns_07_four_workers_ask_once_for_a_name_and_so_do_those_that_follow_them(siphond, nameserver, agent):
    proxy = asking(siphond, nameserver, workers=4, timeout_ms=60_000)  # no question is repeated
    alice, bob = agent(proxy, "alice", fresh=True), agent(proxy, "bob")
    nameserver.zone = {"pbx.test": [a("127.0.0.1", 3600)]}

    def found():
        alice.send(alice.request("MESSAGE", f"sip:bob@pbx.test:{bob.address[1]}"))
        bob.respond(bob.expect("MESSAGE"), 200)
        alice.expect("200 MESSAGE")

    def absent():
        alice.send(alice.request("MESSAGE", "sip:bob@none.test:5060"))
        alice.expect("500 MESSAGE")

    through_every_worker(proxy, found)
    assert nameserver.asked == [("pbx.test", A)]
    through_every_worker(proxy, absent)
    assert nameserver.asked == [("pbx.test", A), ("none.test", A)]
    proxy.tolerated = "died"
    for pid in proxy.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: proxy.restarts() == 4 and len(proxy.worker_pids()) == 4, 60, "a restart of all workers")
    through_every_worker(proxy, found)
    assert nameserver.asked == [("pbx.test", A), ("none.test", A)]


@pytest.mark.parametrize("fault", ["nxdomain", "empty", "servfail", "timeout"])
def test_dns_08_a_name_that_does_not_resolve_is_a_500_in_time(siphond, nameserver, agent, fault):
    """The limit is of all questions about it: three that are not answered do not take three times as long."""
    limit = 5
    if fault == "empty":
        nameserver.zone = {name: [(AAAA, 60, bytes(16))] for name in ("pbx.test", "_sip._udp.pbx.test")}
    elif fault == "servfail":
        nameserver.failing = {A, SRV, NAPTR}
    elif fault == "timeout":
        nameserver.silent = {A, SRV, NAPTR}
    proxy = asking(siphond, nameserver, workers=1, timeout_ms=1000 * limit)
    alice = agent(proxy, "alice")
    for method in ("INVITE", "MESSAGE"):
        began = time.monotonic()
        request = alice.send(alice.request(method, "sip:bob@pbx.test"))
        if (method, fault) == ("INVITE", "timeout"):
            alice.expect("100 INVITE")
        final = alice.expect(f"500 {method}", within=30)
        assert time.monotonic() - began < 2.8 * limit
        if method == "INVITE":
            alice.acknowledge(request, final)
