"""Wrong passwords of a source, and when they are too many (`security.failed_auth_ban`).

Only what came from its source is counted: credentials with a nonce that was sent to this very address (nonce.py). Who
forges a source address never sees the challenge, so nobody can get another one banned here.

Two counts, in one record a source, over a sliding window:

- each failure counts for its user at that source. `threshold` of them ban this user there: 403, whatever the password,
  for `ban_duration_secs`. Others behind the same address go on.
- for the source itself each of its users counts once, since one phone with an old password fails for ever: 1, or
  `strong_signal_weight` where nobody has that name, a *strong signal*. `threshold` of that ban the source. So does a
  user who is banned and tries another BEYOND * `threshold` times within the window: no phone does.

A success takes away what its user has counted, and nothing of others: or one account would be enough to guess the
passwords of all. Each failure is counted once for its transaction, though handlers may check it twice or run again.

    worker 1: failure 4, v7 -> v8              worker 2: failure 5 of another request
                                               reads v7, is refused, reads v8: threshold, bans
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import NamedTuple

from siphon.config.later import FailedAuthBan
from siphon.services.bans.bans import Bans
from siphon.services.bans.trusted import Trusted
from siphon.services.bans.units import unit_of
from siphon.services.limits.windows import EVICT, OWNER, Windows, make_room
from siphon.services.store import (
    CONFLICT_TRIES,
    FULL,
    RecordTable,
    StoreError,
    read,
    record_key,
    without_waiting,
)

MOST = 1024
"""Failures of a source that are remembered; the oldest go."""
BEYOND = 10
WEAK, STRONG = 1, 2
"""Of one failure: a user of ours with a wrong password, or a name that nobody has."""
SPENT = 4
"""Added to it once it has led to a ban of its user."""
_ENTRY = struct.Struct("<8s8sQB")
_VERSION = b"\x01"


class Failure(NamedTuple):
    """`at` in milliseconds of CLOCK_BOOTTIME."""

    user: bytes
    transaction: bytes
    at: int
    kind: int


Ban = Callable[[str, str, str, float], None]
"""(unit, user, reason, seconds)"""


class Failures:
    """The counts of this instance. `clock` is CLOCK_BOOTTIME; `ban` makes a ban and never fails."""

    def __init__(
        self,
        settings: FailedAuthBan,
        table: RecordTable,
        hash_key: bytes,
        windows: Windows,
        bans: Bans,
        ban: Ban,
        trusted: Trusted,
        clock: Callable[[], float],
        evict: int = EVICT,
    ) -> None:
        self._settings = settings
        self._table = table
        self._hash_key = hash_key
        self._windows = windows
        self._bans = bans
        self._ban = ban
        self._trusted = trusted
        self._clock = clock
        self._evict = evict

    def concerns(self, source: str) -> bool:
        """Whether anything is counted of this address."""
        return not self._trusted.has(source)

    def refuses(self, source: str, user: bytes, transaction: bytes) -> bool:
        """Whether this user is banned at this address. One that goes on and on takes the whole source along."""
        if not self._bans.holds_user(source, _text(user)):
            return False
        unit, s = unit_of(source), self._settings
        name = f"b {unit} {_short(user).hex()}"
        with suppress(StoreError):  # he is refused anyway
            if not self._windows.admit(name, s.window_secs, BEYOND * s.threshold, transaction, self._clock()):
                self._ban(unit, "", "goes on with a banned user", s.ban_duration_secs)
        return True

    def failed(self, source: str, user: bytes, is_nobody: bool, transaction: bytes) -> None:
        """A digest that was wrong, with a nonce that was sent to this address. A table that does not answer counts
        nothing."""
        with suppress(StoreError):
            self._count(unit_of(source), user, STRONG if is_nobody else WEAK, _short(transaction))

    def succeeded(self, source: str, user: bytes) -> None:
        """A digest that was right: what this user has counted is forgotten."""
        key, name = self._key(unit_of(source)), _short(user)
        with suppress(StoreError):
            for _ in range(CONFLICT_TRIES):
                found = read(self._table, key)
                if found is None:
                    return
                kept = _unpack(found[1])
                rest = [failure for failure in kept if failure.user != name]
                if len(rest) == len(kept) or self._commit(key, found[0], rest):
                    return

    def _count(self, unit: str, user: bytes, kind: int, transaction: bytes) -> None:
        key, name, s = self._key(unit), _short(user), self._settings
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, key)
            now = self._clock()
            kept = [] if found is None else _unpack(found[1])
            kept = [failure for failure in kept if now * 1000 - failure.at < s.window_secs * 1000]
            if any(failure.user == name and failure.transaction == transaction for failure in kept):
                return
            kept = [*kept, Failure(name, transaction, int(now * 1000), kind)][-MOST:]
            of_user = sum(failure.user == name and failure.kind < SPENT for failure in kept)
            whole = self._points(kept) >= s.threshold
            single = not whole and of_user >= s.threshold
            if whole:
                kept = []
            elif single:
                kept = [f._replace(kind=f.kind | SPENT) if f.user == name else f for f in kept]
            if self._commit(key, 0 if found is None else found[0], kept):
                break
        else:
            raise StoreError("a source's failures kept changing")
        if whole:
            self._ban(unit, "", "failed logins", s.ban_duration_secs)
        elif single:
            self._ban(unit, _text(user), "failed logins", s.ban_duration_secs)

    def _points(self, kept: list[Failure]) -> int:
        """What counts for the source: each user once."""
        users = {failure.user for failure in kept}
        nobodies = {failure.user for failure in kept if failure.kind & STRONG}
        return len(users) + len(nobodies) * (self._settings.strong_signal_weight - 1)

    def _key(self, unit: str) -> bytes:
        return record_key(self._hash_key, b"a", unit.encode())

    def _commit(self, key: bytes, version: int, kept: list[Failure]) -> bool:
        now = self._clock()
        if not kept:
            return not version or self._table.delete(key, version) > 0
        value = _VERSION + b"".join(_ENTRY.pack(*failure) for failure in kept)
        expiry = now + self._settings.window_secs

        def commit() -> int:
            return self._table.commit(key, version, value, owner=OWNER, next_deadline=now, expiry=expiry)

        answer = without_waiting(commit)
        if answer == FULL:
            make_room(self._table, now, self._evict)
            answer = without_waiting(commit)
            if answer == FULL:
                raise StoreError("the table of limits is full (shared.max_transactions)")
        return int(answer) > 0


def _unpack(value: bytes) -> list[Failure]:
    """What a record holds; one that is not readable is empty."""
    if value[:1] != _VERSION or (len(value) - 1) % _ENTRY.size:
        return []
    return [Failure(*fields) for fields in _ENTRY.iter_unpack(value[1:])]


def _short(name: bytes) -> bytes:
    return blake2b(name, digest_size=8).digest()


def _text(user: bytes) -> str:
    return user[:255].decode("utf-8", "surrogateescape")
