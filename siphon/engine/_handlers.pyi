from collections.abc import Callable
from typing import Any

from siphon.config.settings import Settings
from siphon.script.context import RequestContext, Services
from siphon.script.outcome import Outcome
from siphon.services.digest import Fetched
from siphon.sip.identity import Identity
from siphon.sip.message import SipMessage
from siphon.state.record import Record

def context_of(
    r: Record,
    identity: Identity,
    settings: Settings,
    services: Services,
    now: float,
    received: bytes | None,
    secrets: Fetched | None,
) -> RequestContext: ...
def run_request(
    handlers: Any, r: Record, m: SipMessage, secrets: Fetched | None, done: Callable[[Outcome], None]
) -> None: ...
