"""What tests say of messages that come again: on a busy machine any of them may come once more than it has to."""

from __future__ import annotations

from udp_agent import Agent, Message


def only_repeats(phone: Agent) -> None:
    """All that lies in the phone's socket has come before."""
    known = {message.raw for message in phone.seen}
    assert [str(message) for message in phone.drain() if message.raw not in known] == []


def still(phone: Agent, seconds: float) -> None:
    """Nothing more comes; what came while the test itself was late was a repeat."""
    only_repeats(phone)
    phone.silence(seconds)


def acknowledged(caller: Agent, invite: bytes, final: Message, seconds: float = 2.5) -> None:
    """The ACK of a failure ends its repeats: at most one that was under way comes after it (SHARED-07)."""
    only_repeats(caller)
    caller.acknowledge(invite, final)
    ended(caller, final, seconds)


def ended(caller: Agent, message: Message, seconds: float = 2.5) -> None:
    """A message that was repeated comes at most once more."""
    came = []
    while (one := caller.receive(seconds)) is not None:
        came.append(one)
        assert one.raw == message.raw, str(one)
        assert len(came) <= 1, "its repeats go on"
