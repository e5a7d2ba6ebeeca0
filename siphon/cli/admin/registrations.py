"""Registrations for people and programs: the bindings of an address of record as plain facts."""

from __future__ import annotations

import time
from typing import Any

from siphon.services.location import Location
from siphon.services.location.aor import address_of_record_of
from siphon.services.location.binding import Binding

MOST = 10_000
"""Addresses of record in one answer."""


def contact(binding: Binding, wall: float) -> dict[str, Any]:
    """One binding; names are only ever added."""
    return {
        "uri": binding.uri,
        "q": binding.q,
        "expires": binding.remaining(wall),
        "age": binding.age(wall),
        "received": f"{binding.source[0]}:{binding.source[1]}",
        "transport": binding.transport,
        "path": list(binding.path),
        "instance": binding.instance,
        "call_id": binding.call_id,
        "cseq": binding.cseq,
    }


def page(location: Location, limit: int, cursor: int) -> tuple[list[dict[str, Any]], int]:
    """Up to `limit` places of the table from `cursor` on, and where to go on (0: that was all). In no order."""
    wall = time.time()
    keys, following = location.bound_keys(min(limit, MOST), cursor)
    found = []
    for key in keys:
        aor, bindings = location.bindings_at(key, wall)
        if bindings:
            found.append({"aor": aor, "contacts": [contact(b, wall) for b in bindings]})
    return found, following


def one(location: Location, text: str) -> dict[str, Any] | None:
    """One address of record, as it is stored; None where it has no binding. ValueError for what is no address."""
    aor = require_aor(text)
    wall = time.time()
    bindings = location.lookup(aor, wall)
    return {"aor": aor, "contacts": [contact(b, wall) for b in bindings]} if bindings else None


def require_aor(text: str) -> str:
    """ValueError for what is no address of record."""
    aor = address_of_record_of(text)
    if aor is None:
        raise ValueError(f"{text!r} is no address of record")
    return aor
