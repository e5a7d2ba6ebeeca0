"""A call that is established, seen from one of its sides: remote target, route set, CSeq (RFC 3261 §12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siphon.testing.kit.message import Message

if TYPE_CHECKING:
    from siphon.testing.kit.phone import Phone
    from siphon.testing.kit.transactions import Headers, Sent


class Dialog:
    """`local` and `remote` are whole values of From and To, tags included."""

    def __init__(
        self, phone: Phone, call_id: str, local: str, remote: str, remote_tag: str, target: str, routes: list[str]
    ) -> None:
        self.phone = phone
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.remote_tag = remote_tag
        self.target = target
        self.routes = routes
        self.ended = False
        """A BYE of either side has been here."""
        self._cseq = 0
        phone.dialogs.append(self)

    @classmethod
    def of_caller(cls, phone: Phone, invite: Message, answer: Message) -> Dialog:
        """By a 2xx to our INVITE (RFC 3261 §12.1.2)."""
        local, remote = invite.header("From") or "", answer.header("To") or ""
        routes = list(reversed(answer.headers("Record-Route")))
        made = cls(phone, invite.call_id, local, remote, answer.to_tag or "", answer.contact or invite.uri, routes)
        made._cseq = invite.cseq
        return made

    @classmethod
    def of_callee(cls, phone: Phone, invite: Message, tag: str) -> Dialog:
        """By our 2xx to an INVITE (RFC 3261 §12.1.1)."""
        local, remote = f"{invite.header('To')};tag={tag}", invite.header("From") or ""
        routes = invite.headers("Record-Route")
        return cls(phone, invite.call_id, local, remote, invite.from_tag or "", invite.contact or "", routes)

    def refresh(self, message: Message) -> None:
        """The remote target is that of the last INVITE, or 2xx to one, of the other side (RFC 3261 §12.2)."""
        self.target = message.contact or self.target

    def request(self, method: str, headers: Headers | None = None, body: str = "") -> Sent:
        """A request within the dialog; INVITE gives a Call."""
        from siphon.testing.kit.transactions import Call, Sent

        self._cseq += 1
        data = self._build(method, self._cseq, headers, body)
        return Call(self.phone, data, self) if method == "INVITE" else Sent(self.phone, data)

    def bye(self) -> Sent:
        """Hang up."""
        self.ended = True
        return self.request("BYE")

    def acknowledge(self, cseq: int) -> None:
        """The ACK to a 2xx (RFC 3261 §13.2.2.4)."""
        self.phone.send(self._build("ACK", cseq, None, ""))

    def _build(self, method: str, cseq: int, headers: Headers | None, body: str) -> bytes:
        given: dict[str, object] = {"Route": self.routes or None, **(headers or {})}
        return self.phone.build(
            method,
            self.target,
            from_value=self.local,
            to_value=self.remote,
            call_id=self.call_id,
            cseq=cseq,
            headers=given,  # type: ignore[arg-type]
            body=body,
        )

    def __repr__(self) -> str:
        return f"<dialog {self.call_id} of {self.phone.name}>"
