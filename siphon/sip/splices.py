"""Edits as splices on the original bytes (see `_splice_cy`), and the difference of two messages as splices."""

from __future__ import annotations

from difflib import SequenceMatcher

from siphon.sip._splice_cy import Splices, apply_splices, pack_splices, unpack_splices

__all__ = ["Splices", "apply_splices", "diff_splices", "pack_splices", "unpack_splices"]


def diff_splices(old: bytes, new: bytes) -> Splices:
    """Splices that turn `old` into `new`, line-wise; always right, seldom the shortest. More than 600 lines to compare:
    one splice for what lies between the equal lines at both ends."""
    if old == new:
        return []
    a, b = _lines(old), _lines(new)
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    at = sum(map(len, a[:head]))
    a, b = a[head : len(a) - tail], b[head : len(b) - tail]
    if len(a) + len(b) > 600:
        return [(at, at + sum(map(len, a)), b"".join(b))]
    found: Splices = []
    offsets = [at]
    for line in a:
        offsets.append(offsets[-1] + len(line))
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            found.append((offsets[a1], offsets[a2], b"".join(b[b1:b2])))
    return found


def _lines(text: bytes) -> list[bytes]:
    *lines, rest = text.split(b"\n")
    return [line + b"\n" for line in lines] + [rest]
