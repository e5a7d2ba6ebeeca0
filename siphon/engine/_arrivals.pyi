from collections.abc import Callable
from typing import Any, final

from siphon.engine._runs import PlainRuns
from siphon.sip.message import SipMessage
from siphon.state.record import Record
from siphon.state.store import Commit

Check = Callable[[SipMessage, tuple[str, int], int, str, float, Record, float, Commit], None]

@final
class PlainRequests:
    check: Check | None
    def __init__(self, ingest: Any, runs: PlainRuns, check: Check | None = None) -> None: ...
    def configure(self) -> None: ...
    def take(self, m: SipMessage, source: tuple[str, int], listener: int, local_ip: str, arrived: float) -> bool: ...
