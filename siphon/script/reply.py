"""Reply: a response on its way back, as on_reply and on_failure handlers see it. Edits go upstream with it."""

from __future__ import annotations

from typing import Any

from siphon.script import binding, log, text
from siphon.script.addresses import Addressed
from siphon.script.answering import never_408, standard_reason, status
from siphon.script.gateways import is_from
from siphon.script.request import Request
from siphon.script.stubs import unavailable
from siphon.sip.message import SipMessage


class Reply(Addressed):
    """One response. `source` is where it came from, None for one made here; `request` shares its `vars`.

    `final_sent`: the transaction has its answer or was cancelled, so reject() has no effect.
    """

    __slots__ = ("_final_sent", "_passed", "_passed_at", "_reject", "_request", "_source")

    def __init__(
        self,
        message: SipMessage,
        source: tuple[str, int] | None,
        request: Request | None = None,
        *,
        final_sent: bool = False,
    ) -> None:
        self._message = message
        self._draft = None
        self._body = None
        self._source = source
        self._request = request
        self._passed = False
        self._passed_at = 0
        self._reject: tuple[int, str] | None = None
        self._final_sent = final_sent

    @property
    def status_code(self) -> int:
        """The status code."""
        code: int = self._message.status
        return code

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return text.decode(self._message.reason)

    @property
    def source_ip(self) -> str | None:
        """Where the response came from; None for one made here."""
        return self._source[0] if self._source else None

    @property
    def source_port(self) -> int | None:
        """The port it came from; None for one made here."""
        return self._source[1] if self._source else None

    @property
    def vars(self) -> dict[str, Any]:
        """The same dict as `request.vars`."""
        return self._request.vars if self._request is not None else {}

    def relay(self) -> None:
        """Let this response pass; it is sent after the handlers."""
        self._passed = True
        if self._request is not None:
            context = self._request._context
            context.armed += 1
            self._passed_at = context.armed

    forward = relay

    def reject(self, code: int, reason: str | None = None) -> bool:
        """Answer the caller with 400-699 instead of this provisional and cancel all branches; False on finals."""
        code = status(code, 400)
        phrase = standard_reason(code) if reason is None else text.one_line(reason, "reason")
        if self.status_code >= 200 or self._final_sent:
            return False
        self._reject = never_408(code, phrase, self._message.cseq_method)
        return True

    def fix_nated_contact(self) -> None:
        """Point the first Contact at the source of the response."""
        if self._source is None:
            raise RuntimeError("the source of this response is not known")
        self._contact_to(*self._source)

    def from_gateway(self, group: str) -> bool:
        """Whether the source belongs to a gateway group; without gateways it never does."""
        bound = binding.find()
        return bound is not None and is_from(bound.services.gateways, group, self.source_ip)

    def _bytes(self) -> tuple[bytes, bool]:
        """The response as the handlers left it, and whether they edited it."""
        draft = self._draft
        if draft is None or not draft.changed:
            raw: bytes = self._message.raw
            return raw, False
        return draft.to_bytes(), True

    take_av = unavailable("reply.take_av")

    def __repr__(self) -> str:
        return f"<Reply {self.status_code} {self.reason}>"


def warn_unhandled(reply: Reply, *, provisional: bool) -> None:
    """on_failure handlers ran and armed nothing final: the failure goes up by itself."""
    armed = "armed only a provisional for" if provisional else "did nothing with"
    log.advise(f"on_failure {armed} {reply.status_code}: forwarded")
