"""The phone that is called: it rings for a while, answers, and waits for the BYE. One call at a time.

What the RFC asks of a phone on UDP is here and no more: the same answer to a repeated request, the 200 repeated from
T1 up to T2 until its ACK (§13.3.1.4), a failure likewise (§17.2.1), both given up after 64 T1; CANCEL; 486 for a
second call. Responses go to where the Via on top says (§18.2.2, RFC 3581).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import Enum, auto

from sipcli_caller import T1, T2
from sipcli_message import Message, parameter, text_of
from sipcli_wire import Address, Wire


class Fate(Enum):
    """What became of the call."""

    NO_CALL = auto()
    ENDED = auto()  # answered, acknowledged, ended by BYE
    CANCELLED = auto()
    REFUSED = auto()
    NO_ACK = auto()
    NO_BYE = auto()


@dataclass
class Ringing:
    """The call that this phone is in."""

    invite: Message
    source: Address
    answer_at: float
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    last: bytes = b""
    final: int = 0
    acknowledged: bool = False
    repeat_at: float = 0.0
    interval: float = T1
    give_up_at: float = 0.0


class Callee:
    def __init__(self, wire: Wire, user: str, ring: float, answer: int) -> None:
        self.wire = wire
        self.user = user
        self.ring = ring
        self.answer = answer
        self.call: Ringing | None = None
        self.fate: Fate | None = None
        self.answered: dict[tuple[str, str], bytes] = {}  # branch, method -> what a repeat gets again

    def serve(self, patience: float, linger: float = 0.0) -> Fate:
        """Until the call has ended, or `patience` is over. Then `linger` longer, for whom the last answer was lost."""
        deadline = time.monotonic() + patience
        while self.fate is None and (now := time.monotonic()) < deadline:
            self._due(now)
            self._read(min(self._next_due(now), deadline) - now)
        end = time.monotonic() + linger
        while (now := time.monotonic()) < end:
            self._read(end - now)
        if self.fate is None:
            return Fate.NO_BYE if self.call and self.call.acknowledged else Fate.NO_ACK if self.call else Fate.NO_CALL
        return self.fate

    # --- time

    def _next_due(self, now: float) -> float:
        if self.call is None or self.call.acknowledged:
            return now + 1.0
        return self.call.repeat_at if self.call.final else self.call.answer_at

    def _due(self, now: float) -> None:
        call = self.call
        if call is None or call.acknowledged or self.fate is not None:
            return
        if not call.final:
            if now >= call.answer_at:
                self._finish(call, self.answer, now)
        elif now >= call.give_up_at:
            self.fate = Fate.NO_ACK
        elif now >= call.repeat_at:
            self._respond(call.invite, call.source, call.last)
            call.interval = min(call.interval * 2, T2)
            call.repeat_at = now + call.interval

    def _finish(self, call: Ringing, status: int, now: float) -> None:
        call.final, call.repeat_at, call.give_up_at = status, now + T1, now + 64 * T1
        call.last = self._response(call.invite, status, call.tag)
        self._respond(call.invite, call.source, call.last)

    # --- messages

    def _read(self, seconds: float) -> None:
        got = self.wire.receive(seconds)
        if got is None or got[0].status:
            return
        request, source = got
        if known := self.answered.get((request.branch, request.method)):
            self._respond(request, source, known)
            return
        handle = {"INVITE": self._invite, "ACK": self._ack, "CANCEL": self._cancel, "BYE": self._bye}
        handle.get(request.method, self._other)(request, source)

    def _invite(self, request: Message, source: Address) -> None:
        call = self.call
        if call is not None and request.branch == call.invite.branch:
            self._respond(request, source, call.last)
        elif call is not None or self.fate is not None:
            self._respond(request, source, self._keep(request, 486))
        else:
            self.call = call = Ringing(request, source, time.monotonic() + self.ring)
            call.last = self._response(request, 180, call.tag)
            self._respond(request, source, call.last)

    def _ack(self, request: Message, source: Address) -> None:
        call = self.call
        if call is None or not call.final or request.header("call-id") != call.invite.header("call-id"):
            return
        call.acknowledged = True
        if call.final >= 300 and self.fate is None:
            self.fate = Fate.CANCELLED if call.final == 487 else Fate.REFUSED

    def _cancel(self, request: Message, source: Address) -> None:
        call = self.call
        if call is None or call.invite.branch != request.branch:
            self._respond(request, source, self._keep(request, 481))
            return
        self._respond(request, source, self._keep(request, 200))
        if not call.final:
            self._finish(call, 487, time.monotonic())

    def _bye(self, request: Message, source: Address) -> None:
        call = self.call
        ours = call is not None and parameter(request.header("to"), "tag") == call.tag
        self._respond(request, source, self._keep(request, 200 if ours else 481))
        if ours:
            self.fate = Fate.ENDED if call and call.acknowledged else Fate.NO_ACK

    def _other(self, request: Message, source: Address) -> None:
        self._respond(request, source, self._keep(request, 200 if request.method == "OPTIONS" else 405))

    # --- responses

    def _keep(self, request: Message, status: int) -> bytes:
        made = self._response(request, status, secrets.token_hex(4))
        self.answered[request.branch, request.method] = made
        return made

    def _response(self, request: Message, status: int, tag: str) -> bytes:
        to = request.header("to")
        lines = [f"Via: {value}" for value in request.all("via")]
        if status < 300 and request.method == "INVITE":
            lines += [f"Record-Route: {value}" for value in request.all("record-route")]
            lines += [f"Contact: <sip:{self.user}@{self.wire.address}>"]
        if status == 405:
            lines += ["Allow: INVITE, ACK, CANCEL, BYE, OPTIONS"]
        lines += [f"To: {to}" if parameter(to, "tag") else f"To: {to};tag={tag}"]
        lines += [f"{name}: {request.header(name.lower())}" for name in ("From", "Call-ID", "CSeq")]
        return text_of(f"SIP/2.0 {status} {REASONS.get(status, 'Answer')}", *lines)

    def _respond(self, request: Message, source: Address, response: bytes) -> None:
        """To the source address and, unless the Via asks for `rport`, the port that the Via names."""
        via = request.header("via")
        sent_by = via.partition(";")[0].rpartition(" ")[2]
        port = sent_by.rpartition(":")[2]
        named = int(port) if port.isdigit() and not sent_by.endswith("]") else 5060
        self.wire.send(response, (source[0], source[1] if ";rport" in via.lower() else named))


REASONS = {
    180: "Ringing",
    200: "OK",
    405: "Method Not Allowed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    603: "Decline",
}
