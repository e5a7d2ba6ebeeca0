"""Edits of From, To, Contact, Path and Route: only the part that was asked for changes, the rest stays as written."""

from __future__ import annotations

from collections.abc import Callable

from siphon.script import text
from siphon.script.address import replace_display, replace_uri, uri_span
from siphon.script.message import Headers
from siphon.script.uri import SipUri, validated


def route_value(uri: str | SipUri) -> SipUri:
    """A Path or Route entry given bare or bracketed, as a URI that has `lr`."""
    given = text.one_line(str(uri), "URI").strip()
    if given.startswith("<") and given.endswith(">"):
        given = given[1:-1]
    value = SipUri(given)
    if "lr" not in value.params:
        value.params["lr"] = ""
    return value


class Addressed(Headers):
    """The address setters of section "Addresses and URIs"; each is a no-op when the header is absent."""

    __slots__ = ()

    def _change(self, name: str, edit: Callable[[str], str]) -> None:
        """Apply `edit` to the first line of a header."""
        old = self._first(name)
        if old is None:
            return
        value = text.decode(old)
        new = edit(value)
        if new != value:
            draft = self._edit()
            draft.replace_line(draft.index(name), new)

    def set_from_uri(self, uri: str | SipUri) -> None:
        """Replace the URI of From; display name, tag and parameters stay."""
        new = validated(str(uri))
        self._change("From", lambda value: replace_uri(value, new))

    def set_to_uri(self, uri: str | SipUri) -> None:
        """Replace the URI of To; display name, tag and parameters stay."""
        new = validated(str(uri))
        self._change("To", lambda value: replace_uri(value, new))

    def set_from_display(self, name: str) -> None:
        """Set the display name of From, quoted as needed."""
        new = text.one_line(name, "display name")
        self._change("From", lambda value: replace_display(value, new))

    def set_to_display(self, name: str) -> None:
        """Set the display name of To, quoted as needed."""
        new = text.one_line(name, "display name")
        self._change("To", lambda value: replace_display(value, new))

    def _change_contact(self, edit: Callable[[SipUri], None]) -> None:
        """Apply `edit` to the URI of the first Contact; nothing to do for none and for `*`."""

        def change(value: str) -> str:
            start, end, _ = uri_span(value)
            if value[start:end] in ("*", ""):
                return value
            uri = SipUri.of(value[start:end])
            edit(uri)
            return replace_uri(value, str(uri))

        self._change("Contact", change)

    def set_contact_uri(self, uri: str | SipUri) -> None:
        """Replace the URI of the first Contact."""
        new = validated(str(uri))
        self._change("Contact", lambda value: value if value.strip() == "*" else replace_uri(value, new))

    def set_contact_user(self, user: str) -> None:
        """Set the user part of the first Contact; "" clears it."""
        text.one_line(user, "user")

        def edit(uri: SipUri) -> None:
            uri.user = user or None

        self._change_contact(edit)

    def add_contact_alias(self) -> None:
        """Append the flag parameter `alias` to the URI of the first Contact."""

        def edit(uri: SipUri) -> None:
            uri.params["alias"] = ""

        self._change_contact(edit)

    def _contact_to(self, ip: str, port: int) -> None:
        """Point the first Contact at an address."""

        def edit(uri: SipUri) -> None:
            uri.host = f"[{ip}]" if ":" in ip else ip
            uri.port = port

        self._change_contact(edit)
