"""At start, before there are workers: what the nodes of a Redis have agreed on.

Asked in a process of its own, so that no thread, connection or loop is left behind in the supervisor. A Redis that is
away costs AGREE_SECS; the instance then starts all the same, and is not ready.
"""

from __future__ import annotations

import asyncio

from siphon.cli.exits import Exit, Refusal
from siphon.cli.scratch import run
from siphon.config.stores import RedisStore
from siphon.state.redis.agreement import AnotherLayout, NotAgreed, agree
from siphon.state.redis.link import Link
from siphon.state.redis.names import Names
from workers.net import boottime

AGREE_SECS = 2.0
_SECRET, _LAYOUT = b"s", b"l"


def agreed_secret(store: RedisStore, own: bytes, timeout: float) -> bytes:
    """The secret of all nodes, b"" where Redis did not answer. Refusal where nodes of another version work on it."""
    answer, _ = run(lambda: asyncio.run(_ask(store, own, timeout)), AGREE_SECS + 3.0)
    if answer[:1] == _LAYOUT:
        raise Refusal(Exit.CONFIGURATION, f"shared.location: {answer[1:].decode()}")
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
