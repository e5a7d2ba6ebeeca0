"""What an object of the script API stands on: the services of the process and the facts of one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siphon.script._fields import RequestContext as RequestContext

if TYPE_CHECKING:
    from siphon.script.sending import OwnRequest, Sending
    from siphon.services.dns import Enum
    from siphon.services.media.relays import MediaRelays


@dataclass(slots=True)
class Services:
    """The services of this process. What is None is not there: calls that need it say so.

    `location` is siphon.services.location.location.Location, `digest` siphon.services.digest.verifier.DigestVerifier,
    `signer` siphon.forwarding.routes.RouteSigner (None: routes are not signed), `identity` that of siphon.sip.identity.
    `merged` is siphon.services.merged.MergedRequests (None: nobody looks for merged requests). `instance_id` is the
    start id of this instance, the location's `epoch`. `limiter(source, window_secs, max_requests, transaction_id, now)`
    answers True within the limit (siphon.services.limits). `timers` is siphon.engine.script_timers.ScriptTimers.
    `metrics` is siphon.services.metrics.Metrics, `caches` siphon.services.caches.Caches, `media`
    siphon.services.media.relays.MediaRelays (None: no section `media`, or a process that has no relays),
    `gateways` siphon.services.balancing.Groups (None: there is no [gateway] section), `cdr`
    siphon.services.call_records.CallRecords (None: no records).
    `send_request(own)` sends an OwnRequest of siphon/script/sending.py and gives a Sending. `secrets` is RemoteSecrets
    of siphon/services/digest/remote.py, which the engine asks before handlers run. `wall` is the clock for what has no
    transaction at hand (epoch seconds).
    """

    location: Any = None
    digest: Any = None
    secrets: Any = None
    signer: Any = None
    identity: Any = None
    merged: Any = None
    instance_id: str = ""
    timers: Any = None
    metrics: Any = None
    caches: Any = None
    media: MediaRelays | None = None
    gateways: Any = None
    cdr: Any = None
    limiter: Callable[[str, float, int, bytes, float], bool] | None = None
    enum: Enum | None = None
    send_request: Callable[[OwnRequest], Sending] | None = None
    memory_used_pct: Callable[[], int] | None = None
    wall: Callable[[], float] = time.time
