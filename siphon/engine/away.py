"""What becomes of an event while the store cannot be reached (SHARED-29): new work is refused, what somebody brings
again is lost like a datagram, and what nobody would repeat (a deadline, a handler's outcome) waits for the store."""

from __future__ import annotations

from siphon.engine.counters import Counter
from siphon.engine.events import CancelEvent, HeardEvent, RequestEvent, ResponseEvent
from siphon.engine.reliable import PrackEvent

REPEATED = (RequestEvent, CancelEvent, PrackEvent, ResponseEvent, HeardEvent)
"""What a peer sends again, or we bring about by sending again."""

REFUSALS = {"full": Counter.FULL, "large": Counter.TOO_LARGE, "away": Counter.AWAY}
"""What is counted where new work is not taken."""
