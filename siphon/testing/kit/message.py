"""A SIP message as tests read it: text, not bytes; None where something is absent."""

from __future__ import annotations

from siphon.sip.message import PeerError, SipMessage, parse
from siphon.sip.uri import NameAddr


class Message:
    """A request or response as it was on the wire. Header names ignore case; compact and long forms are the same."""

    __slots__ = ("_parsed", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._parsed: SipMessage = _parsed(raw)

    @property
    def is_request(self) -> bool:
        """False: a response."""
        return self._parsed.is_request

    @property
    def method(self) -> str:
        """Of a response: that of its request."""
        return self._parsed.method if self.is_request else self._parsed.cseq_method

    @property
    def uri(self) -> str:
        """The Request-URI; empty in a response."""
        return self._parsed.uri.decode() if self.is_request else ""

    @property
    def status(self) -> int:
        """0 in a request."""
        return 0 if self.is_request else self._parsed.status

    @property
    def reason(self) -> str:
        """The reason phrase; empty in a request."""
        return "" if self.is_request else self._parsed.reason.decode()

    @property
    def call_id(self) -> str:
        """Of Call-ID."""
        return self._parsed.call_id.decode()

    @property
    def cseq(self) -> int:
        """The number of CSeq."""
        return self._parsed.cseq

    @property
    def branch(self) -> str:
        """Of the Via on top."""
        return self._parsed.via.branch.decode()

    @property
    def from_tag(self) -> str | None:
        """Of From."""
        return _text(self._parsed.from_tag)

    @property
    def to_tag(self) -> str | None:
        """Of To."""
        return _text(self._parsed.to_tag)

    @property
    def body(self) -> str:
        """Empty when there is none. Bytes that are not UTF-8 are kept as surrogates."""
        return self._parsed.body.decode("utf-8", "surrogateescape")

    def header(self, name: str) -> str | None:
        """The value of the first line of that name, or None."""
        return _text(self._parsed.first(name))

    def headers(self, name: str) -> list[str]:
        """All values of that name in order; comma lists are split."""
        return [value.decode("utf-8", "surrogateescape") for value in self._parsed.values(name)]

    @property
    def contact(self) -> str | None:
        """The URI of the first Contact, or None."""
        contacts = self.headers("Contact")
        return str(NameAddr.parse(contacts[0]).uri) if contacts and contacts[0] != "*" else None

    @property
    def parsed(self) -> SipMessage:
        """The engine's own view of it."""
        return self._parsed

    def __str__(self) -> str:
        return self.raw.decode("utf-8", "replace")

    def __repr__(self) -> str:
        what = f"{self.method} {self.uri}" if self.is_request else f"{self.status} {self.reason} to {self.method}"
        return f"<{what}>"


def _parsed(raw: bytes) -> SipMessage:
    """What can be read of it: tests send malformed requests too."""
    try:
        return parse(raw)
    except PeerError as error:
        if error.partial is None:
            raise
        return error.partial


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")
