"""request.vars in the record: msgpack, merged key by key, last writer wins (API 6.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from siphon.script.variables import merge
from siphon.state.record import Record


def merge_vars(record: Record, written: Mapping[str, Any], deleted: Sequence[str]) -> None:
    """Merge what handlers wrote; checked for type and size when the handlers returned."""
    if not written and not deleted:
        return
    record.vars = merge(record.vars, dict(written), list(deleted))
