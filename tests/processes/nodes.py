"""Two nodes on one Redis that peers know by one address; what peers send goes to either, as it would be routed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from free_ports import free_port
from proxy_process import Siphond
from udp_agent import Address, Agent, Message

SCRIPT = Path(__file__).with_name("wire_script.py")
FIRST = 'advertised_address = "127.0.0.1"\n'
FAST = "\n[transaction]\nt1 = 0.25\nt2 = 2.0\nt4 = 2.0\n"
"""A silent phone is given up after 16 s: a take-over, 3 to 4 s after a death, is in time for it on a busy machine."""


LIMIT_MS = 1500
"""Of one call on Redis. The default, 250, is reached on a busy machine without any fault."""


@dataclass
class Pair:
    """Nodes a and b, each at an address of its own and both known as 127.0.0.1."""

    a: Siphond
    b: Siphond
    agent: Callable[..., Agent]

    def phones(self) -> tuple[Agent, Agent]:
        """Caller and callee; the caller sends to a until the test says otherwise."""
        return self.agent(self.a, "alice"), self.agent(self.a, "bob")

    def ringing(self) -> tuple[Agent, Agent, bytes, Message]:
        """A call that entered at a, and whose 180 went back through b."""
        alice, bob = self.phones()
        invite = invite_of(alice, bob)
        called = bob.expect("INVITE")
        assert called.source == self.a.address
        respond_to(bob, called, self.b.address, 180)
        ringing = alice.expect("180 INVITE")
        assert ringing.source == self.b.address
        return alice, bob, invite, called


def make_pair(
    siphond: Any,
    agent: Any,
    store: str,
    more: str = "",
    a_store: str = "",
    a_script: Path | str = SCRIPT,
    a_environment: dict[str, str] | None = None,
) -> Pair:
    """Both run. `a_store` and `a_script` are those of a where it has others; `a_environment` is added to its own."""
    port = free_port()

    def node(ip: str, environment: dict[str, str] | None = None, **options: Any) -> Siphond:
        made: Siphond = siphond(workers=2, first=FIRST, more=more, port=port, ip=ip, listen=f'"{ip}:{port}"', **options)
        limit(made, LIMIT_MS)
        made.environment.update(environment or {})
        return made.start()

    a = node("127.0.0.2", a_environment, store=a_store or store, script=a_script)
    return Pair(a, node("127.0.0.3", store=store, script=SCRIPT), agent)


def limit(node: Siphond, milliseconds: int) -> None:
    """How long one call on Redis may take, from its next start."""
    text = node.configuration.read_text()
    node.configuration.write_text(text.replace("[shared]\n", f"[shared]\ntimeout_ms = {milliseconds}\n"))


def invite_of(alice: Agent, bob: Agent, *extra: str) -> bytes:
    """Alice calls bob's address."""
    targets = [f"X-Targets: {bob.uri}", *extra]
    return alice.send(alice.request("INVITE", "sip:bob@example.com", extra=targets))


def register_at(agent: Agent, call_id: str, cseq: int, node: Siphond, *extra: str) -> Message:
    """The answer of a node to a REGISTER of the agent's own address."""
    to = f"<sip:{agent.user}@example.com>"
    lines = [f"Contact: {agent.contact}", "Expires: 600", *extra]
    asked = agent.request(
        "REGISTER", "sip:example.com", cseq=cseq, call_id=call_id, local=f"{to};tag=1", remote=to, extra=lines
    )
    agent.send(asked, to=node.address)
    return agent.answer_to(f"{cseq} REGISTER")


def ask(agent: Agent, node: Siphond, status: int) -> Message | None:
    """The answer to an OPTIONS if it has that status."""
    agent.send(agent.request("OPTIONS", "sip:example.com"), to=node.address)
    answer = agent.receive(0.2)
    return answer if answer is not None and answer.is_a(f"{status} OPTIONS") else None


def came_from(agent: Agent, node: Siphond) -> Callable[[], bool]:
    """Whether the next message is one of that node."""
    return lambda: (message := agent.receive(0.1)) is not None and message.source == node.address


def respond_to(agent: Agent, request: Message, node: Address, status: int) -> None:
    """A response by way of a node that need not be the one that sent the request."""
    agent.respond(Message(request.start, request.headers, request.body, request.raw, node), status, tag="callee")


def answered(alice: Agent, bob: Agent, called: Message, node: Siphond) -> Message | None:
    """The 200 if it has passed: a worker that does not yet know that Redis is back loses it."""
    respond_to(bob, called, node.address, 200)
    answer = alice.receive(0.5)
    return answer if answer is not None and answer.is_a("200 INVITE") else None


def down_lines(node: Siphond) -> list[str]:
    """What the first worker says of a Redis that is away."""
    return [line for line in node.log().splitlines() if " w1 " in line and "redis.down" in line]
