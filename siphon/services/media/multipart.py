"""Where the session description lies in a body of several parts (RFC 2046 §5.1, RFC 5621).

`sdp_span(content_type, body)` gives start and end of the first part of type application/sdp, or None: no such part, no
boundary, or more than PARTS of them. What lies outside the span is nobody's business here: it goes out as it came in.
Delimiter lines may end by LF alone. Parts within parts are not looked into.
"""

from __future__ import annotations

import re

PARTS = 32
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.){1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_SDP = re.compile(rb"\ncontent-type[ \t]*:[ \t]*application/sdp[ \t]*(?:;|\r?\n|\Z)", re.IGNORECASE)


def is_multipart(content_type: str) -> bool:
    """Whether a body of this type has parts."""
    return content_type.strip().lower().startswith("multipart/")


def sdp_span(content_type: str, body: bytes) -> tuple[int, int] | None:
    """(start, end) of the part's content."""
    boundary = _boundary(content_type)
    if boundary is None:
        return None
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    start = None
    for number, found in enumerate(delimiter.finditer(body)):
        if start is not None and (span := _content(body, start, found.start())):
            return span
        if found[1] or number >= PARTS:
            return None
        start = found.end()
    return None


def _boundary(content_type: str) -> bytes | None:
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    text = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
    return text.encode("utf-8", "surrogateescape")


def _content(body: bytes, start: int, end: int) -> tuple[int, int] | None:
    head = _HEADER_END.search(body, start, end)
    if head is None or not _SDP.search(body, start, head.start()):
        return None
    return head.end(), end
