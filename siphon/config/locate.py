"""Finds the lines on which the keys of a TOML text stand; the standard reader does not tell.

`lines("[a]\\nb = [1,\\n2]")` is {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "b", 0): 2, ("a", "b", 1): 3}: a path is made
of names and of places in lists. The text has been read by tomllib before, so nothing is checked here; where this
scanner does not follow, it stops and the lines found so far must do. It is for messages only.
"""

import contextlib
import re
from bisect import bisect_right

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}\n#]*")
_BASIC = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\[\s\S]|"(?!"")|""(?!"))*"""("{0,2})')
_LONG_LITERAL = re.compile(r"'''[\s\S]*?'''('{0,2})")


class _Lost(Exception):
    """The scanner does not understand what stands here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.found: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}

    def note(self, path: Path) -> None:
        self.found.setdefault(path, bisect_right(self.starts, self.at))

    def blank(self) -> str:
        """Past white space and comments; the character found there, or "" at the end."""
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _Lost
        self.at = match.end()
        return match

    def expect(self, character: str) -> None:
        if self.blank() != character:
            raise _Lost
        self.at += 1

    def document(self) -> None:
        table: Path = ()
        while first := self.blank():
            if first == "[":
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> Path:
        array = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if array else 1
        names = self.key()
        for _ in range(2 if array else 1):
            self.expect("]")
        end, self.at = self.at, start
        path = self.resolve(names[:-1]) + names[-1:]
        if array:
            self.note(path)
            self.counts[path] = self.counts.get(path, 0) + 1
        path = self.resolve(names)
        for length in range(1, len(path) + 1):
            self.note(path[:length])
        self.at = end
        return path

    def resolve(self, names: Path) -> Path:
        """A header's names, with the place of the newest element wherever a list of tables is passed."""
        path: Path = ()
        for name in names:
            path = (*path, name)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def key(self) -> Path:
        names: list[str | int] = []
        while True:
            first = self.blank()
            if first == '"':
                names.append(_unescape(self.take(_BASIC)[1]))
            else:
                names.append(self.take(_LITERAL)[1] if first == "'" else self.take(_BARE_KEY)[0])
            if self.blank() != ".":
                return tuple(names)
            self.at += 1

    def pair(self, table: Path) -> None:
        self.blank()
        start = self.at
        names = self.key()
        end, self.at = self.at, start
        for length in range(1, len(names) + 1):
            self.note((*table, *names[:length]))
        self.at = end
        self.expect("=")
        self.value((*table, *names))

    def value(self, path: Path) -> None:
        first = self.blank()
        if first == "[":
            self.items(path)
        elif first == "{":
            self.fields(path)
        elif self.text.startswith(('"""', "'''"), self.at):
            self.take(_LONG_BASIC if first == '"' else _LONG_LITERAL)
        elif first in ('"', "'"):
            self.take(_BASIC if first == '"' else _LITERAL)
        else:
            self.take(_BARE_VALUE)

    def items(self, path: Path) -> None:
        self.at += 1
        place = 0
        while self.blank() != "]":
            self.note((*path, place))
            self.value((*path, place))
            place += 1
            if self.blank() == ",":
                self.at += 1
            elif self.blank() != "]":
                raise _Lost
        self.at += 1

    def fields(self, path: Path) -> None:
        self.at += 1
        while self.blank() != "}":
            self.pair(path)
            if self.blank() == ",":
                self.at += 1
            elif self.blank() != "}":
                raise _Lost
        self.at += 1


def _unescape(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if code:
            number = int(code, 16)
            return chr(number) if number < 0x110000 else "\ufffd"
        return {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}.get(match[3], match[3])

    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", character, text)


def lines(text: str) -> dict[Path, int]:
    """Line numbers, from 1, of every key and list element that the scanner could find."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Lost, RecursionError):
        scanner.document()
    return scanner.found


def line_of(found: dict[Path, int], path: Path) -> int | None:
    """The line of `path`, or of the nearest table around it; None where nothing but the whole file is around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return None
