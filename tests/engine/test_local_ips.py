"""The address that a wildcard listener sends from, when routes change."""

from __future__ import annotations

from siphon.engine.local_ips import KEEP_SECS, LocalIps, route_source
from siphon.sip.identity import Listener

WILDCARD = Listener(0, "udp", "0.0.0.0", 5060, None, True)


class Kernel:
    """Routes that change, and how often they were asked for."""

    def __init__(self, source: str) -> None:
        self.now = 100.0
        self.source = source
        self.asked = 0
        self.ips = LocalIps(lambda: self.now, self.ask)

    def ask(self, ip: str) -> str:
        self.asked += 1
        return self.source


def test_nat_06_a_route_that_comes_up_is_used_at_once() -> None:
    kernel = Kernel("")
    assert kernel.ips.find(WILDCARD, "192.0.2.1") == ""
    kernel.source = "192.0.2.7"
    assert kernel.ips.find(WILDCARD, "192.0.2.1") == "192.0.2.7"


def test_nat_06_a_route_that_changes_is_noticed_and_one_that_stays_is_asked_for_once_a_second() -> None:
    kernel = Kernel("192.0.2.7")
    assert {kernel.ips.find(WILDCARD, "192.0.2.1") for _ in range(100)} == {"192.0.2.7"}
    assert kernel.asked == 1
    kernel.source = "192.0.2.8"
    kernel.now += KEEP_SECS
    assert kernel.ips.find(WILDCARD, "192.0.2.1") == "192.0.2.8"


def test_nat_06_a_listener_on_an_address_of_its_own_needs_no_route() -> None:
    kernel = Kernel("192.0.2.7")
    assert kernel.ips.find(Listener(0, "udp", "192.0.2.1", 5060, None, False), "192.0.2.9") == ""
    assert kernel.asked == 0


def test_nat_06_the_kernel_tells_the_source_of_the_route_to_loopback() -> None:
    assert route_source("127.0.0.9") == "127.0.0.1"
