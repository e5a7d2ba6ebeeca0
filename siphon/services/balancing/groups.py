"""The groups of an instance: what every worker knows of them, in a table that all share.

A record a group holds the health of its upstreams; of one that a script has made (add_group) also what it is. The
configured ones are known from the settings, and what their record says of them is for those who look on. So a worker
need not be told of anything: each choice first asks whether the group's record is still the version that was read last,
which costs less than half a microsecond, and reads it where it is not. One further record changes with every group that
is made or removed, so that a list of all groups is made anew only then.

The number that `weighted` and `round_robin` go by lies in a record of its own, one a group and priority (turns.py).

    record of a group     version of the format, kind, epoch, order, group, health by upstream
    kind CONFIGURED       the group is that of the settings; a record is there once something was written to it
    kind DYNAMIC          made by add_group, also in place of a configured one
    kind REMOVED          a configured one that remove_group took away, until siphond starts anew (another epoch)

Every change is a compare-and-swap: a process that dies has made it or has not. add_group writes the group, then the
record that tells of it; a worker that dies in between leaves a group that select() finds at once, and that lists name
from the next change on. StoreError (a RuntimeError) where the table does not answer or is full; a choice needs neither
and goes on by what was read last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from siphon.services.balancing import choice
from siphon.services.balancing.health import Health, marked
from siphon.services.balancing.model import Group, Upstream
from siphon.services.balancing.turns import Turns
from siphon.services.balancing.views import GROUP, HEALTHY, NEWS, TURN, Kind, View, parsed, read_view, stored
from siphon.services.store import (
    BUSY,
    CONFLICT_TRIES,
    FULL,
    RECORD_LIMIT,
    RecordTable,
    StoreError,
    read,
    record_key,
    without_waiting,
)


class Groups:
    """Of one process, by its settings. `hash_key` keys the table's keys; `epoch` names this start of the instance;
    `wall` is epoch seconds."""

    def __init__(
        self,
        table: RecordTable,
        hash_key: bytes,
        configured: Sequence[Group],
        epoch: str,
        wall: Callable[[], float],
    ) -> None:
        self._table = table
        self._hash_key = hash_key
        self._configured = {group.name: group for group in configured}
        self._epoch = epoch
        self._wall = wall
        self._views: dict[str, View] = {}
        self._turns = Turns(table, hash_key, TURN)
        self._news = record_key(hash_key, b"n", b"")
        self._seen_news = 0
        self._listed: tuple[int, list[str]] | None = None
        self._addresses: tuple[int, dict[str, str]] | None = None

    # -- choosing

    def select(self, name: str, key: str | None = None, attrs: Mapping[str, Any] | None = None) -> Upstream | None:
        """The upstream that gets the call; None for an unknown group and where none is usable."""
        view = self.view(name)
        if view is None:
            return None
        pools = view.pools_for(attrs) if attrs else view.pools
        if not pools:
            return None
        pool = pools[0]
        algorithm = view.group.algorithm
        if algorithm == "hash":
            return choice.rendezvous(pool, key or "")
        if len(pool.members) == 1:
            return pool.members[0]
        number = self._turns.next(name, pool.priority)
        return choice.round_robin(pool, number) if algorithm == "round_robin" else choice.weighted(pool, number)

    def view(self, name: str) -> View | None:
        """The group as it is now; None where there is none. Never raises: a record that is held for long, or that
        cannot be read, leaves what was read last."""
        known = self._views.get(name)
        if known is not None and not self._table.is_past(known.where, known.version):
            return known if self._exists(known) else None
        where = self._where(name) if known is None else known.where
        found = self._table.get(where)
        if isinstance(found, int):
            return known if known is not None and self._exists(known) else self._untouched(name, where)
        if found is None:
            if known is None or known.version:
                known = self._untouched(name, where)
        else:
            known = self._parsed(name, where, *found)
        if known is None:
            self._views.pop(name, None)
            return None
        self._views[name] = known
        return known if self._exists(known) else None

    def _exists(self, view: View) -> bool:
        if view.kind == Kind.REMOVED:
            return view.epoch != self._epoch and view.group.name in self._configured
        return True

    def _where(self, name: str) -> bytes:
        return record_key(self._hash_key, b"g", name.encode("utf-8", "surrogateescape"))

    def _untouched(self, name: str, where: bytes) -> View | None:
        group = self._configured.get(name)
        return None if group is None else View(where, 0, Kind.CONFIGURED, 0.0, "", group, {})

    def _parsed(self, name: str, where: bytes, version: int, value: bytes) -> View | None:
        """What a record says; one that is not readable says nothing."""
        configured = self._configured.get(name)
        found = parsed(where, version, value)
        if found is None:
            return None if configured is None else View(where, version, Kind.CONFIGURED, 0.0, "", configured, {})
        kind, group = found.kind, found.group
        if kind == Kind.REMOVED and found.epoch != self._epoch:
            kind = Kind.CONFIGURED
        if kind == Kind.CONFIGURED:
            if configured is None:
                return None
            group = configured
        return replace(found, kind=kind, group=group)

    # -- lists

    def names(self) -> list[str]:
        """The configured groups in their order, then those that scripts have made, the oldest first."""
        version = self._news_version()
        if self._listed is None or self._listed[0] != version:
            made = [name for name in self._made() if name not in self._configured]
            self._listed = version, [*self._configured, *made]
        return [name for name in self._listed[1] if self.view(name) is not None]

    def views(self) -> list[View]:
        """All groups, in the order of names()."""
        return [view for name in self.names() if (view := self.view(name)) is not None]

    def _made(self) -> list[str]:
        """The names of groups that scripts have made, from the records themselves."""
        found = [(view.order, view.group.name) for view in stored(self._table) if view.kind == Kind.DYNAMIC]
        return [name for _, name in sorted(found)]

    def _news_version(self) -> int:
        if self._seen_news and not self._table.is_past(self._news, self._seen_news):
            return self._seen_news
        head = self._table.head(self._news)
        if isinstance(head, int):
            return self._seen_news
        self._seen_news = 0 if head is None else head.version
        return self._seen_news

    def address_of(self, uri: str) -> str | None:
        """The address that a destination of this URI is configured with; None: it has none, or there is no such one."""
        news = self._news_version()
        if self._addresses is None or self._addresses[0] != news:
            found: dict[str, str] = {}
            for view in self.views():
                for upstream in view.group.upstreams:
                    for text in (upstream.given, upstream.uri):
                        found.setdefault(text, upstream.address)
            self._addresses = news, found
        return self._addresses[1].get(uri) or None

    # -- changes

    def add(self, group: Group) -> None:
        """Create a group, or put it in the place of one. Upstreams that stay keep their health."""
        row = group.row()

        def change(old: View | None, where: bytes) -> View | None:
            if old is not None and old.kind == Kind.DYNAMIC and old.group.row() == row:
                return None
            order = old.order if old is not None and old.kind == Kind.DYNAMIC else self._wall()
            idents = {upstream.ident for upstream in group.upstreams}
            healths = {} if old is None else {ident: h for ident, h in old.healths.items() if ident in idents}
            return View(where, 0, Kind.DYNAMIC, order, self._epoch, group, healths)

        old = self._change(group.name, change)
        if old is None or old.group.row() != row or old.kind != Kind.DYNAMIC:
            self._tell()
            self._forget_turns(old, kept=group)

    def remove(self, name: str) -> bool:
        """False where there is no such group. A configured one is gone until siphond starts anew."""
        view = self.view(name)
        if view is None:
            return False
        if name in self._configured:
            self._change(name, lambda old, where: replace(old or view, kind=Kind.REMOVED, epoch=self._epoch))
        else:
            answer = without_waiting(lambda: self._table.delete(view.where, 0))
            if answer == BUSY:
                raise StoreError("the table of gateways did not answer in time")
            self._views.pop(name, None)
        self._tell()
        self._forget_turns(view)
        return True

    def mark(self, name: str, uri: str, up: bool) -> bool:
        """Mark a destination up or down until the next probe; False where there is none of that URI."""
        return self._mark(name, uri, lambda health: marked(health, up, self._wall()))

    def drain(self, name: str, uri: str) -> bool:
        """Give a destination no more calls until it is marked up; False where there is none of that URI."""
        return self._mark(name, uri, lambda health: health._replace(drained=True))

    def _mark(self, name: str, uri: str, change: Callable[[Health], Health]) -> bool:
        view = self.view(name)
        if view is None:
            return False
        found = view.group.find(uri)
        for upstream in found:
            self.note(name, upstream.ident, change)
        return bool(found)

    def note(self, name: str, ident: str, change: Callable[[Health], Health]) -> tuple[Health, Health] | None:
        """Change the health of one upstream: (before, after). None where it is gone."""
        seen: list[tuple[Health, Health]] = []

        def changed(old: View | None, where: bytes) -> View | None:
            seen.clear()
            if old is None or all(upstream.ident != ident for upstream in old.group.upstreams):
                return None
            before = old.healths.get(ident, HEALTHY)
            after = change(before)
            seen.append((before, after))
            return None if after == before else replace(old, healths={**old.healths, ident: after})

        self._change(name, changed)
        return seen[0] if seen else None

    def tidy(self) -> None:
        """Write down what the configured groups are, for those who look on, and remove records that mean nothing any
        more. One process of the instance does it."""
        for name, group in self._configured.items():
            idents = {upstream.ident for upstream in group.upstreams}

            def up_to_date(
                old: View | None, where: bytes, group: Group = group, idents: set[str] = idents
            ) -> View | None:
                if old is None or old.kind != Kind.CONFIGURED:
                    return None
                known = read_view(self._table, where)
                healths = {ident: health for ident, health in old.healths.items() if ident in idents}
                if known is not None and (known.kind, known.group, known.healths) == (old.kind, group, healths):
                    return None
                return replace(old, group=group, healths=healths)

            self._change(name, up_to_date)
        if not self._news_version():
            self._tell()
        for view in stored(self._table):
            if view.kind != Kind.DYNAMIC and view.group.name not in self._configured:
                without_waiting(lambda view=view: self._table.delete(view.where, view.version))  # type: ignore[misc]

    def _change(self, name: str, change: Callable[[View | None, bytes], View | None]) -> View | None:
        """Compare-and-swap: the group before. `change` gives the group after, None where nothing is to change."""
        where = self._where(name)
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, where)
            old = self._untouched(name, where) if found is None else self._parsed(name, where, *found)
            new = change(old, where)
            if new is None:
                return old
            value = new.packed()
            if len(value) > RECORD_LIMIT:
                raise ValueError(f"the group {name!r} takes {len(value)} bytes; at most {RECORD_LIMIT} fit")
            version = 0 if found is None else found[0]
            answer = without_waiting(lambda v=version, b=value: self._table.commit(where, v, b, owner=GROUP))  # type: ignore[misc]
            if answer > 0:
                self._views[name] = replace(new, version=answer)
                return old
            if answer == FULL:
                raise StoreError("the table of gateways is full (shared.max_gateway_groups)")
            if answer == BUSY:
                raise StoreError("the table of gateways did not answer in time")
        raise StoreError("a gateway group kept changing")

    def _tell(self) -> None:
        """There are other groups than before."""
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, self._news)
            version = 0 if found is None else found[0]
            answer = without_waiting(lambda v=version: self._table.commit(self._news, v, b"", owner=NEWS))  # type: ignore[misc]
            if answer > 0:
                return
            if answer in (FULL, BUSY):
                raise StoreError("the table of gateways is full or did not answer (shared.max_gateway_groups)")

    def _forget_turns(self, old: View | None, kept: Group | None = None) -> None:
        priorities = set() if old is None else {upstream.priority for upstream in old.group.upstreams}
        if kept is not None:
            priorities -= {upstream.priority for upstream in kept.upstreams}
        for priority in priorities:
            self._turns.forget(old.group.name if old is not None else "", priority)
