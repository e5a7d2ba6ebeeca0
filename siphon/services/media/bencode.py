"""Bencoding, as the NG protocol of RTPEngine uses it: numbers, byte strings, lists, and dictionaries in any order.

`decode` takes what comes from the network: DEPTH and ITEMS bound it, and anything that is not one whole value is a
BadBencoding. Keys of dictionaries are given as text. Only what fits a datagram is decoded, so lengths need no bound of
their own; a number is at most DIGITS long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEPTH = 16
ITEMS = 20_000
DIGITS = 20

Value = int | bytes | str | Sequence[Any] | Mapping[str, Any]


class BadBencoding(ValueError):
    """Not one bencoded value within the bounds."""


def encode(value: Value) -> bytes:
    """A value as bytes; text as UTF-8. TypeError for what has no encoding."""
    parts: list[bytes] = []
    _put(parts, value)
    return b"".join(parts)


def _put(parts: list[bytes], value: Value) -> None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        parts.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, Mapping):
        parts.append(b"d")
        for key, inner in value.items():
            _put(parts, key)
            _put(parts, inner)
        parts.append(b"e")
    elif isinstance(value, Sequence):
        parts.append(b"l")
        for inner in value:
            _put(parts, inner)
        parts.append(b"e")
    else:
        raise TypeError(f"{type(value).__name__} cannot be bencoded")


def decode(data: bytes) -> Any:
    """The value that `data` is: int, bytes, list or dict."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise BadBencoding("bytes after the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.items = 0

    def value(self, depth: int) -> Any:
        self.items += 1
        if depth > DEPTH or self.items > ITEMS:
            raise BadBencoding("too deep, or too many values")
        kind = self.data[self.at : self.at + 1]
        if kind.isdigit():
            return self.text()
        self.at += 1
        if kind == b"i":
            return self.number(b"e", signed=True)
        if kind == b"l":
            found: list[Any] = []
            while not self.ends():
                found.append(self.value(depth + 1))
            return found
        if kind == b"d":
            return self.pairs(depth)
        raise BadBencoding("no value")

    def pairs(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self.ends():
            key = self.text().decode("utf-8", "surrogateescape")
            found[key] = self.value(depth + 1)
        return found

    def ends(self) -> bool:
        if self.data[self.at : self.at + 1] != b"e":
            return False
        self.at += 1
        return True

    def text(self) -> bytes:
        size = self.number(b":", signed=False)
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise BadBencoding("a string that is cut off")
        return self.data[start : self.at]

    def number(self, end: bytes, signed: bool) -> int:
        stop = self.data.find(end, self.at, self.at + DIGITS + 2)
        digits = self.data[self.at : max(stop, self.at)]
        unsigned = digits[1:] if signed and digits[:1] == b"-" else digits
        if not unsigned.isdigit():
            raise BadBencoding("not a number")
        self.at = stop + 1
        return int(digits)
