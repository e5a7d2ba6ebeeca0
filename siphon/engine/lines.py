"""In which lines an event stands while others wait (siphon/engine/order.py keeps them); how long a call's may get."""

from __future__ import annotations

from siphon.engine.events import AckEvent, CancelEvent, Event, RequestEvent
from siphon.engine.order import CALL
from siphon.engine.reliable import PrackEvent

LONGEST_LINE = 100
"""Requests of one call that may stand in line; new work that comes then is refused, the rest is lost as on the way."""

LONGEST_LINE_OF_ACKS = LONGEST_LINE // 2
"""An ACK is lost where so many stand in line: it comes again with its 2xx, and must not keep a BYE out."""

_OF_A_CALL = (RequestEvent, AckEvent, CancelEvent, PrackEvent)


def lines_of(event: Event) -> tuple[bytes, ...]:
    """In which lines an event stands: its record's, and a request its call's. So an ACK is not overtaken by its BYE."""
    if isinstance(event, _OF_A_CALL):
        return event.key, CALL + event.arrival.message.call_id
    return (event.key,)


def beside(event: Event) -> bytes:
    """The line in which the event waits for none of its kind: an ACK in its call's."""
    return CALL + event.arrival.message.call_id if isinstance(event, AckEvent) else b""
