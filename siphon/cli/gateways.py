"""`siphonctl gateways`: gateway groups and the health of their destinations; a destination taken up or down by hand.

The list is read from the shared table, without a lock and without writing. A change is made in the table itself, as
`siphonctl bans` does it, so that all workers see it with their next call. What is configured is written down there by
the worker that probes, within a second of the start.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shm.slots import Slots
from shm.table import Table
from siphon.cli import directory
from siphon.cli.bans import take_slot
from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import SLOTS_FILE
from siphon.cli.show import aligned, duration
from siphon.engine.keys import Keys
from siphon.services.balancing import Groups, Health, Upstream, View
from siphon.services.balancing.views import Kind, stored
from siphon.services.store import StoreError
from workers.net import boottime

TABLE = "gateways"
ACTIONS = ("up", "down", "drain")
HEADER = ("GROUP", "DESTINATION", "ADDRESS", "STATE", "SINCE", "FAILURES", "LAST", "PRIORITY", "WEIGHT")


def read(path: Path) -> list[View]:
    """All groups, by name. Raises OSError, SharedMemoryError."""
    found = stored(Table.view(path / TABLE))
    return sorted((view for view in found if view.kind != Kind.REMOVED), key=lambda view: view.group.name)


def lines(views: Sequence[View]) -> list[str]:
    """A table for people."""
    if not views:
        return ["no gateway groups"]
    now, wall = boottime(), time.time()
    return aligned([HEADER, *(row(view, upstream, now, wall) for view in views for upstream in view.group.upstreams)])


def row(view: View, upstream: Upstream, now: float, wall: float) -> tuple[str, ...]:
    health = view.health(upstream)
    since = duration(max(0.0, wall - health.since)) if health.since else "-"
    address = upstream.address or ", ".join(health.ips) or "-"
    last = "-" if health.status < 0 else "none" if health.status == 0 else str(health.status)
    numbers = (str(health.failures), last, str(upstream.priority), str(upstream.weight))
    return view.group.name, upstream.uri, address, state(health, now), since, *numbers


def order(place: Path, group: str, destination: str, action: str) -> int:
    """Carry out "up", "down" or "drain". Refusal NOT_DONE where there is no such group or destination."""
    with writable(place) as groups:
        if groups.view(group) is None:
            names = ", ".join(sorted(view.group.name for view in read(place))) or "none"
            raise Refusal(Exit.NOT_DONE, f"there is no group {group!r}; there are: {names}")
        try:
            if action == "drain":
                done = groups.drain(group, destination)
            else:
                done = groups.mark(group, destination, action == "up")
        except StoreError as error:
            raise Refusal(Exit.NOT_DONE, str(error)) from None
    if not done:
        raise Refusal(Exit.NOT_DONE, f"the group {group!r} has no destination {destination!r}")
    return Exit.OK


@contextmanager
def writable(place: Path) -> Iterator[Groups]:
    """The groups of a running instance, for changes."""
    state_dir = directory.description(place).get("state_dir")
    if not isinstance(state_dir, str):
        raise Refusal(Exit.NO_INSTANCE, f"the siphond with {place} is starting, or of a version without gateways")
    keys = Keys(directory.instance_secret(Path(state_dir)), [])
    table = Table.attach(place / TABLE)
    try:
        take_slot(table, Slots.attach(place / SLOTS_FILE))
        configured = [view.group for view in stored(table) if view.kind == Kind.CONFIGURED]
        yield Groups(table, keys.table, configured, "", time.time)
    finally:
        table.close()


def state(health: Health, now: float) -> str:
    """In a word or two."""
    word = "up" if health.healthy else "down"
    if health.until > now:
        word += f" for {duration(health.until - now)}"
    return f"{word}, drained" if health.drained else word


def to_json(views: Sequence[View]) -> list[dict[str, Any]]:
    """For programs; names are only ever added."""
    now = boottime()
    return [
        {
            "group": view.group.name,
            "algorithm": view.group.algorithm,
            "origin": "script" if view.kind == Kind.DYNAMIC else "configuration",
            "probed": view.group.probe is not None,
            "destinations": list(destinations(view, now)),
        }
        for view in views
    ]


def destinations(view: View, now: float) -> Iterator[dict[str, Any]]:
    for upstream in view.group.upstreams:
        health = view.health(upstream)
        yield {
            "uri": upstream.uri,
            "address": upstream.address or None,
            "resolved": list(health.ips),
            "priority": upstream.priority,
            "weight": upstream.weight,
            "attrs": dict(upstream.attrs),
            "usable": health.usable,
            "healthy": health.healthy,
            "drained": health.drained,
            "failures": health.failures,
            "last_status": None if health.status < 0 else health.status,
            "changed_at": health.since or None,
            "left_alone_secs": round(max(0.0, health.until - now), 1),
        }
