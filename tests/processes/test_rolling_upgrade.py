"""Two nodes on one Redis are upgraded one after the other, while calls ring and phones register."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from free_ports import free_port
from lineage import Lineage
from nodes import FIRST, LIMIT_MS, SCRIPT, invite_of, limit, respond_to
from proxy_process import until
from redis_servers import Server, redis_server
from udp_agent import Agent

__all__ = ["redis_server"]


@pytest.fixture
def nodes(redis_server: Server, lineage: Callable[..., Lineage]) -> list[Lineage]:
    """Both known as 127.0.0.1, with bindings and transactions in one Redis."""
    port, url = free_port(), f"redis://127.0.0.1:{redis_server.port}"
    more = f'\n[registrar]\nbackend = "redis"\n\n[registrar.redis]\nurl = "{url}"\n'
    made = []
    for ip in ("127.0.0.2", "127.0.0.3"):
        options: dict[str, Any] = {"port": port, "ip": ip, "listen": f'"{ip}:{port}"'}
        one = lineage(workers=2, first=FIRST, more=more, store=url, script=SCRIPT, **options)
        limit(one.proxy, LIMIT_MS)
        made.append(one.start())
    return made


def is_ready(node: Lineage) -> bool:
    return node.proxy.control("ready").returncode == 0


def test_a_rolling_upgrade_loses_no_call_and_no_binding(nodes: list[Lineage], agent: Callable[..., Agent]) -> None:
    for at in (0, 1):
        upgraded, other = nodes[at], nodes[1 - at]
        alice, bob = agent(upgraded.proxy, "alice"), agent(upgraded.proxy, f"phone{at}")
        assert bob.register_openly().status == 200
        invite_of(alice, bob)
        called = bob.expect("INVITE")
        respond_to(bob, called, upgraded.proxy.address, 180)
        alice.expect("180 INVITE")
        upgraded.upgrade()
        until(partial(is_ready, upgraded), 60, "a node that is ready")
        respond_to(bob, called, other.proxy.address, 200)
        dialog = alice.dialog(alice.expect("200 INVITE", but=("100 INVITE", "180 INVITE")))
        alice.within(dialog, "ACK")
        bob.expect("ACK", but=("INVITE",))
        alice.within(dialog, "BYE")
        respond_to(bob, bob.expect("BYE"), upgraded.proxy.address, 200)
        alice.expect("200 BYE")
    for node in nodes:
        for at in (0, 1):
            asker = agent(node.proxy, f"phone{at}")
            asked = asker.request("REGISTER", "sip:example.com", remote=f"<sip:phone{at}@example.com>")
            asker.send(asked, to=node.proxy.address)
            assert asker.answer_to("1 REGISTER")["contact"]
