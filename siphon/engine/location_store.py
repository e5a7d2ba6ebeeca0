"""One process's link to the Redis that has the bindings, where `shared.location` or `registrar.backend` says so."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from hashlib import blake2b

from siphon.config.log import WARN, Log
from siphon.config.settings import Settings
from siphon.engine.shared import Shared
from siphon.services.location.commits import Commits, Place
from siphon.services.location.mirror_state import MirrorState
from siphon.services.location.scripts import Keys
from siphon.services.location.shared_location import SharedLocation
from siphon.state.redis.lane import Report
from siphon.state.redis.link import Link
from siphon.state.redis.names import Names
from workers.net import boottime


class LocationStore:
    """The link, begun to connect, and what is made on it. `place` is for whoever writes."""

    def __init__(
        self, settings: Settings, state: MirrorState, loop: asyncio.AbstractEventLoop, log: Log, report: Report
    ) -> None:
        facts = settings.location_store
        assert facts is not None
        self._loop = loop
        self._log = log
        self.state = state
        self.names = Names(facts.key_prefix)
        self.link = Link(loop, boottime, facts.url, settings.shared.timeout_ms / 1000, report)
        self.place = Place(self.link, Keys(self.names), state, node_name(settings), facts.slack_secs)
        self.link.start()

    def time(self) -> float:
        """The store's time, epoch seconds."""
        return self.state.store_time(boottime(), time.time())

    def commits(self, location: SharedLocation) -> Commits:
        """What carries a location service's changes to the store."""
        return Commits(self._loop, self.place, location._records, self.time, _draw, self._failed)

    def _failed(self, why: str) -> None:
        self._log.often(WARN, "location.not_stored", 5, reason=why)


def store_of(settings: Settings, shared: Shared, loop: asyncio.AbstractEventLoop, log: Log) -> LocationStore | None:
    """None where bindings lie in shared memory. The helper that mirrors logs for all: this process only to debug."""
    if shared.mirror is None:
        return None

    def report(level: str, event: str, **fields: object) -> None:
        log.at("debug", event, **fields)

    return LocationStore(settings, shared.mirror, loop, log, report)


def node_name(settings: Settings) -> bytes:
    """Which node this is among those that use one store: the instance, and where it runs."""
    place = blake2b(f"{socket.gethostname()} {settings.shared.path}".encode(), digest_size=4).hexdigest()
    return f"{settings.server.instance_id}/{place}".encode()


def _draw() -> bytes:
    return os.urandom(12)
