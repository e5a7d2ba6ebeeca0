"""Messages: bytes in, spans and values out. The compiled `_message_cy` and `_top_via_cy` under one plain name."""

from siphon.sip._message_cy import (
    ParseLimits,
    SipMessage,
    Via,
    is_list,
    parse,
    split_list,
)
from siphon.sip._scan_cy import COMPACT
from siphon.sip._top_via_cy import stamp_source, strip_top_via
from siphon.sip.errors import BadResponse, NotSip, PeerError

__all__ = [
    "COMPACT",
    "BadResponse",
    "NotSip",
    "ParseLimits",
    "PeerError",
    "SipMessage",
    "Via",
    "is_list",
    "parse",
    "split_list",
    "stamp_source",
    "strip_top_via",
]
