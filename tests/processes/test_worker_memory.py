"""A worker that has used up the memory it may have (RLIMIT_DATA) is replaced, and its request is served by another."""

import resource
import time

import pytest
from proxy_process import until

SCRIPT = """
import resource
from siphon import proxy

KEPT = []

@proxy.on_request
def route(request):
    if resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY:
        for size in (1 << 16, 1 << 12, 1 << 9, 1 << 6):
            take(size)
        LAST
    request.reply(200, "OK")

def take(size):
    try:
        while True:
            KEPT.append(bytearray(size))
    except MemoryError:
        pass
"""

LARGE = "x" * 10000
"""A body that does not fit into what is left over, and does into a record (shared.record_bytes)."""


def served(alice, ask):
    """The answer to a request that is repeated until there is one."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        alice.send(ask)
        if (answer := alice.receive(0.5)) is not None and answer.status >= 200:
            return answer
    raise AssertionError("no answer")


@pytest.mark.parametrize("last", ["pass", "bytearray(1 << 20)"], ids=["siphond needs some next", "the handler does"])
def test_a_worker_that_has_used_up_its_memory_is_replaced_and_the_request_served(siphond, agent, last):
    proxy = siphond(workers=1, script=SCRIPT.replace("LAST", last)).start()
    proxy.tolerated = "."
    (pid,) = proxy.worker_pids()
    resource.prlimit(pid, resource.RLIMIT_DATA, (4096, resource.prlimit(pid, resource.RLIMIT_DATA)[1]))
    alice = agent(proxy, "alice")
    ask = alice.request("MESSAGE", "sip:bob@example.com")
    answer = served(alice, ask)
    assert answer.status == 200, "the handler has run again where there was memory"
    deadline = time.monotonic() + 60
    while proxy.worker_pids() in ([], [pid]):  # a small request may be served from what is left, a large one is not
        assert time.monotonic() < deadline, "another worker did not come"
        assert served(alice, alice.request("MESSAGE", "sip:bob@example.com", body=LARGE)).status == 200
    until(lambda: "died" in proxy.log() and proxy.restarts(), 20, "a line about it")
    assert proxy.restarts() == 1


def test_a_handler_that_asks_for_too_much_costs_its_request_alone(siphond, agent):
    handler = "@proxy.on_request('MESSAGE')\ndef route(request):\n    bytearray(1 << 46)\n"
    alive = "@proxy.on_request('OPTIONS')\ndef alive(request):\n    request.reply(200)\n"
    proxy = siphond(workers=1, script=f"from siphon import proxy\n{handler}{alive}").start()
    proxy.tolerated = "."
    alice = agent(proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    alice.expect("500 MESSAGE")
    assert proxy.restarts() == 0
