"""What an object of the script API stands on: the services of the process and the facts of one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from siphon.script import variables

if TYPE_CHECKING:
    from siphon.script.loader import Script
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
    siphon.services.media.relays.MediaRelays (None: no section `media`, or a process that has no relays).
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
    limiter: Callable[[str, float, int, bytes, float], bool] | None = None
    enum: Enum | None = None
    send_request: Callable[[OwnRequest], Sending] | None = None
    memory_used_pct: Callable[[], int] | None = None
    wall: Callable[[], float] = time.time


@dataclass(slots=True)
class RequestContext:
    """Facts of one transaction beside its message.

    `source` is the observed packet source, `listener` the siphon.sip.identity.Listener it came in on and `local_ip` the
    address it was sent to. `vars` is the stored dict, packed (bytes) or not; it is unpacked once a handler asks.
    `secrets` is what another service said about the users that the credentials name (None: nobody was asked).
    `uri_received` is the Request-URI as received where the message is one that handlers have edited. `script`, the open
    `vars` and the count of armed actions are the runtime's.
    """

    source: tuple[str, int]
    listener: Any = None
    local_ip: str = ""
    transaction_id: bytes = b""
    identity: Any = None
    settings: Any = None
    services: Services = field(default_factory=Services)
    now: float = 0.0
    wall: float = 0.0
    vars: dict[str, Any] | bytes = b""
    auth_user: str | None = None
    consumed_routes: list[str] = field(default_factory=list)
    record_route: bool = False
    dialog_known: bool = False
    uri_received: bytes | None = None
    secrets: Any = None
    script: Script | None = None
    opened: dict[str, Any] | None = None
    packed: bytes = b""
    armed: int = 0

    def open_vars(self) -> dict[str, Any]:
        """The dict that all objects of this event share; unpacked at the first call."""
        found = self.opened
        if found is None:
            stored = self.vars
            self.packed = stored if isinstance(stored, bytes) else variables.pack(stored)
            found = self.opened = variables.unpack(self.packed)
        return found

    def drop_vars(self) -> None:
        """Forget what handlers wrote."""
        self.opened = None

    def vars_limit(self) -> int | None:
        """`shared.vars_bytes`."""
        return None if self.settings is None else int(self.settings.shared.vars_bytes)

    def vars_changes(self) -> tuple[dict[str, Any], list[str]]:
        """Keys written and keys deleted by the handlers; raises as variables.pack."""
        if self.opened is None:
            return {}, []
        return variables.changes(self.packed, self.opened, self.vars_limit())
