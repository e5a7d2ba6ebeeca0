"""ENUM: the URI that DNS gives for a telephone number (RFC 6116).

In: a number, the suffix of the tree, the service wanted. Out: the URI, or None: no number, no usable record, no answer.
Nothing raises for what DNS says. A record is usable when its service field is the one wanted, its flag is `u` and its
regexp turns the number, `+` and digits, into a URI. The first usable one by order and preference counts. A record that
leads to another name (no flag) is not followed.

Who owns the zone writes the regexp, so it is foreign input. It runs in RE2, in time linear to its length and the
number's, with POSIX syntax and the longest match; `\\d` and its like are understood too, since zones use them. Where a
match can be parted in several ways, RE2's groups may not be those of POSIX. What RE2 finds too large is not usable.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Protocol

import re2  # type: ignore[import-untyped]

from siphon.services.dns.ares import DnsFault
from siphon.services.dns.order import Naptr
from siphon.sip.uri import Uri

LONGEST_NUMBER = 15
"""Digits of an E.164 number."""
LONGEST_NAME = 253
RECORDS = 16
"""Records of the service that are looked at."""
LONGEST_URI = 1024
MEMORY_BYTES = 1 << 20
"""What RE2 may use for one regexp."""

_NOT_A_DIGIT = re.compile(r"[^0-9]+")
_SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\Z")


class Asker(Protocol):
    """Who answers questions for NAPTR records; raises DnsFault."""

    async def naptr(self, name: str) -> tuple[list[Naptr], float]: ...


class Enum:
    """Looks numbers up. `asker` gives the one of the moment, `seconds` is the limit of one look-up."""

    def __init__(self, asker: Callable[[], Asker], seconds: float) -> None:
        self._asker = asker
        self._seconds = seconds

    async def lookup(self, number: str, suffix: str, service: str) -> str | None:
        """The URI of a number, or None."""
        digits = _NOT_A_DIGIT.sub("", number)
        name = domain(digits, suffix)
        if name is None:
            return None
        try:
            records, _ = await asyncio.wait_for(self._asker().naptr(name), self._seconds)
        except (DnsFault, TimeoutError):
            return None
        return best(records, service, f"+{digits}")


def domain(digits: str, suffix: str) -> str | None:
    """Where the records of a number stand; None when there is no such place."""
    tree = suffix.strip(".")
    if not 0 < len(digits) <= LONGEST_NUMBER or not _SUFFIX.match(tree):
        return None
    name = ".".join([*reversed(digits), tree])
    return name if len(name) <= LONGEST_NAME else None


def best(records: Iterable[Naptr], service: str, number: str) -> str | None:
    """The URI of the first usable record; None when there is none."""
    wanted = [r for r in records if r.service.lower() == service.lower() and r.flags.lower() == "u"]
    wanted.sort(key=lambda r: (r.order, r.preference))
    uris = (substituted(r.regexp, number) for r in wanted[:RECORDS])
    return next((uri for uri in uris if uri is not None and _is_uri(uri)), None)


def substituted(expression: str, number: str) -> str | None:
    r"""What a substitution expression (RFC 3402 §3.2), `!pattern!replacement!flags`, makes of the number: the
    replacement with `\1` to `\9` filled in. None when it is none, or does not match."""
    parts = _split(expression)
    if parts is None:
        return None
    pattern, replacement, flags = parts
    try:
        found = re2.compile(pattern, _options(flags.lower() == "i")).search(number)
    except re2.error:
        return None
    return None if found is None else _filled(replacement, [found.group(0), *found.groups()])


def _split(expression: str) -> tuple[str, str, str] | None:
    """Pattern, replacement and flags between the delimiters; an escaped delimiter is one of the text."""
    delimiter = expression[:1]
    if not delimiter or delimiter in "123456789iI\\":
        return None
    pieces = [""]
    escaped = False
    for character in expression[1:]:
        if escaped and character != delimiter:
            pieces[-1] += "\\"
        if not escaped and character == delimiter:
            pieces.append("")
        elif escaped or character != "\\":
            pieces[-1] += character
        escaped = not escaped and character == "\\"
    if escaped or len(pieces) != 3 or pieces[2].lower() not in ("", "i"):
        return None
    return pieces[0], pieces[1], pieces[2]


def _options(ignore_case: bool) -> re2.Options:
    options = re2.Options()
    options.posix_syntax = options.longest_match = options.perl_classes = True
    options.case_sensitive = not ignore_case
    options.max_mem = MEMORY_BYTES
    options.log_errors = False
    return options


def _filled(replacement: str, groups: list[str | None]) -> str | None:
    """The replacement with its groups; None when it names one that the pattern does not have."""
    filled = ""
    escaped = False
    for character in replacement:
        if escaped and character in "123456789":
            number = int(character)
            if number >= len(groups):
                return None
            filled += groups[number] or ""
        elif escaped or character != "\\":
            filled += character
        escaped = not escaped and character == "\\"
    return filled


def _is_uri(text: str) -> bool:
    if len(text) > LONGEST_URI or not text.isascii():
        return False
    try:
        Uri.parse(text)
    except ValueError:
        return False
    return True
