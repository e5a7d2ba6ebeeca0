"""request.vars in the record: msgpack, merged key by key, last writer wins (API 6.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]

from siphon.state.record import Record


def read_vars(record: Record) -> dict[str, Any]:
    """The variables as a fresh dict."""
    if not record.vars:
        return {}
    found: dict[str, Any] = msgpack.unpackb(record.vars)
    return found


def merge_vars(record: Record, written: Mapping[str, Any], deleted: Sequence[str]) -> None:
    """Merge what handlers wrote; checked for type and size when the handlers returned."""
    if not written and not deleted:
        return
    values = read_vars(record)
    values.update(written)
    for name in deleted:
        values.pop(name, None)
    record.vars = msgpack.packb(values) if values else b""
