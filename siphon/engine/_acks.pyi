from collections.abc import Callable
from typing import Any, final

from siphon.sip.message import SipMessage
from siphon.state.store import Send

Check = Callable[[SipMessage, tuple[str, int], int, str, bytes, Send], None]

@final
class PlainAcks:
    check: Check | None
    def __init__(self, ingest: Any, check: Check | None = None) -> None: ...
    def take(self, m: SipMessage, source: tuple[str, int], listener: int, local_ip: str) -> bool: ...
