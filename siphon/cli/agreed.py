"""At start, before there are workers: what the nodes of a Redis have agreed on.

Asked in a process of its own, so that no thread, connection or loop is left behind in the supervisor. A Redis that is
away costs AGREE_SECS; the instance then starts all the same, and is not ready.
"""

from __future__ import annotations

import asyncio

from siphon.cli.exits import Exit, Refusal
from siphon.cli.scratch import run
from siphon.config.settings import Settings
from siphon.config.stores import RedisStore
from siphon.state.redis.agreement import AnotherLayout, NotAgreed, agree
from siphon.state.redis.link import Link
from siphon.state.redis.names import Names
from workers.net import boottime

AGREE_SECS = 2.0
_SECRET, _LAYOUT = b"s", b"l"
OF_TWO_GROUPS = (
    "shared.location and shared.transactions: the two Redis hold different secrets, so they serve two groups of nodes; "
    "all nodes of a group name the same two: give this one the other Redis, or another database"
)


def common_secret(settings: Settings, own: bytes) -> bytes:
    """The secret to begin with: that of all nodes of a Redis where bindings are kept, else `own`.

    Where transactions lie in a Redis as well, that one is asked first, and its secret is offered to the other: both
    must have the same. Two that differ are those of two groups of nodes, whose nonces would be mixed: Refusal.
    """
    location, transactions = settings.location_store, settings.transaction_store
    if location is None:
        return own
    timeout = settings.shared.timeout_ms / 1000
    first = b"" if transactions is None else agreed_secret("shared.transactions", transactions, own, timeout)
    agreed = agreed_secret("shared.location", location, first or own, timeout)
    if first and agreed and first != agreed:
        raise Refusal(Exit.CONFIGURATION, OF_TWO_GROUPS)
    return agreed or own


def agreed_secret(name: str, store: RedisStore, own: bytes, timeout: float) -> bytes:
    """The secret of all nodes, b"" where Redis did not answer. Refusal where nodes of another version work on it;
    `name` is the setting that names it."""
    answer, _ = run(lambda: asyncio.run(_ask(store, own, timeout)), AGREE_SECS + 3.0)
    if answer[:1] == _LAYOUT:
        raise Refusal(Exit.CONFIGURATION, f"{name}: {answer[1:].decode()}")
    return answer[1:]


async def _ask(store: RedisStore, own: bytes, timeout: float) -> bytes:
    names = Names(store.key_prefix)
    link = Link(asyncio.get_running_loop(), boottime, store.url, timeout, lambda *_, **__: None)
    link.start()
    try:
        async with asyncio.timeout(AGREE_SECS):
            while True:
                try:
                    return _SECRET + (await agree(link, names, own)).secret
                except NotAgreed:
                    await asyncio.sleep(0.02)
    except AnotherLayout as error:
        return _LAYOUT + str(error).encode()
    except TimeoutError:
        return b""
    finally:
        await link.close()
