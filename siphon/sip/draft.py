"""A message being changed, line by line.

`Draft(message)` starts as the message; every edit replaces, adds or drops whole header lines, so what nobody touched
goes out byte for byte. `to_bytes()` is the edited message, `splices()` the same as edits on the original's bytes;
both see to it that Content-Length is there and right. Names ignore case, compact and long forms are the same header.
ValueError when a name or value holds CR, LF or NUL, or a name is no token: no edit can inject a second header.
"""

from __future__ import annotations

import re
from typing import Any

from siphon.sip._message_cy import SipMessage, is_list, long_form, split_list
from siphon.sip._splice_cy import Splices, apply_splices

_TOKEN = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_FORBIDDEN = re.compile(rb"[\r\n\0]")

Text = str | bytes


def as_bytes(text: Text) -> bytes:
    """Text as it goes on the wire; ValueError for what would end the line."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    if _FORBIDDEN.search(data):
        raise ValueError("CR, LF or NUL in a header, URI or reason phrase")
    return data


def canonical(name: Text) -> str:
    """The name as it is compared: long form, lower case."""
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    return long_form(text.lower())


def header_line(name: Text, value: Text) -> bytes:
    key = as_bytes(name)
    if not _TOKEN.match(key):
        raise ValueError(f"not a header name: {name!r}")
    return key + b": " + as_bytes(value).strip() + b"\r\n"


class _Line:
    """One line: the original's number (-1: a new one), and its new text once it was replaced."""

    __slots__ = ("index", "name", "text")

    def __init__(self, index: int, name: str, text: bytes | None) -> None:
        self.index = index
        self.name = name
        self.text = text


