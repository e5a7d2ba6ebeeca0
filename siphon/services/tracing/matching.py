"""Which messages belong to what is traced: a call by its Call-ID, or an address of record.

To an address of record belong the messages that name it in From, To or the Request-URI, those whose Request-URI is the
contact of one of its bindings, and from then on all that have the Call-ID of such a message. What the parser refuses is
found by its Call-ID alone.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from siphon.services.location.aor import address_of_record_of
from siphon.sip.errors import BadResponse, NotSip, PeerError
from siphon.sip.message import parse

CALLS = 256
"""Call-IDs of an address of record that are remembered."""
_CALL_ID = re.compile(rb"\r?\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)


class Wanted:
    """`text` is an address of record, or a Call-ID; what may be both is looked for as both."""

    def __init__(self, text: str) -> None:
        self.call_id = text.encode()
        self.aor = address_of_record_of(text)
        self.contacts: frozenset[bytes] = frozenset()
        """Of the address of record; who knows them sets them."""
        self.calls: OrderedDict[bytes, None] = OrderedDict()

    def has(self, data: bytes) -> bool:
        """Whether a message belongs to it."""
        call_id = call_id_of(data)
        if call_id == self.call_id or call_id in self.calls:
            return True
        if self.aor is None or not self._names(data):
            return False
        self.add(call_id)
        return True

    def add(self, call_id: bytes) -> None:
        """This call belongs to it as well; the one that was added first is forgotten where there are many."""
        if call_id:
            self.calls[call_id] = None
            if len(self.calls) > CALLS:
                self.calls.popitem(last=False)

    def _names(self, data: bytes) -> bool:
        try:
            message = parse(data)
        except (BadResponse, NotSip, PeerError):
            return False
        if message.is_request and message.uri in self.contacts:
            return True
        uris = [message.from_uri, message.to_uri, *([message.uri] if message.is_request else [])]
        return any(address_of_record_of(uri.decode("utf-8", "replace")) == self.aor for uri in uris)


def call_id_of(data: bytes) -> bytes:
    """Also of what the parser refuses; empty where there is none."""
    head, _, _ = data.partition(b"\r\n\r\n")
    found = _CALL_ID.search(head)
    return found[1].strip() if found else b""
