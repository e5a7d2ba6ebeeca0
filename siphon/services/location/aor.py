"""The form in which an address of record is stored and looked up, and who says whether it is ours."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from siphon.sip.uri import NameAddr, Uri, address_of_record

_SCHEME = re.compile(r"(?:sips?|tel|urn|mailto|im|pres):|[a-z][a-z0-9+.\-]*:(?!\d+(?:[;?]|$))", re.IGNORECASE)

CACHED_LENGTH = 256  # characters; longer texts are worked out each time, so that the cache stays small


class Identity(Protocol):
    """Who we are: local domains, and addresses that name us."""

    def is_local(self, host: str) -> bool: ...

    def names_us(self, host: str, port: int | None) -> bool: ...


def address_of_record_of(value: object) -> str | None:
    """The AoR form of a URI, or of the text of one: no display name, brackets, parameters or headers; `sip:` added
    when there is no scheme; escapes of unreserved characters decoded, host lower-cased, default port dropped.

    None for what is no URI.
    """
    if isinstance(value, Uri):
        return _form(value)
    text = value if type(value) is str else str(value)
    return _known(text) if len(text) <= CACHED_LENGTH else _of_text(text)


def _form(uri: Uri) -> str | None:
    try:
        return address_of_record(uri)
    except ValueError:
        return None


def _of_text(text: str) -> str | None:
    try:
        return address_of_record(_parse(text))
    except ValueError:
        return None


_known = lru_cache(maxsize=4096)(_of_text)


def _parse(text: str) -> Uri:
    text = text.strip()
    if "<" in text:
        return NameAddr.parse(text.encode("utf-8", "surrogateescape")).uri
    if not _SCHEME.match(text):  # "bob@example.com", "example.com:5070" have none
        text = "sip:" + text
    return Uri.parse(text)
