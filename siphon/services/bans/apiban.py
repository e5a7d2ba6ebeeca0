"""Answers of apiban.org: what one says, and what to ask next.

GET {url}/{key}/banned[/ID] gives `{"ipaddress": [...], "ID": "..."}`: addresses that were added after ID, some hundred
at most, and the ID to go on from. "none", with status 400, says that there are no newer ones.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from siphon.services.bans.units import unit_of

BODY_BYTES = 1 << 20
MOST = 20_000
"""Addresses of one answer that are believed."""


class Batch(NamedTuple):
    """`units` to ban; `id` to ask for what follows, "" when that was all."""

    units: list[str]
    id: str


def batch(status: int, body: bytes) -> Batch:
    """ValueError, with a reason that holds no key, for what is no such answer."""
    try:
        found = json.loads(body)
    except ValueError:
        raise ValueError(f"status {status}, not JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"status {status}, no object")
    identifier = found.get("ID")
    if status in (200, 400) and identifier == "none":
        return Batch([], "")
    if status != 200:
        raise ValueError(f"status {status}")
    addresses = found.get("ipaddress")
    if not isinstance(identifier, str) or not identifier.isascii() or not identifier.isdigit():
        raise ValueError("no ID")
    if not isinstance(addresses, list):
        raise ValueError("no list of addresses")
    return Batch([unit for address in addresses[:MOST] if (unit := _unit(address))], identifier)


def _unit(address: object) -> str:
    try:
        return unit_of(address) if isinstance(address, str) else ""
    except ValueError:
        return ""
