"""The form in which an address of record is stored and looked up, and who says whether it is ours."""

from __future__ import annotations

import re
from typing import Protocol

from siphon.sip.uri import NameAddr, Uri, address_of_record

_SCHEME = re.compile(r"(?:sips?|tel|urn|mailto|im|pres):|[a-z][a-z0-9+.\-]*:(?!\d+(?:[;?]|$))", re.IGNORECASE)


class Identity(Protocol):
    """Who we are: local domains, and addresses that name us."""

    def is_local(self, host: str) -> bool: ...

    def names_us(self, host: str, port: int | None) -> bool: ...


def address_of_record_of(value: object) -> str | None:
    """The AoR form of a URI, or of the text of one: no display name, brackets, parameters or headers; `sip:` added
    when there is no scheme; escapes of unreserved characters decoded, host lower-cased, default port dropped.

    None for what is no URI.
    """
    try:
        aor: str = address_of_record(value if isinstance(value, Uri) else _parse(str(value)))
    except ValueError:
        return None
    return aor


def _parse(text: str) -> Uri:
    text = text.strip()
    if "<" in text:
        return NameAddr.parse(text.encode("utf-8", "surrogateescape")).uri
    if not _SCHEME.match(text):  # "bob@example.com", "example.com:5070" have none
        text = "sip:" + text
    return Uri.parse(text)
