"""A start with fewer addresses in listen.udp than before: what calls know of a missing one leads to one that stayed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from proxy_process import Siphond
from udp_agent import Agent, Message

SCRIPT = """
from siphon import proxy

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.relay() if request.loose_route() else request.reply(481)
    elif request.method == "OPTIONS":
        request.reply(200)
    else:
        request.record_route()
        targets = request.get_header("X-Targets").split(",")
        request.fork(targets, strategy="sequential", send_socket=request.get_header("X-Socket"))
"""
LEFT, GONE = "127.0.0.1", "127.0.0.2"


class Calls:
    """Calls that came in at the address that will be gone, and went out from there."""

    def __init__(self, proxy: Siphond, agent: Callable[..., Agent]) -> None:
        self.proxy = proxy
        self.gone, self.left = (GONE, proxy.port), (LEFT, proxy.port)
        self.agent = agent

    def phone(self, user: str) -> Agent:
        return self.agent(self.gone, user)

    def ringing(self, alice: Agent, bob: Agent, *more: Agent) -> tuple[bytes, Message]:
        """The INVITE as it was sent, and as it came, from where it is answered in future."""
        lines = [
            f"X-Targets: {','.join(phone.uri for phone in (bob, *more))}",
            f"X-Socket: udp:{GONE}:{self.proxy.port}",
        ]
        invite = alice.send(alice.request("INVITE", "sip:bob@example.com", extra=lines))
        offered = bob.expect("INVITE")
        assert offered.source == self.gone
        bob.respond(offered, 180, tag="b")
        assert alice.expect("180 INVITE").source == self.gone
        return invite, replace(offered, source=self.left)

    def shrink(self) -> None:
        """Everything is killed. The next siphond listens at one address only."""
        self.proxy.kill_all()
        text = self.proxy.configuration.read_text()
        shrunk = re.sub(rf', "{GONE}:\d+"', "", text)
        assert shrunk != text
        self.proxy.configuration.write_text(shrunk)
        self.proxy.start()


@pytest.fixture
def make(siphond: Callable[..., Siphond], agent: Callable[..., Agent]) -> Callable[..., Calls]:
    listen = f'"{LEFT}:{{port}}", "{GONE}:{{port}}"'
    return lambda **options: Calls(siphond(workers=2, listen=listen, script=SCRIPT, **options).start(), agent)


def test_calls_go_on_from_an_address_that_is_left(make: Callable[..., Calls]) -> None:
    calls = make()
    (alice, bob), (carol, dan), (erin, frank, grace) = (
        [calls.phone(user) for user in users.split()] for users in ("alice bob", "carol dan", "erin frank grace")
    )
    _, answered = calls.ringing(alice, bob)
    cancelled, dans = calls.ringing(carol, dan)
    _, franks = calls.ringing(erin, frank, grace)
    calls.shrink()

    bob.respond(answered, 200, tag="b")
    final = alice.expect("200 INVITE")
    assert final.source == calls.left

    carol.proxy = calls.left
    carol.cancel(cancelled)
    carol.expect("200 CANCEL")
    cancel = dan.expect("CANCEL")
    assert cancel.source == calls.left
    dan.respond(cancel, 200, tag="b")
    dan.respond(dans, 487, tag="b")
    assert carol.expect("487 INVITE").source == calls.left
    dan.expect("ACK")

    frank.respond(franks, 486, tag="b")
    frank.expect("ACK")
    offered = grace.expect("INVITE")
    assert offered.source == calls.left
    grace.respond(offered, 603, tag="g")
    final = erin.expect("603 INVITE")
    assert erin.expect("603 INVITE", but=[]).raw == final.raw, "timer G"
    assert calls.proxy.restarts() == 0
    assert calls.proxy.log().count(" listener.gone ") == 1


def test_a_call_that_is_up_is_ended_by_way_of_an_address_that_is_left(make: Callable[..., Calls]) -> None:
    """Its route set names what both addresses are known by."""
    calls = make(first=f'advertised_address = "{LEFT}"\n')
    alice, bob = calls.phone("alice"), calls.phone("bob")
    _, offered = calls.ringing(alice, bob)
    bob.respond(replace(offered, source=calls.gone), 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    calls.shrink()
    alice.proxy = calls.left
    alice.within(dialog, "BYE")
    bob.respond(bob.expect("BYE"), 200)
    alice.expect("200 BYE")
    assert calls.proxy.restarts() == 0
