"""Listeners whose address is on another machine at the moment: two nodes that stand in for each other."""

from __future__ import annotations

from collections.abc import Callable

from siphon.engine.own_addresses import KEEP_SECS, OwnAddresses, is_here
from siphon.sip.identity import Listener
from siphon.testing.world import World

Make = Callable[..., World]
TWO = {"udp": ["127.0.0.1:5060", "127.0.0.1:5070"]}
REGISTRAR = """
from siphon import proxy, registrar

@proxy.on_request
def route(request):
    if request.method == "REGISTER":
        registrar.save(request)
    else:
        request.fork(registrar.lookup(request.ruri))
"""


def listeners(*ips: str) -> list[Listener]:
    return [Listener(i, "udp", ip, 5060, None, ip == "0.0.0.0") for i, ip in enumerate(ips)]


class Asked:
    def __init__(self) -> None:
        self.now = 100.0
        self.here = {"192.0.2.1"}
        self.asked: list[str] = []

    def ask(self, ip: str) -> bool:
        self.asked.append(ip)
        return ip in self.here


def test_an_address_that_comes_is_noticed_and_is_asked_for_once_in_a_while() -> None:
    kernel = Asked()
    own = OwnAddresses(listeners("192.0.2.1", "192.0.2.2"), lambda: kernel.now, kernel.ask)
    assert [own.has(0), own.has(1)] * 5 == [True, False] * 5
    assert [own.has(1) for _ in range(100)] == [False] * 100
    assert kernel.asked == ["192.0.2.1", "192.0.2.2"]
    kernel.here = {"192.0.2.2"}
    kernel.now += 2 * KEEP_SECS
    assert [own.has(0), own.has(1)] == [False, True]


def test_a_wildcard_is_always_here() -> None:
    kernel = Asked()
    assert OwnAddresses(listeners("0.0.0.0"), lambda: kernel.now, kernel.ask).has(0)
    assert kernel.asked == []


def test_the_kernel_is_asked() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.1")


def registered_on_the_second(make_world: Make) -> World:
    world = make_world(REGISTRAR, listen=TWO, workers=1)
    bob = world.agent("192.0.2.2", 5090)
    contact = "Contact: <sip:bob@192.0.2.2:5090>"
    text = bob.request("REGISTER", "sip:example.com", to="sip:bob@example.com")
    bob.send(text.replace(f"Contact: <sip:{bob.ip}:{bob.port}>", contact), listener=1)
    assert bob.statuses == [200]
    return world


def test_a_phone_is_called_from_where_it_registered_while_that_address_is_here(make_world: Make) -> None:
    world = registered_on_the_second(make_world)
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"), listener=0)
    assert world.sent[-1].to == ("192.0.2.2", 5090)
    assert world.sent[-1].listener == 1


def test_a_phone_is_called_from_another_listener_while_that_address_is_elsewhere(make_world: Make) -> None:
    world = registered_on_the_second(make_world)
    world.workers[0].core.env.is_here = lambda listener: listener == 0
    caller, bob = world.agent("192.0.2.1"), world.agent("192.0.2.2", 5090)
    caller.send(caller.request("INVITE", "sip:bob@example.com"), listener=0)
    assert world.sent[-1].to == ("192.0.2.2", 5090)
    assert world.sent[-1].listener == 0
    assert (bob.last.via.host, bob.last.via.port) == (b"127.0.0.1", 5060)


def test_a_listener_that_nobody_asked_for_does_not_send_because_it_alone_is_here(make_world: Make) -> None:
    three = {"udp": [*TWO["udp"], "127.0.0.1:5080"]}
    world = make_world(REGISTRAR, listen=three, workers=1)
    bob, caller = world.agent("192.0.2.2", 5090), world.agent("192.0.2.1")
    bob.send(bob.request("REGISTER", "sip:example.com", to="sip:bob@example.com"), listener=1)
    world.workers[0].core.env.is_here = lambda listener: listener == 2
    caller.send(caller.request("INVITE", "sip:bob@example.com"), listener=0)
    assert world.sent[-1].to == ("192.0.2.2", 5090)
    assert world.sent[-1].listener == 1


def test_where_no_address_is_here_the_usual_one_is_tried(make_world: Make) -> None:
    world = registered_on_the_second(make_world)
    world.workers[0].core.env.is_here = lambda listener: False
    caller = world.agent("192.0.2.1")
    caller.send(caller.request("INVITE", "sip:bob@example.com"), listener=0)
    assert world.sent[-1].listener == 1


def test_a_listener_that_is_configured_no_more_counts_as_here() -> None:
    """Another sends in its place: what the kernel says of that concerns the peer."""
    kernel = Asked()
    assert OwnAddresses(listeners("192.0.2.1"), lambda: kernel.now, kernel.ask).has(1)
