"""`request.vars`: a dict that lies packed (msgpack) in the transaction record.

Unpacked when a handler asks, packed and checked when the handlers have returned: an unsuitable value or too many bytes
counts as an exception in the handler. Reply-time handlers write back only the keys they changed, since another worker
may have changed others meanwhile.
"""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]


def pack(values: dict[str, Any], limit: int | None = None) -> bytes:
    """The dict as bytes, b"" when empty. TypeError for what msgpack does not hold, ValueError above `limit` bytes."""
    if not values:
        return b""
    _check(values, "vars", 0)
    packed = _pack(values)
    if limit is not None and len(packed) > limit:
        raise ValueError(f"vars take {len(packed)} bytes, shared.vars_bytes allows {limit}")
    return packed


def unpack(packed: bytes) -> dict[str, Any]:
    """What `pack` made; {} for b"". ValueError when it is not a packed dict."""
    if not packed:
        return {}
    try:
        values = msgpack.unpackb(packed, raw=False, unicode_errors="surrogateescape", strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"stored vars are damaged: {error}") from error
    if not isinstance(values, dict):
        raise ValueError("stored vars are damaged: not a dict")
    return values


def merge(stored: bytes, written: dict[str, Any], deleted: list[str]) -> bytes:
    """The stored dict with the keys that a handler wrote or deleted: last writer wins, key by key."""
    values = unpack(stored)
    values.update(written)
    for name in deleted:
        values.pop(name, None)
    return pack(values)


def changes(before: bytes, after: dict[str, Any], limit: int | None = None) -> tuple[dict[str, Any], list[str]]:
    """The keys of `after` whose value differs from that in `before`, and those that are gone. Raises as `pack`."""
    if pack(after, limit) == before:
        return {}, []
    old = unpack(before)
    written = {name: value for name, value in after.items() if name not in old or _pack(old[name]) != _pack(value)}
    return written, [name for name in old if name not in after]


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def _check(value: object, where: str, depth: int) -> None:
    """TypeError for a value that would not come back equal from msgpack."""
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return
    if depth > 32:
        raise ValueError(f"{where} is nested too deeply")
    if kind is int:
        if not -(2**63) <= value < 2**63:  # type: ignore[operator]
            raise ValueError(f"{where} does not fit in 64 bits")
    elif kind is list:
        for i, item in enumerate(value):  # type: ignore[var-annotated,arg-type]
            _check(item, f"{where}[{i}]", depth + 1)
    elif kind is dict:
        for name, item in value.items():  # type: ignore[attr-defined]
            if type(name) is not str:
                raise TypeError(f"{where} has a key of type {type(name).__name__}; keys are str")
            _check(item, f"{where}[{name!r}]", depth + 1)
    else:
        raise TypeError(f"{where} is a {kind.__name__}; vars hold None, bool, int, float, str, bytes, list and dict")
