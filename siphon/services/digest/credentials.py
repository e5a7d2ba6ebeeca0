"""One Authorization or Proxy-Authorization value, taken apart (RFC 3261 §20.7, §25.1; RFC 7616 §3.4).

In comes the value of one header line, unfolded. Out come the parameters, names in lower case. White space around `=`
and `,` is free, empty list elements pass, quotes are accepted around any value, unknown parameters are ignored.
A value that cannot be read, or a parameter that stands twice, makes `faulty` true: what was readable is kept, so that
the caller can tell whether the fault concerns its realm. Another scheme than Digest gives None and is never looked at.

The work is linear in the length: the patterns are possessive and never go back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_SCHEME = re.compile(rb"[ \t]*([A-Za-z0-9\-.!%*_+`'~]++)[ \t\r\n]++")
_PARAMETER = re.compile(
    rb"[ \t\r\n,]*+([A-Za-z0-9\-.!%*_+`'~]++)[ \t\r\n]*+=[ \t\r\n]*+"
    rb'(?:"((?:[^"\\]++|\\.)*+)"|([^\s,"]*+))[ \t\r\n]*+(?=,|$)',
    re.DOTALL,
)
_REST = re.compile(rb"[ \t\r\n,]*+")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(slots=True)
class Credentials:
    """The parameters as sent, quotes taken off, quoted pairs left in. `faulty`: a parameter twice, or not readable."""

    parameters: dict[str, bytes]
    faulty: bool

    def raw(self, name: str) -> bytes | None:
        """The value with its quoted pairs, as some clients hash it."""
        return self.parameters.get(name)

    def value(self, name: str) -> bytes | None:
        """The value with quoted pairs resolved."""
        found = self.parameters.get(name)
        return found if found is None or b"\\" not in found else _ESCAPE.sub(rb"\1", found)

    def user(self) -> bytes | None:
        """The user name from `username`, or from `username*` in the form of RFC 5987 (UTF-8 only)."""
        plain = self.value("username")
        if plain is not None:
            return plain
        extended = self.value("username*")
        if extended is None or extended[:6].lower() != b"utf-8'":
            return None
        _, quote, text = extended[6:].partition(b"'")
        return unquote_to_bytes(text) if quote else None

    @property
    def has_escapes(self) -> bool:
        return any(b"\\" in value for value in self.parameters.values())


def parse_credentials(value: bytes) -> Credentials | None:
    """The digest credentials in one header value, None when the scheme is another one."""
    scheme = _SCHEME.match(value)
    if scheme is None or scheme.group(1).lower() != b"digest":
        return None
    parameters: dict[str, bytes] = {}
    faulty = False
    position = scheme.end()
    while found := _PARAMETER.match(value, position):
        written, quoted, token = found.groups()
        name = written.decode("ascii").lower()
        if name in parameters:
            faulty = True
        else:
            parameters[name] = token if quoted is None else quoted
        position = found.end()
    return Credentials(parameters, faulty or _REST.fullmatch(value, position) is None)