class Draft:
    def __init__(self, message: SipMessage) -> None:
        self.message = message
        self.changed = False
        self._lines = [_Line(i, canonical(message.line(i)[0]), None) for i in range(message.lines)]
        self._lacks = -1
        self._start: bytes | None = None
        self._body: bytes | None = None

    @classmethod
    def lacking(cls, message: SipMessage, line: int) -> Draft:
        """The message without one of its lines, which are read once somebody asks for more than that."""
        draft = cls.__new__(cls)
        draft.message, draft.changed, draft._lacks = message, True, line
        draft._start = draft._body = None
        return draft

    def __getattr__(self, name: str) -> Any:
        if name != "_lines":
            raise AttributeError(name)
        message = self.message
        lines = [_Line(i, canonical(message.line(i)[0]), None) for i in range(message.lines) if i != self._lacks]
        self._lines = lines
        return lines

    @property
    def start_line(self) -> bytes:
        if self._start is not None:
            return self._start
        raw = self.message.raw
        return raw[: raw.index(b"\r\n")]

    @property
    def body(self) -> bytes:
        return self.message.body if self._body is None else self._body

    def lines(self) -> list[tuple[str, bytes]]:
        """(canonical name, value) of every line in order."""
        return [(line.name, self._value(line)) for line in self._lines]

    def get(self, name: Text) -> bytes | None:
        i = self._find(name)
        return None if i < 0 else self._value(self._lines[i])

    def get_all(self, name: Text) -> list[bytes]:
        """Values of all lines of that name, not split at commas."""
        key = canonical(name)
        return [self._value(line) for line in self._lines if line.name == key]

    def values(self, name: Text) -> list[bytes]:
        """All values of that name, comma lists split."""
        found = self.get_all(name)
        return [part for value in found for part in split_list(value)] if is_list(name) else found

    def has(self, name: Text) -> bool:
        return self._find(name) >= 0

    def index(self, name: Text, start: int = 0) -> int:
        """Number of the first line of that name from `start` on, for `replace_line`; -1 when there is none."""
        return self._find(name, start)

    def set(self, name: Text, value: Text) -> None:
        """One line instead of all of that name, where the first was; at the end when there was none."""
        text, key = header_line(name, value), canonical(name)
        at = self._find(name)
        self.changed = True
        if at < 0:
            self._lines.append(_Line(-1, key, text))
            return
        self._lines[at].text = text
        self._lines[at + 1 :] = [line for line in self._lines[at + 1 :] if line.name != key]

    def ensure(self, name: Text, value: Text) -> None:
        if not self.has(name):
            self.set(name, value)

    def append(self, name: Text, value: Text) -> None:
        """A line more, behind those of that name; at the end when there is none."""
        line, key = _Line(-1, canonical(name), header_line(name, value)), canonical(name)
        at = max((i for i, other in enumerate(self._lines) if other.name == key), default=len(self._lines) - 1)
        self._lines.insert(at + 1, line)
        self.changed = True

    def prepend(self, name: Text, value: Text) -> None:
        """A line more, on top of those of that name; before all headers when there is none."""
        line = _Line(-1, canonical(name), header_line(name, value))
        self._lines.insert(max(self._find(name), 0), line)
        self.changed = True

    def remove(self, name: Text) -> None:
        """All lines of that name; absent is fine."""
        key = canonical(name)
        self._keep([line for line in self._lines if line.name != key])

    def remove_prefix(self, prefix: str) -> None:
        """All lines whose name, in its long form, starts with the prefix, case ignored."""
        start = prefix.lower()
        self._keep([line for line in self._lines if not line.name.startswith(start)])

    def remove_from_list(self, name: Text, value: Text) -> None:
        """Entries equal to value, case ignored; a line that has none left goes."""
        unwanted = as_bytes(value).strip().lower()
        for i in range(len(self._lines) - 1, -1, -1):
            line = self._lines[i]
            if line.name != canonical(name):
                continue
            entries = split_list(self._value(line))
            kept = [entry for entry in entries if entry.lower() != unwanted]
            if len(kept) == len(entries):
                continue
            self.changed = True
            if kept:
                line.text = self._name(line) + b": " + b", ".join(kept) + b"\r\n"
            else:
                del self._lines[i]

    def replace_line(self, i: int, value: Text) -> None:
        """A new value for line i of the draft, its name as it was written."""
        line = self._lines[i]
        line.text = header_line(self._name(line), value)
        self.changed = True

    def remove_line(self, i: int) -> None:
        del self._lines[i]
        self.changed = True

    def set_uri(self, uri: Text) -> None:
        """A new Request-URI. ValueError for white space in it."""
        data = as_bytes(uri)
        if not data or b" " in data or b"\t" in data:
            raise ValueError(f"not a Request-URI: {uri!r}")
        method, _, rest = self.start_line.partition(b" ")
        self.set_start_line(method + b" " + data + b" " + rest.rpartition(b" ")[2])

    def set_start_line(self, line: Text) -> None:
        self._start = as_bytes(line)
        self.changed = True

    def set_body(self, body: bytes, content_type: str | None = None) -> None:
        """Content-Length follows; Content-Type when given."""
        self._body = bytes(body)
        self.changed = True
        if content_type is not None:
            self.set("Content-Type", content_type)

    def only_lacks(self, names: frozenset[str]) -> bool:
        """Whether nothing was changed but that lines of these names (canonical) are gone."""
        if self._start is not None or self._body is not None:
            return False
        if "_lines" not in self.__dict__:
            return canonical(self.message.line(self._lacks)[0]) in names
        if any(line.text is not None for line in self._lines):
            return False
        kept = {line.index for line in self._lines}
        message = self.message
        return all(i in kept or canonical(message.line(i)[0]) in names for i in range(message.lines))

    def to_bytes(self) -> bytes:
        return apply_splices(self.message.raw, self.splices())

    def splices(self) -> Splices:
        """The edits on `message.raw`, Content-Length put right."""
        message = self.message
        raw = message.raw
        lines = self._with_content_length()
        first = raw.index(b"\r\n") + 2
        found: Splices = []
        if self._start is not None and self._start != raw[: first - 2]:
            found.append((0, first - 2, self._start))
        at = first
        pending = b""
        for line in lines:
            if line.index < 0:
                pending += line.text or b""
                continue
            start, _, _, end = message.span(line.index)
            if line.text is None:
                _add(found, at, start, pending)
                pending = b""
                at = end
            else:
                pending += line.text
        _add(found, at, message.body_start - 2, pending)
        if self._body is not None and self._body != message.body:
            _add(found, message.body_start, len(raw), self._body)
        return found

    def _with_content_length(self) -> list[_Line]:
        size = len(self.body)
        own = [line for line in self._lines if line.name == "content-length"]
        if own and all(self._value(line).isdigit() and int(self._value(line)) == size for line in own):
            return self._lines
        text = b"Content-Length: %d\r\n" % size
        if not own:
            return [*self._lines, _Line(-1, "content-length", text)]
        others = [line for line in self._lines if line.name != "content-length" or line is own[0]]
        return [_Line(line.index, line.name, text) if line is own[0] else line for line in others]

    def _find(self, name: Text, start: int = 0) -> int:
        key = canonical(name)
        for i in range(start, len(self._lines)):
            if self._lines[i].name == key:
                return i
        return -1

    def _value(self, line: _Line) -> bytes:
        if line.text is None:
            return self.message.value_of(line.index)
        return line.text.partition(b":")[2].strip()

    def _name(self, line: _Line) -> bytes:
        if line.text is None:
            return self.message.line(line.index)[0]
        return line.text.partition(b":")[0]

    def _keep(self, kept: list[_Line]) -> None:
        self.changed = self.changed or len(kept) != len(self._lines)
        self._lines = kept


def _add(found: Splices, start: int, end: int, text: bytes) -> None:
    if start != end or text:
        found.append((start, end, text))
