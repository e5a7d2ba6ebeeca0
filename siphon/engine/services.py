"""The services that scripts of one process work on, over what all processes share.

What only a process with an engine has (requests of our own, names, timers) is added there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from siphon.config.settings import Settings
from siphon.engine.cdr_writer import call_records_of
from siphon.engine.facts import timing_of
from siphon.engine.keys import Keys
from siphon.engine.location_store import LocationStore
from siphon.engine.shared import Shared
from siphon.forwarding.signer import RouteSigner
from siphon.script.context import Services
from siphon.services.balancing import Groups, groups_of
from siphon.services.digest import Confirm, DigestVerifier, Tally
from siphon.services.limits import Windows
from siphon.services.location import Location
from siphon.services.location.shared_location import SharedLocation
from siphon.services.merged import MergedRequests
from siphon.services.metrics import Metrics
from siphon.services.store import RecordTable
from siphon.sip.identity import Identity


def services_of(
    settings: Settings,
    shared: Shared,
    identity: Identity,
    signer: RouteSigner | None,
    keys: Keys,
    confirm: Confirm | None = None,
    store: LocationStore | None = None,
    tally: Tally | None = None,
) -> Services:
    """Services of these settings. `confirm` asks other nodes whether a nonce count is new; `store` is this process's
    link to the Redis that has the bindings; `tally` counts wrong passwords."""
    digest = DigestVerifier(
        settings.auth,
        keys.nonce_secrets,
        shared.nonces,
        keys.table,
        is_local=identity.is_local,
        confirm=confirm,
        tally=tally,
    )
    digest.shorten()
    epoch = start_id(settings, shared)
    return Services(
        location=_location(settings, shared, identity, keys, epoch, store),
        digest=digest,
        signer=signer,
        identity=identity,
        merged=MergedRequests(shared.hints, keys.table, timing_of(settings).long, time.time),
        cdr=call_records_of(settings, shared, keys.table, time.time) if settings.cdr.enabled else None,
        metrics=Metrics(shared.metrics, keys.table, lambda: shared.metrics.slot),
        limiter=Windows(shared.limits, keys.table, shared.evict_limits).admit,
        instance_id=epoch,
        gateways=gateways_of(settings, shared.gateways, keys, epoch, time.time),
    )


def gateways_of(
    settings: Settings, table: RecordTable, keys: Keys, epoch: str, wall: Callable[[], float]
) -> Groups | None:
    """None without a [gateway] section; an empty one is for the groups of scripts."""
    if settings.gateway is None:
        return None
    return Groups(table, keys.table, groups_of(settings.gateway), epoch, wall)


def _location(
    settings: Settings, shared: Shared, identity: Identity, keys: Keys, epoch: str, store: LocationStore | None
) -> Location:
    if store is None:
        location = Location(shared.location, identity, settings, keys.table, epoch=epoch)
        location.shorten()
        return location
    table = shared.location
    return SharedLocation(table, identity, settings, keys.table, store.commits, store.time, epoch=epoch)


def start_id(settings: Settings, shared: Shared) -> str:
    """The instance and when it was started: the same in all its processes, another one after a restart."""
    return f"{settings.server.instance_id}/{int(shared.slots.started_wall * 1000):x}"
