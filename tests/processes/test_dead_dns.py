"""A DNS server that never answers slows nobody: the time from INVITE to its forwarded copy, with and without it.

Calls to a numeric address run one after the other through one siphond, and others beside them: in every second round to
names that nobody can resolve, else to an address where nobody is. The figures are printed: pytest -s.
"""

import socket
import time
from statistics import quantiles

import pytest
from proxy_process import Siphond
from udp_agent import Agent, Message

ROUNDS = 2
ATTEMPTS = 4
"""The best of so many counts: a time that a busy machine has taken is not ours."""
CALLS = 210
PAUSE_SECS = 0.004
TIMEOUT_SECS = 1.0
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
def dead_server():
    """A socket that nobody reads: no answer, and no ICMP error either."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


class Doomed(Agent):
    """Calls nobody; times are in seconds since the call began, by Call-ID."""

    def __init__(self, proxy: Siphond, host: str) -> None:
        super().__init__(proxy.address, "alice")
        self.called = host
        self.calls: dict[str, tuple[float, bytes]] = {}
        self.tried: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def call(self) -> None:
        method = ("INVITE", "MESSAGE")[len(self.calls) % 2]
        request = self.send(self.request(method, f"sip:bob@{self.called.format(len(self.calls))}"))
        self.calls[Message.parse(request, self.address)["call-id"]] = (time.monotonic(), request)

    def read(self) -> None:
        """What has come meanwhile: a 100 or the final, which has to be a 500."""
        self.socket.setblocking(False)
        while True:
            try:
                raw, source = self.socket.recvfrom(65535)
            except BlockingIOError:
                return
            message = Message.parse(raw, source)
            number, now = message["call-id"], time.monotonic()
            began, request = self.calls[number]
            if message.status == 100:
                if message.method != "INVITE":
                    continue  # it has taken seconds (RFC 4320)
                self.tried.setdefault(number, now - began)
                continue
            assert message.status == 500, message
            self.ended.setdefault(number, now - began)
            if message.method == "INVITE":
                self.acknowledge(request, message)


def forwarded(caller: Agent, callee: Agent) -> float:
    """Seconds from an INVITE to its copy at the callee; the call is refused then."""
    invite = caller.request("INVITE", f"sip:bob@{callee.host}")
    began = time.perf_counter()
    caller.send(invite)
    copy = callee.expect("INVITE", but=("ACK",))
    took = time.perf_counter() - began
    callee.respond(copy, 486)
    caller.acknowledge(invite, caller.expect("486 INVITE"))
    return took


def one_round(caller: Agent, callee: Agent, others: Doomed) -> list[float]:
    times = []
    for call in range(CALLS):
        if call % 3 == 0:
            others.call()
        times.append(forwarded(caller, callee))
        others.read()
        time.sleep(PAUSE_SECS)
    deadline = time.monotonic() + TIMEOUT_SECS + 20
    while len(others.ended) < len(others.calls) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECS)
        others.read()
    return times


def percentiles(times: list[float]) -> tuple[float, float]:
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]


@pytest.mark.alone
def test_dns_07_dns_08_a_dead_dns_server_slows_nobody_and_its_callers_get_500_in_time(siphond, dead_server, agent):
    more = f'\n[dns]\nservers = ["127.0.0.1:{dead_server}"]\ntimeout_ms = {TIMEOUT_SECS * 1000:.0f}\n'
    proxy = siphond(script=BY_NAME, workers=2, more=more).start()
    caller, callee = agent(proxy, "carol"), agent(proxy, "bob")
    for left in reversed(range(ATTEMPTS)):
        try:
            attempt(proxy, caller, callee)
            break
        except Slow:
            if not left:
                raise


class Slow(AssertionError):
    """Something took longer than it may."""


def attempt(proxy: Siphond, caller: Agent, callee: Agent) -> None:
    times: dict[bool, list[float]] = {False: [], True: []}
    with Doomed(proxy, "127.0.0.1:9") as refused, Doomed(proxy, "h{}.dead.test") as doomed:
        for number in range(2 * ROUNDS):
            by_name = number % 2 == 1
            times[by_name] += one_round(caller, callee, doomed if by_name else refused)
    report(times, doomed)
    assert len(doomed.ended) == len(doomed.calls) == ROUNDS * CALLS // 3
    assert len(doomed.tried) == len(doomed.calls) // 2
    (calm, calm_99), (dead, dead_99) = percentiles(times[False]), percentiles(times[True])
    in_time = max(doomed.ended.values()) < TIMEOUT_SECS + 0.9 and max(doomed.tried.values()) < 0.9
    if not in_time or dead >= 3 * calm + 0.005 or dead_99 >= 5 * calm_99 + 0.02:
        raise Slow(f"{max(doomed.ended.values())}, {max(doomed.tried.values())}, {calm, calm_99}, {dead, dead_99}")


def report(times: dict[bool, list[float]], doomed: Doomed) -> None:
    for beside, text in ((False, "DNS not asked"), (True, "DNS server dead")):
        p50, p99 = percentiles(times[beside])
        print(f"\nINVITE to forwarded copy, {text}: p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms", end="")
    p50, p99 = percentiles(list(doomed.ended.values()))
    print(f"\nname to its 500 (dns.timeout_ms {TIMEOUT_SECS * 1000:.0f}): p50 {p50:.2f} s, p99 {p99:.2f} s")
