"""The helper process `defence`: bans to and from elsewhere. It reads no socket and runs no script.

- to other nodes and from them, where transactions or location are in Redis (services/bans/exchange.py)
- from apiban.org (`security.apiban`)
- to nftables (`security.firewall`), so that the kernel drops what is banned

Each goes on by itself and begins anew after a fault, which is one line in the log every COMPLAIN_SECS. The table of
bans is the truth: a helper that is killed owes nothing to anybody, the next one compares and goes on.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from siphon.config.later import Firewall
from siphon.config.redis_url import RedisUrl, parse_redis_url
from siphon.config.settings import Settings
from siphon.engine.keys import Keys
from siphon.engine.location_store import node_name
from siphon.engine.quiet_helper import QuietHelper
from siphon.services.bans import Ban, Bans, Trusted, nft
from siphon.services.bans.apiban import BODY_BYTES, batch
from siphon.services.bans.exchange import Exchange
from siphon.services.store import StoreError
from siphon.state.redis.link import Link
from siphon.state.redis.names import Names
from siphon.state.redis.script import Answer, Script
from workers.net import boottime

NAME = "defence"
LOOK_SECS = 1.0
SETUP_SECS = 60.0
"""How often the firewall is set up anew, whatever somebody has done to it."""
COMPLAIN_SECS = 60.0
NFT_SECS = 10.0
ANSWER_SECS = 20.0
PAGES = 1000


def store_of_bans(settings: Settings) -> tuple[RedisUrl, str] | None:
    """The Redis over which nodes share bans, and the first part of its keys."""
    if settings.shared.transactions != "shm":
        return parse_redis_url(settings.shared.transactions), "siphon:"
    store = settings.location_store
    return None if store is None else (store.url, store.key_prefix)


def wants_defence(settings: Settings) -> bool:
    """Whether there is anything to do."""
    security = settings.security
    return bool(security.apiban or security.firewall or store_of_bans(settings))


class Defence(QuietHelper):
    """The Application of the helper."""

    tasks: Sequence[asyncio.Task[None]] = ()
    link: Link | None = None
    apiban_at = ""

    def begin(self) -> None:
        """See QuietHelper.begin."""
        self.log.process = NAME
        table = Keys(self.shared.secret, []).table
        self.bans = Bans(self.shared.bans, table, time.time, self.shared.evict_bans)
        self.work()

    def configure(self, settings: Settings) -> None:
        """See QuietHelper.configure."""
        before = self.settings.security.firewall
        super().configure(settings)
        for task in self.tasks:
            task.cancel()
        if before is not None and before != settings.security.firewall:
            self.take_back(before)
        self.work()

    def stopping(self) -> None:
        """What nobody would keep up to date any more does not stay."""
        if self.settings.security.firewall is not None:
            self.take_back(self.settings.security.firewall)

    # -- its work

    def work(self) -> None:
        """Start what these settings ask for."""
        loop = self.context.aio.loop
        security = self.settings.security
        self.trusted = Trusted(security.trusted_cidrs)
        self.in_firewall: dict[str, float] = {}
        self.next_setup = 0.0
        work: list[tuple[str, Callable[[], Awaitable[None]], float]] = []
        if (store := store_of_bans(self.settings)) is not None:
            work.append(("bans.not_shared", self.exchange(*store).turn, LOOK_SECS))
        if security.apiban is not None:
            work.append(("apiban.failed", self.fetch, security.apiban.interval_secs))
        if security.firewall is not None:
            work.append(("firewall.failed", self.fill_firewall, LOOK_SECS))
        self.tasks = [loop.create_task(self.repeat(*one)) for one in work]

    async def repeat(self, event: str, turn: Callable[[], Awaitable[None]], every: float) -> None:
        """One kind of work for ever."""
        told = -COMPLAIN_SECS
        while True:
            try:
                await turn()
            except Exception as error:  # whatever it is, the next turn may go well
                if boottime() - told >= COMPLAIN_SECS:
                    told = boottime()
                    self.log.warn(event, reason=f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(every)

    def exchange(self, url: RedisUrl, prefix: str) -> Exchange:
        """With the nodes on this Redis."""
        if self.link is None:
            timeout = self.settings.shared.timeout_ms / 1000
            self.link = Link(self.context.aio.loop, boottime, url, timeout, self.note_link)
            self.link.start()
        link = self.link

        async def ask(script: Script, keys: Iterable[bytes], args: Iterable[object]) -> Answer:
            return await link.ask(script, 0, keys, args)

        key = Names(prefix).key(0, b"bans")
        node = node_name(self.settings).decode()
        return Exchange(self.bans, node, key, ask, time.time)

    def note_link(self, level: str, event: str, **fields: object) -> None:
        """That Redis is away is told by the process that mirrors it, once an instance; `bans.not_shared` says what of
        it matters here."""
        self.log.debug(event, **fields)

    # -- apiban

    async def fetch(self) -> None:
        """What is new on the list."""
        import aiohttp

        apiban = self.settings.security.apiban
        assert apiban is not None
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECS)
        new = 0
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for _ in range(PAGES):
                url = f"{apiban.url.rstrip('/')}/{apiban.api_key}/banned"
                if self.apiban_at:
                    url += f"/{self.apiban_at}"
                try:
                    async with session.get(url, allow_redirects=False) as answer:
                        body = await answer.content.read(BODY_BYTES)
                        while not answer.content.at_eof() and len(body) < BODY_BYTES:
                            body += await answer.content.read(BODY_BYTES - len(body))
                        found = batch(answer.status, body)
                except aiohttp.ClientError as error:  # its text may hold the URL, and with it the key
                    raise ConnectionError(type(error).__name__) from None
                new += self.ban_all(found.units, apiban.ban_ttl_secs)
                if not found.id or found.id == self.apiban_at:
                    break
                self.apiban_at = found.id
        if new:
            self.log.info("apiban", banned=new)

    def ban_all(self, units: Sequence[str], seconds: float) -> int:
        """How many were not banned yet."""
        now, new = time.time(), 0
        for unit in units:
            if not self.is_trusted(unit):
                new += self.bans.add(Ban(unit, "", "apiban", now, now + seconds))
        return new

    def is_trusted(self, unit: str) -> bool:
        """Whether its addresses are exempt; of a /64 its first one tells."""
        return self.trusted.has(unit.partition("/")[0])

    # -- nftables

    async def fill_firewall(self) -> None:
        """Make its sets equal to the bans of whole sources."""
        firewall = self.settings.security.firewall
        assert firewall is not None
        now, text = boottime(), ""
        if now >= self.next_setup:
            text = nft.setup(firewall, [address.port for address in self.settings.listen.udp])
            self.in_firewall = {}
        wall = time.time()
        wanted = {ban.source: ban.until for ban in self.bans.list() if not ban.user and not self.is_trusted(ban.source)}
        there = {unit: until for unit, until in self.in_firewall.items() if until > wall + 1.0}
        changed = {unit for unit in there.keys() & wanted.keys() if there[unit] != wanted[unit]}
        gone = (there.keys() - wanted.keys()) | changed
        new = {unit: wanted[unit] - wall for unit in (wanted.keys() - there.keys()) | changed}
        text += nft.changes(firewall, gone, new)
        if not text:
            return
        following = now + SETUP_SECS if now >= self.next_setup else self.next_setup
        self.next_setup = 0.0  # after a failure all of it is done again
        await asyncio.to_thread(run_nft, text)
        self.next_setup = following
        self.in_firewall = wanted

    def take_back(self, firewall: Firewall) -> None:
        """At the end, or when it is another one now. Blocks for a moment."""
        try:
            run_nft(nft.teardown(firewall), seconds=2.0)
        except (OSError, StoreError) as error:
            self.log.warn("firewall.left", reason=str(error)[:300])


def run_nft(text: str, seconds: float = NFT_SECS) -> None:
    """All of it, or nothing: a file of nft is a transaction. OSError, or StoreError with what nft said."""
    try:
        done = subprocess.run(
            ["nft", "-f", "-"], input=text, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise StoreError(f"nft did not end within {seconds:.0f} s") from None
    if done.returncode:
        raise StoreError(f"nft: {(done.stderr.strip().splitlines() or [f'status {done.returncode}'])[0]}")
