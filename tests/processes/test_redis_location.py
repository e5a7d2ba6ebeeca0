"""Bindings in Redis, on real processes: nodes that share them, and what becomes of calls and REGISTERs without it."""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy_process import Siphond
from redis_nodes import on_redis
from redis_servers import Server, redis_server
from udp_agent import Agent, Message, address_in, unique

__all__ = ["redis_server"]

Nodes = Callable[..., Siphond]
Agents = Callable[..., Agent]


def url_of(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


def register(agent: Agent, *, expires: int = 600, contact: str = "", cseq: int = 1, call_id: str = "") -> Message:
    """One REGISTER and its final answer."""
    to = f"<sip:{agent.user}@example.com>"
    extra = [f"Contact: {contact or agent.contact}", f"Expires: {expires}"]
    call = call_id or unique("reg-")
    agent.send(
        agent.request(
            "REGISTER", "sip:example.com", cseq=cseq, call_id=call, remote=to, local=f"{to};tag=1", extra=extra
        )
    )
    return agent.answer_to(f"{cseq} REGISTER")


def fetched(agent: Agent) -> list[str]:
    """What a REGISTER without contacts is told."""
    to = f"<sip:{agent.user}@example.com>"
    agent.send(agent.request("REGISTER", "sip:example.com", remote=to, local=f"{to};tag=1"))
    answer = agent.answer_to("1 REGISTER")
    assert answer.status == 200, answer
    return [address_in(value) for value in answer.all("contact")]


def called(caller: Agent, callee: Agent, within: float = 5.0) -> str:
    """The outcome of an INVITE: "reached" or the status of the refusal."""
    invite = caller.send(caller.request("INVITE", f"sip:{callee.user}@example.com"))
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        for message in callee.drain():
            if message.is_a("INVITE"):
                callee.respond(message, 486, "Busy Here", tag="t")
                caller.acknowledge(invite, caller.answer_to("1 INVITE"))
                return "reached"
        answer = caller.receive(0.005)
        if answer is not None and answer.status >= 300:
            caller.acknowledge(invite, answer)
            return str(answer.status)
    raise AssertionError("nothing came of the INVITE")


def test_shared_10_31_a_binding_is_seen_on_the_same_node_at_once_and_on_the_other_within_50_ms(
    siphond: Nodes, agent: Agents, redis_server: Server
) -> None:
    a, b = (on_redis(siphond, url_of(redis_server)).start() for _ in range(2))
    callers = agent(a, "caller"), agent(b, "caller")
    for number in range(20):
        bob = agent(a, f"bob{number}")
        assert register(bob).status == 200
        assert called(callers[number % 2], bob) == "reached"
        assert fetched(agent(b, bob.user)) == [bob.uri]
    bob = agent(b, "bob0")
    assert register(bob, expires=0, contact="*").status == 200
    assert called(callers[0], bob) == "404"
