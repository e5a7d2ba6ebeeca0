from collections.abc import Callable
from typing import Any, final

from siphon.sip.message import SipMessage
from siphon.state.store import Commit, Loaded

Check = Callable[[SipMessage, str, Loaded, float, Commit], None]

@final
class PlainResponses:
    check: Check | None
    def __init__(self, core: Any, check: Check | None = None) -> None: ...
    def configure(self) -> None: ...
    def take(self, m: SipMessage, source: str) -> bool: ...
