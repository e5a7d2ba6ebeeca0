"""Text of scripts to bytes of messages and back; the one place that keeps CR, LF and NUL out of a message.

Bytes that are not UTF-8 become lone surrogates and go back to the same bytes, so what a script reads and writes back is
unchanged. Every setter passes its names and values through here: a script can never inject a header.
"""

from __future__ import annotations

import re

_FORBIDDEN = re.compile("[\r\n\0]")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
NAMES = 256
NAME_CHARACTERS = 40
HEADER_NAMES: set[str] = set()
"""Names that scripts have used and that are tokens: the first NAMES of them."""
_MEDIA_TYPE = re.compile(r"\s*([^;\s]*)")


def decode(value: bytes) -> str:
    """Bytes of a message as text; invalid UTF-8 survives the way back."""
    return value.decode("utf-8", "surrogateescape")


def encode(value: str) -> bytes:
    """The bytes of a text that `decode` gave, or of any text of a script."""
    return value.encode("utf-8", "surrogateescape")


def one_line(value: object, what: str) -> str:
    """`value` as text that fits in one line; TypeError for other types, ValueError for CR, LF and NUL."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    if not value.isprintable() and _FORBIDDEN.search(value):
        raise ValueError(f"{what} contains CR, LF or NUL: {value!r}")
    return value


def header_name(name: object) -> str:
    """A header name as a script gives it: a token (RFC 3261 §25.1), else ValueError."""
    if type(name) is str and name in HEADER_NAMES:
        return name
    text = one_line(name, "header name")
    if not _TOKEN.match(text):
        raise ValueError(f"not a header name: {text!r}")
    if len(text) <= NAME_CHARACTERS and len(HEADER_NAMES) < NAMES:
        HEADER_NAMES.add(text)
    return text


def header_value(value: object) -> str:
    """A header value; numbers are written as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return one_line(value, "header value").strip(" \t")


def token(value: object, what: str) -> str:
    """A token such as a tag."""
    text = one_line(value, what)
    if not _TOKEN.match(text):
        raise ValueError(f"not a {what}: {text!r}")
    return text


def body_bytes(body: object) -> bytes:
    """A body given as str or bytes."""
    if isinstance(body, str):
        return encode(body)
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"body must be str or bytes, not {type(body).__name__}")


def media_type(value: str) -> str:
    """The media type of a Content-Type value in lower case, without parameters."""
    match = _MEDIA_TYPE.match(value)
    return match.group(1).lower() if match else ""


def quoted(name: str) -> str:
    """A display name as it stands before `<`: tokens bare, anything else as a quoted string."""
    if name == "" or all(_TOKEN.match(word) for word in name.split(" ")):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
