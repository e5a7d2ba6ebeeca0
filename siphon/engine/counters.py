"""The counters that every slot keeps in shared memory: name to column. One place, read by status and metrics too.

The columns before FIRST are those of the process model (workers/application.py).
"""

from __future__ import annotations

from enum import IntEnum

FIRST = 16


class Counter(IntEnum):
    """Column of a counter in a slot's row; never renumbered, only appended."""

    REQUESTS = FIRST + 0
    RESPONSES = FIRST + 1
    """Responses received."""
    RETRANSMISSIONS = FIRST + 2
    MALFORMED = FIRST + 3
    IGNORED = FIRST + 4
    STRAYS = FIRST + 5
    TRANSACTIONS = FIRST + 6
    """Records made."""
    SCRIPT_RUNS = FIRST + 7
    SCRIPT_ERRORS = FIRST + 8
    TIMERS = FIRST + 9
    CONFLICTS = FIRST + 10
    FULL = FIRST + 11
    PARKED = FIRST + 12
    CLAIMS_RERUN = FIRST + 13
    UNREACHABLE = FIRST + 14
    ROUTE_UNSIGNED = FIRST + 15
    BAD_RECORDS = FIRST + 16
    ACKS_FORWARDED = FIRST + 17
    ACKS_DROPPED = FIRST + 18
    STATELESS = FIRST + 19
    """Responses sent without a record."""
    TOO_LARGE = FIRST + 20
    MULTI_WORKER = FIRST + 21
    """Finals sent of transactions whose record three or more slots had committed."""
    SENT = FIRST + 22
    """Datagrams that commits have sent."""
    AUTH_FAILURES = FIRST + 23
    """Credentials that did not verify."""
    LIMITED = FIRST + 24
    """Requests refused because their source had limits.per_source live transactions."""
    OTHER_SOURCE = FIRST + 25
    """Responses that fit a branch and came from another address than its request had gone to."""
    AWAY = FIRST + 26
    """Events that the store of transactions could not be asked about."""
    BANNED = FIRST + 27
    """Datagrams dropped unread: their source is banned."""
    RATE_LIMITED = FIRST + 28
    """Requests dropped unread: their source sends more than security.rate_limit."""
    SCANNER_BLOCKED = FIRST + 29
    """Requests dropped for their User-Agent."""
    BANS = FIRST + 30
    """Bans made, those of single users too."""
    CDR_QUEUED = FIRST + 31
    """Call detail records that were to be written."""
    CDR_WRITTEN = FIRST + 32
    """Those that are where they belong."""
    CDR_LOST = FIRST + 33
    """Those for which there was no room."""
    HEP_DROPPED = FIRST + 34
    """Copies for the collector that could not leave at once."""
