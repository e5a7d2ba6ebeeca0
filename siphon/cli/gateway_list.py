"""Gateway groups as `siphonctl gateways` shows them, from the shared table alone.

What is configured is written down there by the process that probes, within a second of the start.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shm.table import Table
from siphon.cli.show import aligned, duration
from siphon.services.balancing import Health, Upstream, View
from siphon.services.balancing.views import Kind, stored
from workers.net import boottime

HEADER = ("GROUP", "DESTINATION", "ADDRESS", "STATE", "SINCE", "FAILURES", "LAST", "PRIORITY", "WEIGHT")


def read(path: Path) -> list[View]:
    """All groups, by name. Raises OSError, SharedMemoryError."""
    found = stored(Table.view(path / "gateways"))
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
