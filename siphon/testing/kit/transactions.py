"""What a phone has sent, and what has come to it: the two ends of a transaction.

A phone does by itself what every phone does: it acknowledges finals to its INVITEs, answers a digest challenge once
when it has a password, and answers a request that comes again as it did before. All else is the test's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from siphon.sip.build import ack_for, cancel_for, reason_for, response
from siphon.testing.kit import credentials
from siphon.testing.kit.dialog import Dialog
from siphon.testing.kit.message import Message

if TYPE_CHECKING:
    from siphon.testing.kit.phone import Phone

Headers = Mapping[str, str | Sequence[str] | None]
"""Name to value, to several values (a line each), or to None: without that header."""
SDP = "application/sdp"
CREDENTIALS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


class Sent:
    """A request that a phone has sent, and the responses that have come, oldest first."""

    def __init__(self, phone: Phone, data: bytes) -> None:
        self.phone = phone
        self.request = Message(data)
        self.responses: list[Message] = []
        self._retried = False
        self._put()

    @property
    def statuses(self) -> list[int]:
        """Of all responses."""
        return [response.status for response in self.responses]

    @property
    def status(self) -> int:
        """Of the last response; 0 as long as there is none."""
        return self.responses[-1].status if self.responses else 0

    @property
    def final(self) -> Message | None:
        """The last response of 200 or more that was not answered by credentials."""
        finals = [response for response in self.responses if response.status >= 200]
        return finals[-1] if finals and finals[-1] is self.responses[-1] else None

    def repeat(self) -> None:
        """The same datagram again, as when an answer was lost."""
        self.phone.send(self.request.raw)

    def _put(self) -> None:
        self.phone.transactions[self.request.branch, self.request.method == "CANCEL"] = self
        self.phone.send(self.request.raw)

    def hear(self, message: Message) -> None:
        """A response has come."""
        self.responses.append(message)
        if message.status in CREDENTIALS and self.phone.password is not None and not self._retried:
            self._retry(message)

    def _retry(self, challenge: Message) -> None:
        """Once more with credentials, a higher CSeq and a new branch (RFC 3261 §22.2)."""
        self._retried = True
        asked, given = CREDENTIALS[challenge.status]
        phone, old = self.phone, self.request
        assert phone.password is not None
        lines = [line.decode() for line in challenge.parsed.all_lines(asked)]
        answer = credentials.answer(lines, phone.user or "", phone.password, old.method, old.uri)
        self.request = Message(phone.again(old, {given: answer}))
        self._put()


class Call(Sent):
    """An INVITE. Finals are acknowledged; a 2xx makes a dialog, one for each To tag (a fork may bring several)."""

    def __init__(self, phone: Phone, data: bytes, dialog: Dialog | None = None) -> None:
        self.dialogs: dict[str, Dialog] = {} if dialog is None else {dialog.remote_tag: dialog}
        super().__init__(phone, data)

    def hear(self, message: Message) -> None:
        """See Sent."""
        if message.status >= 300:
            self.phone.send(ack_for(self.request.parsed, message.parsed))
        elif message.status >= 200:
            tag = message.to_tag or ""
            if tag not in self.dialogs:
                self.dialogs[tag] = Dialog.of_caller(self.phone, self.request, message)
            self.dialogs[tag].refresh(message)
            self.dialogs[tag].acknowledge(self.request.cseq)
        super().hear(message)

    @property
    def dialog(self) -> Dialog:
        """The dialog of the first 2xx. AssertionError when there is none."""
        if not self.dialogs:
            raise AssertionError(f"the call was not answered: {self.statuses}{self.phone.server.report()}")
        return next(iter(self.dialogs.values()))

    def cancel(self) -> Sent:
        """Send CANCEL (RFC 3261 §9.1)."""
        return Sent(self.phone, cancel_for(self.request.parsed))

    def bye(self) -> Sent:
        """Hang up."""
        return self.dialog.bye()


class Received:
    """A request that has come to a phone, with what the phone has answered."""

    def __init__(self, phone: Phone, request: Message, tag: str) -> None:
        self.phone = phone
        self.request = request
        self.copies = 1
        """How often it has come."""
        self.answered: list[int] = []
        self.cancelled = False
        """A CANCEL has come for it; if it had no final yet, the phone has answered 487."""
        self.acknowledged = False
        """The ACK to its final has come."""
        self.last: bytes = b""
        self._tag = tag
        self._dialog: Dialog | None = None

    @property
    def final(self) -> int:
        """The status of the final that was sent; 0 as long as there is none."""
        return next((status for status in self.answered if status >= 200), 0)

    def answer(
        self,
        status: int,
        reason: str | None = None,
        headers: Headers | None = None,
        body: str | bytes = b"",
        content_type: str = SDP,
    ) -> None:
        """Send a response. One of 101-299 to an INVITE carries our Contact."""
        given = self.phone.flat(headers or {})
        if 100 < status < 300 and "contact" not in {name.lower() for name, _ in given}:
            given.insert(0, ("Contact", f"<{self.phone.contact}>"))
        content = body.encode() if isinstance(body, str) else body
        if content:
            given.append(("Content-Type", content_type))
        tag = self._tag.encode() if status > 100 else None
        words = reason_for(status) if reason is None else reason
        self.last = response(self.request.parsed, status, words, tag, given, content)
        self.answered.append(status)
        if self.request.method == "INVITE" and 200 <= status < 300 and self._dialog is None:
            self._dialog = self._own_dialog()
        self.phone.send(self.last)

    def ring(self) -> None:
        """180."""
        self.answer(180)

    def accept(self, body: str | bytes = b"", headers: Headers | None = None) -> None:
        """200."""
        self.answer(200, None, headers, body)

    def repeat(self) -> None:
        """The last response again."""
        self.phone.send(self.last)

    @property
    def dialog(self) -> Dialog:
        """The dialog of an INVITE that was accepted, from this side. AssertionError before that."""
        if self._dialog is None:
            raise AssertionError(f"{self.request!r} has not been accepted{self.phone.server.report()}")
        return self._dialog

    def _own_dialog(self) -> Dialog:
        """A new one, or that of which the INVITE is part already."""
        for dialog in self.phone.dialogs:
            if self.request.to_tag and dialog.call_id == self.request.call_id:
                dialog.refresh(self.request)
                return dialog
        return Dialog.of_callee(self.phone, self.request, self._tag)

    def bye(self) -> Sent:
        """Hang up from this side."""
        return self.dialog.bye()

    def __repr__(self) -> str:
        return f"<{self.request.method} at {self.phone.name}, answered {self.answered}>"
