"""What Request and Reply share: headers and body of a message that is only taken apart when a handler asks.

`_message` is the parsed message, `_draft` the lines being changed, made by the first edit. Reads go to the draft once
there is one, so a handler sees its own edits.
"""

from __future__ import annotations

from siphon.script import text
from siphon.script._fields import MessageFields
from siphon.script.address import uri_span
from siphon.script.uri import SipUri
from siphon.sip.draft import Draft


class Headers(MessageFields):
    """The header and body methods of script objects."""

    __slots__ = ()

    def _edit(self) -> Draft:
        """The draft, made at the first edit."""
        draft = self._draft
        if draft is None:
            draft = self._draft = Draft(self._message)
        return draft

    def _first(self, name: str) -> bytes | None:
        """Value of the first line of that name as it stands now."""
        draft = self._draft
        found: bytes | None = self._message.first(name) if draft is None else draft.get(name)
        return found

    # -- headers

    header = MessageFields.get_header

    def _header_now(self, name: str) -> str | None:
        """As get_header, of any name and whatever was edited."""
        value = self._first(text.header_name(name))
        return None if value is None else text.decode(value)

    def _has_header_now(self, name: str) -> bool:
        return self._first(text.header_name(name)) is not None

    def set_header(self, name: str, value: str) -> None:
        """One line replaces all of that name, at the first one's place; appended when absent."""
        self._edit().set(text.header_name(name), text.header_value(value))

    def remove_header(self, name: str) -> None:
        """Remove all lines of that name."""
        name = text.header_name(name)
        if self._first(name) is not None:
            self._edit().remove(name)

    def remove_headers_matching(self, prefix: str) -> None:
        """Remove all headers whose name starts with prefix, case ignored."""
        self._edit().remove_prefix(text.one_line(prefix, "prefix"))

    # -- body

    def set_body(self, body: str | bytes, content_type: str | None = None) -> None:
        """Replace the body; Content-Length follows, Content-Type when given."""
        new = text.body_bytes(body)
        kind = None if content_type is None else text.one_line(content_type, "content type")
        self._edit().set_body(new, kind)
        self._body = new

    def has_body(self, content_type: str) -> bool:
        """Whether there is a body of that media type (case and parameters ignored)."""
        kind = self.content_type
        return self.body is not None and kind is not None and text.media_type(kind) == text.media_type(content_type)

    # -- addresses

    def _address_uri(self, name: str) -> SipUri | None:
        value = self._first(name)
        if value is None:
            return None
        written = text.decode(value)
        start, end, _ = uri_span(written)
        return SipUri.of(written[start:end]) if end > start else None
