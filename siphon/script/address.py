"""The text of address headers (From, To, Contact, Route): where its parts are, and the text with one part changed."""

from __future__ import annotations

import re

from siphon.script import text

_NEED_BRACKETS = frozenset(";?,")
_TO_BRACKET = re.compile(r'(?:[^"<;,]++|"(?:[^"\\]++|\\.)*+")*+<', re.DOTALL)
_NO_BRACKET = re.compile(r'[^"<;,]*+(?=[;,]|\Z)')


def uri_span(value: str) -> tuple[int, int, bool]:
    """Where the URI of the first address in `value` starts and ends, and whether it stands in brackets."""
    if found := _TO_BRACKET.match(value):
        end = value.find(">", found.end())
        return found.end(), len(value) if end < 0 else end, True
    found = _NO_BRACKET.match(value)
    i = found.end() if found else _end_of_first(value)
    start = len(value) - len(value.lstrip())
    return start, start + len(value[start:i].rstrip()), False


def _end_of_first(value: str) -> int:
    """Where the first address ends that has quotes and no brackets."""
    quoted = False
    i = 0
    while i < len(value):
        c = value[i]
        if quoted and c == "\\":
            i += 1
        elif c == '"':
            quoted = not quoted
        elif c in ";," and not quoted:
            break
        i += 1
    return i


def first_address(value: str) -> str:
    """The first entry of a comma list of addresses."""
    _, end, bracketed = uri_span(value)
    quoted = False
    for i in range(end, len(value)):
        if value[i] == '"':
            quoted = not quoted
        elif value[i] == "," and not quoted:
            return value[:i].rstrip()
    return value if bracketed or end else value[:end]


def replace_uri(value: str, uri: str) -> str:
    """`value` with another URI; display name and parameters stay."""
    start, end, bracketed = uri_span(value)
    if not bracketed and _NEED_BRACKETS.intersection(uri):
        uri = f"<{uri}>"
    return value[:start] + uri + value[end:]


def replace_display(value: str, name: str) -> str:
    """`value` with another display name ("": none); URI and parameters stay."""
    start, end, bracketed = uri_span(value)
    rest = value[start - 1 :] if bracketed else f"<{value[start:end]}>{value[end:]}"
    return f"{text.quoted(name)} {rest}" if name else rest


def parameter(value: str, name: str) -> str | None:
    """The value of a header parameter of the first address, "" for a flag, None when absent."""
    _, end, bracketed = uri_span(value)
    for piece in first_address(value)[end + bracketed :].split(";")[1:]:
        key, _, found = piece.partition("=")
        if key.strip().lower() == name:
            return found.strip()
    return None
