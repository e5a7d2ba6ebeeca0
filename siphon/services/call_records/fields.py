"""The fields of a record and its line: one JSON object, all fields always, null where nothing is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

FIELDS = (
    *("timestamp", "call_id", "from_uri", "to_uri", "ruri", "method", "response_code", "timestamp_start"),
    *("timestamp_answer", "timestamp_end", "duration_secs", "source_ip", "destination_ip", "transport", "user_agent"),
    *("auth_user", "disconnect_initiator", "sip_reason"),
)
TIMES = ("timestamp", "timestamp_start", "timestamp_answer", "timestamp_end")
"""Epoch seconds in a table, UTC to the millisecond in the line."""
LONGEST = 2048
"""Characters of one value; what is longer is cut."""
MOST_EXTRA = 64
"""Fields that a script may add."""


def fields_of(**known: Any) -> dict[str, Any]:
    """A record of what is known; texts are cut."""
    return {name: value[:LONGEST] if isinstance(value, str) else value for name, value in known.items()}


def line(fields: Mapping[str, Any], extra: Mapping[str, str]) -> bytes:
    """The line of a record. What a script adds never takes the place of a field."""
    record = {name: _shown(name, fields.get(name)) for name in FIELDS}
    more = {name: _text(value) for name, value in (*_own(fields), *extra.items()) if name not in record}
    return json.dumps({**record, **more}, separators=(",", ":")).encode("ascii") + b"\n"


def extra_of(given: Mapping[Any, Any]) -> dict[str, str]:
    """Of what a script gave: str to str, the first MOST_EXTRA; anything else is left out."""
    found = [(k, v) for k, v in given.items() if _is_text(k) and _is_text(v)]
    return {key[:LONGEST]: value[:LONGEST] for key, value in found[:MOST_EXTRA]}


def _is_text(value: object) -> bool:
    """A str that has bytes: a lone surrogate, as JSON may bring one, has none."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def duration(answered: float | None, ended: float) -> float:
    """Seconds of talk; 0.0 for a call that nobody answered."""
    return 0.0 if answered is None else round(max(0.0, ended - answered), 3)


def _own(fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in fields.items() if name not in FIELDS]


def _shown(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if name in TIMES:
        at = datetime.fromtimestamp(float(value), UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    """Bytes that were no UTF-8 become a replacement character: a lone surrogate is no JSON for many readers."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
