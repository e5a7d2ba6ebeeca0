"""Who is dropped unread: banned sources, those above security.rate_limit, and scanners by their User-Agent (API 16.1).

It stands before the parser and before transactions, in every process that reads sockets. While nobody has been banned
and no limit is set it costs one look at a flag a batch. A ban is a look at a header of shared memory, 0.1 to 0.6 us; a
limit is a compare-and-swap a request, because all workers count together. Networks of `security.trusted_cidrs` are
exempt from all of it.

A source address of UDP can be forged. Nothing here can tell: who floods under the address of an innocent one gets that
one limited while the flood lasts, and banned for `ban_duration_secs` unless that is 0 (docs/security.md).
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.config.settings import Settings
from siphon.engine.counters import Counter
from siphon.engine.reports import Count
from siphon.services.bans import Ban, Bans, Failures, Trusted, unit_of
from siphon.services.limits import Windows
from siphon.services.limits.windows import EVICT
from siphon.services.store import RecordTable, StoreError
from siphon.sip.message import SipMessage

KEEPALIVE = 4
"""Datagrams of so many bytes at most are no requests: CRLF, or what a NAT wants to see (RFC 5626 §4.4.1)."""
WINDOW = "d "
"""Sets the windows of datagrams apart from those of scripts."""

Tell = Callable[..., None]
"""(event, **facts): a line in the log."""


class Guard:
    """Of one process. `armed`: `drops` has to be asked; `screens`: `is_scanner` has to be."""

    def __init__(
        self,
        settings: Settings,
        bans: Bans,
        windows: Windows,
        wall: Callable[[], float],
        clock: Callable[[], float],
        count: Count,
        tell: Tell,
    ) -> None:
        self.bans = bans
        self._windows = windows
        self._wall = wall
        self._clock = clock
        self._count = count
        self._tell = tell
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Settings have changed."""
        security = settings.security
        self.trusted = Trusted(security.trusted_cidrs)
        self._limit = security.rate_limit
        self._failed_auth = security.failed_auth_ban
        self._parts = tuple(
            part.lower().encode("utf-8", "surrogateescape") for part in security.scanner_block.user_agents
        )
        self.screens = bool(self._parts)
        self.armed = self._limit is not None or self.bans.any_yet

    def look(self) -> None:
        """Before each batch: another process may have made the first ban."""
        if not self.armed:
            self.armed = self.bans.any_yet

    def drops(self, data: bytes, source: str) -> bool:
        """Whether a datagram is not to be read; then it has been counted."""
        if self.bans.holds(source) and not self.trusted.has(source):
            self._count(Counter.BANNED)
            return True
        if self._limit is None or len(data) <= KEEPALIVE or data[:4] == b"SIP/" or self.trusted.has(source):
            return False
        return not self._is_within_limit(source)

    def is_scanner(self, message: SipMessage, source: str) -> bool:
        """Whether a request says that it comes from a scanner; then it has been counted."""
        for line in message.all_lines("User-Agent"):
            agent = line.lower()
            if any(part in agent for part in self._parts) and not self.trusted.has(source):
                self._count(Counter.SCANNER_BLOCKED)
                return True
        return False

    def _is_within_limit(self, source: str) -> bool:
        limit = self._limit
        assert limit is not None
        unit = unit_of(source)
        try:
            if self._windows.admit(WINDOW + unit, limit.window_secs, limit.max_requests, b"", self._clock()):
                return True
        except StoreError:
            return True  # a table that does not answer limits nobody
        self._count(Counter.RATE_LIMITED)
        if limit.ban_duration_secs > 0:
            self.ban(unit, "", "rate limit", limit.ban_duration_secs)
        return False

    def failures(self, table: RecordTable, hash_key: bytes, evict: int = EVICT) -> Failures | None:
        """What counts wrong passwords, by these settings; None where they say that nothing does."""
        if self._failed_auth is None:
            return None
        return Failures(
            self._failed_auth,
            table,
            hash_key,
            self._windows,
            self.bans,
            self.ban,
            self.trusted,
            self._clock,
            evict,
        )

    def ban(self, unit: str, user: str, reason: str, seconds: float) -> None:
        """Ban a source, or one user of it, from now on. A table that does not take it bans nobody."""
        if seconds <= 0:
            return
        wall = self._wall()
        try:
            new = self.bans.add(Ban(unit, user, reason, wall, wall + seconds))
        except StoreError as error:
            self._tell("ban.not_kept", source=unit, error=str(error))
            return
        self.armed = True
        if new:
            self._count(Counter.BANS)
            self._tell("banned", source=unit, user=user or "-", reason=reason, seconds=seconds)
