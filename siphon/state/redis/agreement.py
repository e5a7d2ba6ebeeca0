"""What all nodes on one store must agree on: the layout of what is stored, and the secret.

Both are set once, by the first node, and read by all. A node whose layout is another must not touch the store: it says
so and stays away. The secret is what keys of hashes, nonces and signed routes are derived from (script API 12.1); a
node offers its own, so that an instance that moves to Redis keeps what it has given out.

Both lie in partition 0. A store that came back empty gets them from whichever node asks first.
"""

from __future__ import annotations

from typing import NamedTuple

from siphon.state.redis.link import Link
from siphon.state.redis.names import LAYOUT, Names
from siphon.state.redis.script import Lost, Refused, Script

SECRET_BYTES = 32

AGREE = Script(
    "agree",
    """
    redis.call('SETNX', KEYS[1], ARGV[1])
    local layout = redis.call('GET', KEYS[1])
    if layout ~= ARGV[1] then return {layout, ''} end
    redis.call('SETNX', KEYS[2], ARGV[2])
    return {layout, redis.call('GET', KEYS[2])}
    """,
)


class AnotherLayout(Exception):
    """Nodes of another version work on these keys."""

    def __init__(self, theirs: str, prefix: str) -> None:
        super().__init__(
            f"the state under {prefix!r} in Redis has layout {theirs}, this siphond has layout {LAYOUT}: "
            "update all nodes, or give this one another database or key_prefix"
        )


class NotAgreed(Exception):
    """The store did not say."""


class Agreed(NamedTuple):
    """`secret` is what all nodes use."""

    secret: bytes


async def agree(link: Link, names: Names, secret: bytes) -> Agreed:
    """Offer ours, take what is there. AnotherLayout, NotAgreed."""
    keys = names.key(0, b"layout"), names.key(0, b"secret")
    answer = await link.ask(AGREE, 0, keys, (str(LAYOUT).encode(), secret))
    if isinstance(answer, Refused | Lost):
        raise NotAgreed(answer.why)
    layout, kept = answer.value
    if layout != str(LAYOUT).encode():
        raise AnotherLayout(layout.decode("utf-8", "replace")[:40], names.prefix)
    if len(kept) < SECRET_BYTES:
        raise NotAgreed("the secret in Redis is damaged: remove its key to get a new one")
    return Agreed(kept)
