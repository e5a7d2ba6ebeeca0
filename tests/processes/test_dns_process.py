"""Next hops by name through a real siphond that asks a DNS server on loopback."""

import asyncio
import threading
import time

import pytest
from proxy_process import free_port

from siphon.testing.nameserver import NAPTR, SRV, A, Nameserver, a, srv

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


def asking(siphond, nameserver, **options):
    dns = f'\n[dns]\nservers = ["127.0.0.1:{nameserver.port}"]\ntimeout_ms = 1000\n'
    return siphond(script=BY_NAME, more=dns, **options).start()


def test_dns_04_a_call_by_srv_reaches_the_second_server_when_the_first_is_dead(siphond, nameserver, agent):
    proxy = asking(siphond, nameserver)
    alice, bob = agent(proxy, "alice"), agent(proxy, "bob")
    nameserver.zone = {
        "_sip._udp.pbx.test": [srv(1, 0, free_port(), "h.pbx.test"), srv(2, 0, bob.address[1], "h.pbx.test")],
        "h.pbx.test": [a("127.0.0.1")],
    }
    began = time.monotonic()
    alice.send(alice.request("MESSAGE", "sip:bob@pbx.test"))
    bob.respond(bob.expect("MESSAGE"), 200)
    alice.expect("200 MESSAGE")
    assert time.monotonic() - began < 3
    assert ("pbx.test", NAPTR) in nameserver.asked


def test_dns_07_and_08_a_silent_dns_server_holds_up_nobody_else(siphond, nameserver, agent):
    nameserver.silent = {A, SRV, NAPTR}
    proxy = asking(siphond, nameserver, workers=1)
    alice = agent(proxy, "alice")
    invite = alice.send(alice.request("INVITE", "sip:bob@dead.test"))
    began = time.monotonic()
    for _ in range(20):
        alice.send(alice.request("OPTIONS", "sip:example.com"))
        alice.expect("200 OPTIONS")
    assert time.monotonic() - began < 0.9
    alice.acknowledge(invite, alice.expect("500 INVITE", within=3))
    alice.send(alice.request("MESSAGE", "sip:bob@dead.test"))
    alice.expect("500 MESSAGE", within=3)
