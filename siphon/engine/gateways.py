"""Probes of gateway destinations, from one worker of the instance: the one with the lease (siphon/services/lease.py).

Once a second it sees which groups there are, those of scripts too. To each destination of a group that is probed an
OPTIONS goes out every `interval_secs`, the first ones a little apart. How it ended within WAIT_SECS is noted in the
group's record, where all workers see it (siphon/services/balancing/health.py says what it means); nothing is written
where nothing has changed. No other request tells anything about health.

A destination that has asked to be left alone (Retry-After) is asked again when that time is over. The name of one that
is down is looked up anew before each probe, whatever DNS allowed to be remembered. What names resolve to is noted as
well, for `from_gateway`, also in groups that nobody probes.

When the worker dies, another one takes the lease and begins with a probe of all; what the first had on its way ends in
some worker and nobody asks. Nothing is sent while the instance drains. Nodes that share transactions in Redis each
probe for themselves: a destination may be reachable from one of them only.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

from siphon.config.log import INFO, WARN, Log
from siphon.config.settings import Settings
from siphon.engine.core import Core
from siphon.engine.failover import retry_after
from siphon.engine.one_sender import SHARE, OneSender
from siphon.engine.own import NO_ROOM
from siphon.engine.plan import Plan
from siphon.engine.probes import Probes, options
from siphon.forwarding.next_hop import Hop
from siphon.script.context import Services
from siphon.services.balancing import Groups, Health, ProbePlan, Upstream, judge
from siphon.services.dns import Address
from siphon.services.lease import Lease
from siphon.services.store import StoreError
from siphon.sip.message import parse
from siphon.state.record import Branch

WAIT_SECS = 5.0
"""For the answer to a probe."""
APART_SECS = 0.02
"""Between the first probes of two destinations."""
PORTION = 20
"""Probes sent in one turn."""
NAMES_SECS = 30.0
"""How often names are looked up in groups that are not probed."""


class Item(NamedTuple):
    """A destination by its group and what its health is kept by."""

    group: str
    ident: str


class Names(Protocol):
    """The resolver of this process."""

    def cached(self, hop: Hop) -> list[Address] | None: ...
    def look_up(self, names: set[Hop], done: Callable[[], None]) -> None: ...
    def refresh(self, hop: Hop, done: Callable[[], None]) -> None: ...


class Known(NamedTuple):
    """A destination as the last look found it."""

    upstream: Upstream
    probe: ProbePlan | None
    health: Health

    @property
    def name(self) -> Hop | None:
        """What has to be looked up to reach it."""
        return None if self.upstream.place is not None else self.upstream.hop


class GatewayProber(OneSender[Item]):
    """Of one process; does nothing without a [gateway] section. `runs` False: a helper, which never sends."""

    def __init__(
        self,
        core: Core,
        lease: Lease,
        names: Names,
        draining: Callable[[], bool],
        wall: Callable[[], float],
        script_version: Callable[[], int],
        log: Log,
        runs: bool = True,
    ) -> None:
        super().__init__(lease, draining)
        self.probes = Probes(core, wall, script_version, self._done, draining, self._unsent)
        self._names = names
        self._clock = core.clock
        self._wall = wall
        self._log = log
        self._runs = runs
        self._groups: Groups | None = None
        self._known: dict[Item, Known] = {}
        self._due: dict[Item, float] = {}

    def configure(self, settings: Settings, services: Services) -> None:
        """Go on by these settings."""
        self._settings = settings
        self._groups = services.gateways if self._runs else None
        self.wanted = self._groups is not None
        if not self.wanted:
            self.rest()
            return
        if self._lease.is_held:
            self.begins()
        self.look()

    def go_on(self, now: float) -> float:
        """See OneSender."""
        self._ask_due(now)
        return min(self._due.values(), default=inf)

    # -- to whom

    def begins(self) -> None:
        """What the settings do not name any more goes."""
        assert self._groups is not None
        try:
            self._groups.tidy()
        except StoreError as error:
            self._log.often(WARN, "gateway", 1, error=str(error))

    def renewed(self, now: float) -> None:
        """Scripts may have made groups meanwhile."""
        assert self._groups is not None
        self._look_around(self._groups, now)

    def forget(self) -> None:
        """See OneSender."""
        self._known.clear()
        self._due.clear()

    def _look_around(self, groups: Groups, now: float) -> None:
        self._known = {
            Item(view.group.name, upstream.ident): Known(upstream, view.group.probe, view.health(upstream))
            for view in groups.views()
            for upstream in view.group.upstreams
        }
        self._due = {item: at for item, at in self._due.items() if item in self._known}
        at = now
        for item, known in self._known.items():
            if item not in self._due and (known.probe is not None or known.name is not None):
                self._due[item] = at
                at += APART_SECS

    def _ask_due(self, now: float) -> None:
        for item in [item for item, at in self._due.items() if at <= now][:PORTION]:
            known = self._known[item]
            if known.health.until > now:
                self._due[item] = known.health.until
                continue
            every = NAMES_SECS if known.probe is None else known.probe.interval_secs
            self._due[item] = max(self._due[item] + every, now)
            if known.name is None:
                self._send(item, now)
            elif known.probe is None:
                self._names.look_up({known.name}, lambda item=item: self._note_names(item))  # type: ignore[misc]
            elif known.health.healthy:
                self._send(item, now)
            else:
                self._names.refresh(known.name, lambda item=item: self._send(item, self._clock()))  # type: ignore[misc]

    def _send(self, item: Item, now: float) -> None:
        known = self._known.get(item)
        if known is None or known.probe is None or not self._lease.is_held:
            return
        if len(self.probes) >= max(1, self._settings.shared.max_transactions // SHARE):
            self._log.often(WARN, "gateway.skipped", 1, waiting=len(self.probes))
            return
        uri, probe = known.upstream.uri, known.probe
        agent = self._settings.server.user_agent_header
        try:
            own = options(uri, uri, WAIT_SECS, agent, (probe.from_user, probe.from_domain))
        except ValueError as error:
            self._unsent(item, str(error))
            return
        self.probes.send(own, Plan(own.outline.uri, place=known.upstream.place), item, now)

    # -- results

    def _done(self, item: Item, answer: Branch | None) -> None:
        rest = retry_after(parse(answer.response)) if answer is not None and answer.result == 503 else 0.0
        self._note(item, 0 if answer is None else answer.result, rest)

    def _unsent(self, item: Item, why: str) -> None:
        """It cannot be reached at all, as if nobody had answered; a lack of room here says nothing about it."""
        if why not in NO_ROOM.values():
            self._log.debug("gateway.not_sent", group=item.group, destination=item.ident, reason=why)
            self._note(item, 0, 0.0)

    def _note(self, item: Item, status: int, rest: float) -> None:
        known = self._known.get(item)
        if known is None or known.probe is None:
            return
        threshold, ips, now = known.probe.failure_threshold, self._ips(known), self._clock()

        def judged(health: Health) -> Health:
            found = judge(health, status, rest, threshold, now, self._wall())
            return found._replace(ips=ips or found.ips)

        self._change(item, judged, status)

    def _note_names(self, item: Item) -> None:
        known = self._known.get(item)
        ips = () if known is None else self._ips(known)
        if ips:
            self._change(item, lambda health: health._replace(ips=ips), -1)

    def _ips(self, known: Known) -> tuple[str, ...]:
        found = None if known.name is None else self._names.cached(known.name)
        return tuple(sorted({ip for ip, _ in found or ()}))

    def _change(self, item: Item, change: Callable[[Health], Health], status: int) -> None:
        """A table that does not answer costs a result: the next one says the same."""
        groups = self._groups
        if groups is None:
            return
        try:
            changed = groups.note(item.group, item.ident, change)
        except StoreError as error:
            self._log.often(WARN, "gateway", 1, error=str(error))
            return
        if changed is None:
            return
        before, after = changed
        known = self._known[item] = self._known[item]._replace(health=after)
        if after.until > self._clock():
            self._due[item] = after.until
        if before.healthy != after.healthy:
            level, event = (INFO, "gateway.up") if after.healthy else (WARN, "gateway.down")
            self._log.often(level, event, 10, group=item.group, destination=known.upstream.uri, status=status or "none")
