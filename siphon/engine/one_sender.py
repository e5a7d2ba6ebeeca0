"""What one process of an instance sends in the name of all: the one with the lease (siphon/services/lease.py).

Keepalives and probes of gateways are made of it. While it is `wanted` it looks each RENEW_SECS whether the lease is or
can be its own; as long as it is, `go_on` sends what is due, and the ends of what was sent are taken up. Nothing is sent
while the instance drains. Who derives from it sets `wanted` and makes `probes`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

from siphon.engine._soon import Soon
from siphon.engine.probes import Probes
from siphon.services.lease import RENEW_SECS, Lease

SETTLED = 50
"""Answers and silences taken up in one turn."""
SHARE = 8
"""An eighth of `shared.max_transactions` may be on its way."""

Asked = TypeVar("Asked")


class OneSender(Soon, Generic[Asked]):
    """Of one process."""

    probes: Probes[Asked]

    def __init__(self, lease: Lease, draining: Callable[[], bool]) -> None:
        self.wanted = False
        """Whether there is anything to send, by the settings."""
        self.next_at = inf
        self._lease = lease
        self._draining = draining
        self._check_at = 0.0

    def go_on(self, now: float) -> float:
        """Send what is due; when more will be."""
        raise NotImplementedError

    def begins(self) -> None:
        """The lease is ours from now on."""

    def renewed(self, now: float) -> None:
        """The lease has been taken or renewed."""

    def forget(self) -> None:
        """The lease is somebody else's, or nothing may be sent."""

    def hint(self, key: bytes) -> None:
        """A request of ours may have ended."""
        self.probes.hint(key)
        if self.wanted:
            self.next_at = min(self.next_at, self.probes.next_at())

    def look(self) -> None:
        """The sender may have died: see at once."""
        if self.wanted:
            self._check_at = self.next_at = 0.0

    def tick(self, now: float) -> None:
        """Do what is due; `next_at` says when to call again."""
        if not self.wanted:
            return
        if now >= self._check_at or self._draining():
            self._check_at = now + RENEW_SECS
            self._check(now)
        if not self._lease.is_held:
            self.next_at = self._check_at
            return
        self.probes.settle(now, SETTLED)
        due = self.go_on(now)
        self.next_at = min(self._check_at, due, self.probes.next_at())

    def _check(self, now: float) -> None:
        if self._draining():
            self._stop()
            return
        held = self._lease.is_held
        if not self._lease.hold(now):
            if held:
                self._stop()
            return
        if not held:
            self.begins()
        self.renewed(now)

    def rest(self) -> None:
        """Nothing is wanted: send no more, forget everything."""
        self._stop()
        self.next_at = inf

    def _stop(self) -> None:
        self._lease.release()
        self.forget()
        self.probes.abandon()
