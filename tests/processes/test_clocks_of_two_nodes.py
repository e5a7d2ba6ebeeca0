"""Two nodes whose wall clocks differ by half a minute, on one Redis with bindings and transactions (SHARED-34)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from nodes import Pair, make_pair, register_at, respond_to
from proxy_process import Siphond, until
from redis_servers import Server, redis_server
from test_clock_process import SteppedClock, library
from udp_agent import Agent, credentials, unique

__all__ = ["library", "redis_server"]

PROCESSES = 3
"""Of a node that join it: two workers and the helper."""


@pytest.mark.parametrize("ahead", [-30, 30])
def test_shared_34_nodes_half_a_minute_apart_share_bindings_nonces_and_calls(
    redis_server: Server,
    siphond: Callable[..., Siphond],
    agent: Callable[..., Agent],
    library: Path,
    tmp_path: Path,
    ahead: int,
) -> None:
    """Node a is ahead of b, or behind: no binding ends early, no nonce is refused, nobody takes over from the other."""
    clock = SteppedClock(tmp_path / "step")
    clock.set(ahead)
    url = f"redis://127.0.0.1:{redis_server.port}"
    more = f'\n[registrar]\nbackend = "redis"\nmin_expires = 1\n\n[registrar.redis]\nurl = "{url}"\n'
    shifted = {"LD_PRELOAD": str(library), "CLOCK_STEP": str(clock.path)}
    pair = make_pair(siphond, agent, url, more=more, a_environment=shifted)
    until(lambda: _joined(pair) == [PROCESSES] * 2, 30, "the joining of all processes, helpers too")
    alice, bob = agent(pair.b, "alice"), agent(pair.a, "bob")

    register = partial(register_at, alice, unique("reg-"))
    challenge = register(1, pair.a)["www-authenticate"]
    given = credentials(challenge, "alice", "secret", "REGISTER", "sip:example.com")
    assert register(2, pair.b, f"Authorization: {given}").status == 200
    assert register(3, pair.a, f"Authorization: {given}").status == 401, "its count has been seen"

    carol = agent(pair.a, "carol")
    assert carol.register(expires=12).status == 200
    for node in (pair.a, pair.b):
        carol.proxy = node.address
        assert carol.bindings(), "none ends early"
    until(lambda: not carol.bindings(), 40, "its end")

    assert bob.register().status == 200
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    called = bob.expect("INVITE")
    assert called.source == pair.b.address
    respond_to(bob, called, pair.a.address, 180)
    alice.expect("180 INVITE")
    respond_to(bob, called, pair.b.address, 200)
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    alice.within(dialog, "BYE")
    respond_to(bob, bob.expect("BYE"), pair.a.address, 200)
    alice.expect("200 BYE")
    assert _joined(pair) == [PROCESSES] * 2
    assert pair.a.restarts() == pair.b.restarts() == 0


def _joined(pair: Pair) -> list[int]:
    """How often processes of a and of b have joined."""
    return [node.log().count("node.joined") for node in (pair.a, pair.b)]
