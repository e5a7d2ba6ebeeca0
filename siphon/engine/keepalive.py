"""`nat.keepalive`: OPTIONS to registered contacts keep their way through a NAT open and find those that are gone.

One worker of the instance sends, the one with the lease (siphon/services/lease.py). It goes through the table in passes
of `interval_secs`: first it collects the keys of all records with bindings, a portion a turn, then it takes them one
after the other, spread evenly over what is left of the interval, and sends to each live UDP binding by the way that a
fork to its Contact would take. A pass that does not get through in time goes on, and the next one begins late.

    any final response                         alive: its failures are forgotten
    silence for min(interval, Timer F), ICMP   one failure more
    it could not be sent                       neither
    `failure_threshold` failures in a row      the binding is removed, "deregistered" for on_change

A REGISTER is a sign of life too: it makes another binding of it (`stamp`), which has no failures, and is not what the
compare-and-swap would remove. Failures lie in the sender's memory, so they begin at 0 when another worker takes over.

A turn works for PORTION_SECS at most, then the loop serves its sockets. Of the table of transactions it takes
SHARE at most; what finds no place is not asked in this pass. Nothing is sent while the instance drains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from siphon.config.later import Keepalive as KeepaliveSettings
from siphon.config.log import INFO, WARN, Log
from siphon.config.settings import Settings
from siphon.engine.core import Core
from siphon.engine.one_sender import SHARE, OneSender
from siphon.engine.plan import plan_fork
from siphon.engine.probes import Probes, options
from siphon.script.contact import Contact
from siphon.script.context import Services
from siphon.script.outcome import Fork
from siphon.services.lease import Lease
from siphon.services.location import Binding
from siphon.services.store import StoreError
from siphon.state.record import Branch

PORTION = 20
"""Records taken up in one turn."""
PORTION_SECS = 0.003
KEYS = 500
"""Keys of the table collected in one turn."""
TIMER_F = 64
"""In T1."""

Stamp = tuple[str, str, int, float]


class Asked(NamedTuple):
    """A binding that OPTIONS went to."""

    aor: str
    stamp: Stamp


class Keepalive(OneSender[Asked]):
    """The keepalive of one process; does nothing unless it is configured. `runs` False: a helper, which never sends."""

    def __init__(
        self,
        core: Core,
        lease: Lease,
        draining: Callable[[], bool],
        wall: Callable[[], float],
        script_version: Callable[[], int],
        log: Log,
        runs: bool = True,
    ) -> None:
        super().__init__(lease, draining)
        self.probes = Probes(core, wall, script_version, self._done, draining)
        self._clock = core.clock
        self._wall = wall
        self._log = log
        self._runs = runs
        self._how: KeepaliveSettings | None = None
        self._pass: Pass | None = None
        self._failures: dict[Asked, tuple[int, float]] = {}

    def configure(self, settings: Settings, services: Services) -> None:
        """Go on by these settings; failures are kept."""
        how = settings.nat.keepalive
        self._settings, self._services = settings, services
        self._how = how if self._runs and how is not None and how.enabled else None
        self.wanted = self._how is not None
        if self.wanted:
            self.look()
        else:
            self.rest()

    def forget(self) -> None:
        """See OneSender."""
        self._pass = None
        self._failures.clear()

    # -- passes

    def go_on(self, now: float) -> float:
        """Work off a portion of the pass: when the next one is due."""
        assert self._how is not None
        wanted, going = self._how, self._pass
        if going is None or (going.is_over and now >= going.end):
            going = self._pass = self._next_pass(going, wanted, now)
        until = self._clock() + PORTION_SECS
        if going.collect(self._services.location.bound_keys, now):
            return now
        for _ in range(PORTION):
            key = going.take(now)
            if key is None:
                break
            self._ask(key, wanted, now)
            if self._clock() > until:
                break
        return going.next_at()

    def _next_pass(self, before: Pass | None, wanted: KeepaliveSettings, now: float) -> Pass:
        if before is not None:
            self._log.debug("keepalive.pass", records=len(before.keys), failing=len(self._failures))
            if now > before.end + wanted.interval_secs / 2:
                self._log.often(WARN, "keepalive.late", 1, seconds=round(now - before.end, 1))
        old = now - 2 * (wanted.interval_secs + self._patience(wanted))
        self._failures = {asked: found for asked, found in self._failures.items() if found[1] > old}
        return Pass(now, now + wanted.interval_secs)

    def _patience(self, wanted: KeepaliveSettings) -> float:
        return min(wanted.interval_secs, TIMER_F * self._settings.transaction.t1)

    def _ask(self, key: bytes, wanted: KeepaliveSettings, now: float) -> None:
        try:
            aor, bindings = self._services.location.bindings_at(key, self._wall())
        except StoreError as error:
            self._log.often(WARN, "keepalive", 1, error=str(error))
            return
        for binding in bindings:
            if binding.transport == "udp":
                self._send(aor, binding, wanted, now)

    def _send(self, aor: str, binding: Binding, wanted: KeepaliveSettings, now: float) -> None:
        if len(self.probes) >= max(1, self._settings.shared.max_transactions // SHARE):
            self._log.often(WARN, "keepalive.skipped", 1, waiting=len(self.probes))
            return
        try:
            target = Contact(binding, self._services, self._wall()).target()
            own = options(binding.uri, aor, self._patience(wanted), self._settings.server.user_agent_header)
            ((plan,),) = plan_fork(Fork([target]))
        except ValueError as error:
            self._log.debug("keepalive.impossible", aor=aor, contact=binding.uri, reason=str(error))
            return
        self.probes.send(own, plan, Asked(aor, binding.stamp), now)

    # -- results

    def _done(self, asked: Asked, answer: Branch | None) -> None:
        if answer is not None or self._how is None:
            self._failures.pop(asked, None)
            return
        count = self._failures.get(asked, (0, 0.0))[0] + 1
        self._failures[asked] = count, self._clock()
        self._log.debug("keepalive.failed", aor=asked.aor, contact=asked.stamp[0], failures=count)
        if count >= self._how.failure_threshold:
            self._remove(asked)

    def _remove(self, asked: Asked) -> None:
        """A table that does not answer costs an interval: it is tried again after the next failure."""
        try:
            removed = self._services.location.remove_binding(asked.aor, asked.stamp, self._wall())
        except StoreError as error:
            self._log.often(WARN, "keepalive", 1, error=str(error))
            return
        failures, _ = self._failures.pop(asked)
        if removed:
            self._log.often(INFO, "keepalive.removed", 5, aor=asked.aor, contact=asked.stamp[0], failures=failures)


class Pass:
    """One way through the table, from now until `end`: collecting, then each key at its time."""

    def __init__(self, now: float, end: float) -> None:
        self.end = end
        self.keys: list[bytes] = []
        self._began = now
        self._cursor = 0
        self._collecting = True
        self._taken = 0

    @property
    def is_over(self) -> bool:
        """Whether every key has been taken."""
        return not self._collecting and self._taken == len(self.keys)

    def collect(self, next_keys: Callable[[int, int], tuple[list[bytes], int]], now: float) -> bool:
        """Collect a portion; False once there is nothing left to collect."""
        if not self._collecting:
            return False
        found, self._cursor = next_keys(KEYS, self._cursor)
        self.keys += found
        if self._cursor:
            return True
        self._collecting = False
        self._began = min(now, self.end)
        return False

    def take(self, now: float) -> bytes | None:
        """The next key whose time has come."""
        if self._taken == len(self.keys) or self.next_at() > now:
            return None
        self._taken += 1
        return self.keys[self._taken - 1]

    def next_at(self) -> float:
        """When the next key is due, or the end."""
        if self._taken == len(self.keys):
            return self.end
        return self._began + (self.end - self._began) * self._taken / len(self.keys)
