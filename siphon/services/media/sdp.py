"""A session description (RFC 8866) as its lines, so that what nobody changes goes out as it came in.

`SessionDescription.of(text)` takes any text: a description is a list of lines, each `m=` line begins a section. Lines
end by CRLF, LF or CR and are written with CRLF, so text in CRLF lines is written back byte for byte; unknown and
malformed lines, blank ones included, keep their place. A section is a live view: what is changed in it is changed in
the description, and one that was removed raises IndexError whenever it is used.

Formats of sections over RTP are payload types; they have the name that `rtpmap` gives, else the static one of RFC 3551.
In other sections (T.38, data channels) formats are words that no filter touches. Work is linear in the text, and text
longer than LONGEST is refused. Setters raise ValueError for what would not be one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

LONGEST = 1 << 20
"""Characters of a description; a UDP datagram holds less than a tenth."""
STATIC = {
    0: "PCMU",
    3: "GSM",
    4: "G723",
    5: "DVI4",
    6: "DVI4",
    7: "LPC",
    8: "PCMA",
    9: "G722",
    10: "L16",
    11: "L16",
    12: "QCELP",
    13: "CN",
    14: "MPA",
    15: "G728",
    16: "DVI4",
    17: "DVI4",
    18: "G729",
    25: "CelB",
    26: "JPEG",
    28: "nv",
    31: "H261",
    32: "MPV",
    33: "MP2T",
    34: "H263",
}
"""RFC 3551 §6, tables 4 and 5."""
_BEFORE = {"o=": ("v=",), "c=": ("v=", "o=", "s=", "i=", "u=", "e=", "p=", "m=")}
"""What stands before a line of this kind (RFC 8866 §5)."""
_LINE_END = re.compile("\r\n|\n|\r")
_ONE_LINE = re.compile("[\r\n\0]")
_PORT = re.compile(r"[0-9]{1,5}")
_CODEC_LINES = ("a=rtpmap:", "a=fmtp:")
_OF_A_FORMAT = re.compile(r"a=(?:rtpmap|fmtp|rtcp-fb):(\S+)")


class Part:
    """The lines of a description before its first section, or those of one section."""

    __slots__ = ("_lines",)

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def _open(self) -> list[str]:
        """The lines, to read or change; IndexError where they are gone."""
        return self._lines

    def _is_listed(self, line: str) -> bool:
        return line.startswith("a=")

    # -- attributes

    @property
    def attrs(self) -> list[str]:
        """What stands after `a=`, in order; assigned, it replaces these lines, at the place of the first."""
        return [line[2:] for line in self._open() if self._is_listed(line)]

    @attrs.setter
    def attrs(self, values: Iterable[str]) -> None:
        values = _texts(values, "attrs")
        new = [f"a={_one_line(value, 'attribute')}" for value in values]
        _replace(self._open(), self._is_listed, new)

    def get_attr(self, name: str) -> str | None:
        """The value of the first attribute of that name: "" for a flag, None where there is none."""
        return next(iter(self.get_attrs_by_name(name)), None)

    def get_attrs_by_name(self, name: str) -> list[str]:
        """The values of all attributes of that name, in order."""
        matches = _named(name)
        return [line.partition(":")[2] for line in self._open() if matches(line)]

    def has_attr(self, name: str) -> bool:
        """Whether there is an attribute of that name."""
        return any(map(_named(name), self._open()))

    def set_attr(self, name: str, value: str = "") -> None:
        """Give the first attribute of that name this value; appended where there is none. "" makes a flag."""
        line, matches, lines = _attribute(name, value), _named(name), self._open()
        for place, known in enumerate(lines):
            if matches(known):
                lines[place] = line
                return
        _append(lines, [line])

    def set_attrs_by_name(self, name: str, values: Iterable[str]) -> None:
        """Attributes with these values replace all of that name, at the place of the first; no values remove them."""
        values = _texts(values, "values")
        _replace(self._open(), _named(name), [_attribute(name, value) for value in values])

    def remove_attr(self, name: str) -> None:
        """Remove all attributes of that name."""
        _replace(self._open(), _named(name), [])

    @property
    def connection(self) -> str | None:
        """What stands after `c=` here; assigned where there is none, it gets its place before `b=` and attributes."""
        return self._value("c=")

    @connection.setter
    def connection(self, value: str) -> None:
        self._set_value("c=", value)

    def _value(self, kind: str) -> str | None:
        return next((line[2:] for line in self._open() if line.startswith(kind)), None)

    def _set_value(self, kind: str, value: str) -> None:
        line, lines = kind + _one_line(value, kind), self._open()
        found = next((place for place, known in enumerate(lines) if known.startswith(kind)), None)
        if found is not None:
            lines[found] = line
            return
        before = [place for place, known in enumerate(lines) if known[:2] in _BEFORE[kind]]
        lines.insert(before[-1] + 1 if before else 0, line)


class MediaSection(Part):
    """One `m=` line and what belongs to it. `attrs` leaves rtpmap and fmtp out, which `codecs` tells of."""

    __slots__ = ("_removed",)

    def __init__(self, lines: list[str]) -> None:
        super().__init__(lines)
        self._removed = False

    def _open(self) -> list[str]:
        if self._removed:
            raise IndexError("this media section was removed from its description")
        return self._lines

    def _is_listed(self, line: str) -> bool:
        return line.startswith("a=") and not line.startswith(_CODEC_LINES)

    def _words(self) -> list[str]:
        return self._open()[0][2:].split()

    def _word(self, place: int) -> str:
        words = self._words()
        return words[place] if len(words) > place else ""

    @property
    def media_type(self) -> str:
        """`audio`, `video`, `image` ..."""
        return self._word(0)

    @property
    def port(self) -> int:
        """The port; 0, also where there is no number, means that the section is refused."""
        found = _PORT.match(self._word(1))
        return int(found[0]) if found else 0

    @port.setter
    def port(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"port must be int, not {type(value).__name__}")
        if not 0 <= value <= 65535:
            raise ValueError(f"port is 0 to 65535, not {value}")
        words = self._words()
        _, slash, count = (self._word(1) if value else "").partition("/")
        words[1:2] = [f"{value}{slash}{count}"]
        self._lines[0] = "m=" + " ".join(words)

    @property
    def protocol(self) -> str:
        """`RTP/AVP`, `udptl` ..."""
        return self._word(2)

    @property
    def codecs(self) -> list[str]:
        """Encoding names in the order of preference; none for sections that are not over RTP."""
        names = self._names() if self._is_rtp() else {}
        return [name for word in self._words()[3:] if (name := names.get(word)) is not None]

    def _is_rtp(self) -> bool:
        return "RTP" in self.protocol.upper().split("/")

    def _names(self) -> dict[str, str]:
        """The encoding names of the formats that have one."""
        names = {str(number): name for number, name in STATIC.items()}
        mapped: dict[str, str] = {}
        for line in self._lines:
            if line.startswith("a=rtpmap:"):
                number, _, encoding = line[9:].partition(" ")
                mapped.setdefault(number, encoding.strip().partition("/")[0])
        return names | mapped

    def keep_codecs(self, wanted: Callable[[str | None], bool]) -> None:
        """Keep the formats whose name is wanted, with their rtpmap, fmtp and rtcp-fb. A section in which none is left
        is refused: port 0 and the first format, since an `m=` line has one (RFC 3264 §6)."""
        words = self._words()
        formats = words[3:]
        if not formats or not self._is_rtp():
            return
        names = self._names()
        kept = [word for word in formats if wanted(names.get(word))]
        if len(kept) == len(formats):
            return
        if not kept:
            self.port = 0
            words, kept = self._words(), formats[:1]
        gone = set(formats) - set(kept)
        self._lines[0] = "m=" + " ".join(words[:3] + kept)
        self._lines[:] = [line for line in self._lines if _format_of(line) not in gone]

    def __repr__(self) -> str:
        if self._removed:
            return "<MediaSection: removed>"
        return f"<MediaSection {self.media_type} {self.port} {self.protocol}>"


class SessionDescription(Part):
    """A whole description."""

    __slots__ = ("_sections",)

    def __init__(self, text: str = "") -> None:
        if len(text) > LONGEST:
            raise ValueError(f"a session description of {len(text)} characters")
        lines = _LINE_END.split(text)
        if not lines[-1]:
            lines.pop()
        starts = [place for place, line in enumerate(lines) if line.startswith("m=")]
        super().__init__(lines[: starts[0]] if starts else lines)
        ends = [*starts[1:], len(lines)]
        self._sections = [MediaSection(lines[start:end]) for start, end in zip(starts, ends, strict=False)]

    @property
    def origin(self) -> str | None:
        """What stands after `o=`; may be assigned."""
        return self._value("o=")

    @origin.setter
    def origin(self, value: str) -> None:
        self._set_value("o=", value)

    @property
    def session_name(self) -> str | None:
        """What stands after `s=`."""
        return self._value("s=")

    @property
    def media(self) -> list[MediaSection]:
        """Live views of the sections, in order."""
        return list(self._sections)

    def filter_codecs(self, names: Iterable[str]) -> None:
        """Keep only codecs of these encoding names, case ignored, in all sections over RTP."""
        wanted = _lower(names)
        for section in self._sections:
            section.keep_codecs(lambda name: name is not None and name.lower() in wanted)

    def remove_codecs(self, names: Iterable[str]) -> None:
        """Remove codecs of these encoding names, case ignored, from all sections over RTP."""
        unwanted = _lower(names)
        for section in self._sections:
            section.keep_codecs(lambda name: name is None or name.lower() not in unwanted)

    def remove_media(self, media_type: str) -> None:
        """Remove all sections of that type; views of them raise IndexError from now on."""
        for section in self._sections:
            if section.media_type == media_type:
                section._removed = True
        self._sections = [section for section in self._sections if not section._removed]

    def __str__(self) -> str:
        lines = [*self._lines, *(line for section in self._sections for line in section._lines)]
        return "".join(f"{line}\r\n" for line in lines)

    def __bytes__(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session_name or '-'}: {len(self._sections)} sections>"


def _one_line(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str, not {type(value).__name__}")
    if _ONE_LINE.search(value):
        raise ValueError(f"{what} contains CR, LF or NUL: {value!r}")
    return value


def _texts(values: Iterable[str], what: str) -> Iterable[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is a list of str, not {type(values).__name__}")
    return values


def _name(name: object) -> str:
    checked = _one_line(name, "attribute name")
    if not checked or ":" in checked or " " in checked:
        raise ValueError(f"not an attribute name: {checked!r}")
    return checked


def _attribute(name: str, value: str) -> str:
    value = _one_line(value, "attribute value")
    return f"a={_name(name)}:{value}" if value else f"a={_name(name)}"


def _named(name: str) -> Callable[[str], bool]:
    flag = f"a={_name(name)}"
    valued = f"{flag}:"
    return lambda line: line == flag or line.startswith(valued)


def _append(lines: list[str], new: list[str]) -> None:
    """Put lines at the end, before what is blank there."""
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    lines[end:end] = new


def _replace(lines: list[str], matches: Callable[[str], bool], new: list[str]) -> None:
    """Lines that match give way to new ones, at the place of the first or at the end."""
    first = next((place for place, line in enumerate(lines) if matches(line)), None)
    if first is None:
        _append(lines, new)
    else:
        lines[first:] = [*new, *(line for line in lines[first:] if not matches(line))]


def _format_of(line: str) -> str | None:
    found = _OF_A_FORMAT.match(line)
    return found[1] if found else None


def _lower(names: Iterable[str]) -> set[str]:
    names = _texts(names, "names")
    return {_one_line(name, "encoding name").lower() for name in names}
