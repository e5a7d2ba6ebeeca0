"""A user agent that is called: answers by its plan, repeats finals until their ACK, obeys CANCEL.

It forgets nothing: a late copy of a request is known for what it is, however late. A branch of the proxy that reaches
it is a `Leg`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from siphon.sip.build import response
from siphon.sip.message import SipMessage
from siphon.testing.peer import LONG, T1, T2, Peer, sent_by
from siphon.testing.wire import Wire


@dataclass(slots=True)
class AnswerPlan:
    """(seconds after the request, status) in order; empty = silence."""

    answers: list[tuple[float, int]] = field(default_factory=list)
    cancelled: int = 487
    """What a CANCEL makes of the INVITE: 487, a 200 that crosses it, or 0: nothing ever."""
    late: list[tuple[float, int]] = field(default_factory=list)
    """Misbehaviour: (seconds after its final, status) of 1xx that it still sends; after a failure of another one."""
    twin: bool = False
    """A second 2xx with another To tag, as when a proxy behind has forked."""


class Leg:
    """One INVITE that the proxy has forwarded here."""

    def __init__(self, callee: Callee, invite: SipMessage) -> None:
        self.callee = callee
        self.invite = invite
        self.place = sent_by(invite.raw)
        self.copies = 1
        self.tag = f"tag-{callee.place[0]}-{len(callee.legs)}".encode()
        self.last: bytes = b""
        self.status = 0
        self.final = 0
        self.final_at = 0.0
        self.acknowledged: set[bytes] = set()
        self.cancelled = False
        self.over_at = 0.0
        """When its CANCEL or its final came first."""
        for delay, status in callee.plan.answers:
            callee.later(delay, self.answer, status)

    def answer(self, status: int) -> None:
        """Send a response unless the final was."""
        if self.final:
            return
        self.last = self._response(status, self.tag)
        self.status = status
        self.send(self.last)
        if status >= 200:
            self.final, self.final_at = status, self.callee.now
            self.over_at = self.over_at or self.callee.now
            self.callee.later(T1, self._repeat, self.last, self.tag, 2 * T1)
            for delay, late in self.callee.plan.late:
                if late < 200 or status >= 300:
                    self.callee.later(delay, self.send, self._response(late, self.tag))
            if status < 300 and self.callee.plan.twin:
                self.callee.later(0.1, self._twin)

    def send(self, data: bytes) -> None:
        """To whom the INVITE came from: the proxy, or a router behind it."""
        self.callee.send(data, self.place)

    def _twin(self) -> None:
        tag = self.tag + b"-twin"
        data = self._response(self.final, tag)
        self.send(data)
        self.callee.later(T1, self._repeat, data, tag, 2 * T1)

    def _response(self, status: int, tag: bytes) -> bytes:
        lines = [("Contact", f"<sip:{self.callee.place[0]}:{self.callee.place[1]}>")]
        if status in (401, 407):
            name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
            lines.append((name, f'Digest realm="{self.callee.place[0]}", nonce="n"'))
        return response(self.invite, status, "Simulated", tag if status > 100 else None, lines, b"")

    def _repeat(self, data: bytes, tag: bytes, interval: float) -> None:
        """Timer G, or its likeness for a 2xx (RFC 3261 §13.3.1.4)."""
        if tag not in self.acknowledged and self.callee.now < self.final_at + LONG:
            self.send(data)
            self.callee.later(min(interval, T2), self._repeat, data, tag, 2 * interval)

    def repeated(self) -> None:
        """The INVITE again: the last response again, in Accepted nothing."""
        self.copies += 1
        if self.last and not 200 <= self.final < 300:
            self.send(self.last)

    def cancel(self) -> None:
        """A CANCEL has come."""
        self.cancelled = True
        self.over_at = self.over_at or self.callee.now
        if self.callee.plan.cancelled:
            self.answer(self.callee.plan.cancelled)


class Callee(Peer):
    """Answers INVITEs by `plan`, other requests by `other`, and requests within a dialog by 200."""

    def __init__(self, wire: Wire, ip: str, port: int, plan: AnswerPlan, other: AnswerPlan) -> None:
        super().__init__(wire, ip, port)
        self.plan = plan
        self.other = other
        self.legs: dict[bytes, Leg] = {}
        self.answered: dict[tuple[str, bytes], list[bytes]] = {}
        self.copies: dict[tuple[str, bytes], int] = {}

    def request(self, message: SipMessage) -> None:
        """A request of the proxy, or of a caller that has no route."""
        branch = message.via.branch
        if message.method == "INVITE":
            leg = self.legs.get(branch)
            if leg is None:
                self.legs[branch] = Leg(self, message)
            else:
                leg.repeated()
        elif message.method == "ACK":
            self._acknowledged(message)
        elif message.method == "CANCEL":
            leg = self.legs.get(branch)
            self._reply(message, 481 if leg is None else 200)
            if leg is not None:
                leg.cancel()
        else:
            self._other(message)

    def _acknowledged(self, message: SipMessage) -> None:
        leg = self.legs.get(message.via.branch)
        if leg is not None and leg.final >= 300:
            leg.acknowledged.add(leg.tag)
            return
        for leg in self.legs.values():
            if leg.invite.call_id == message.call_id and (message.to_tag or b"").startswith(leg.tag):
                leg.acknowledged.add(message.to_tag or b"")

    def _other(self, message: SipMessage) -> None:
        place = (message.method, message.via.branch)
        self.copies[place] = self.copies.get(place, 0) + 1
        if place in self.answered:
            if self.answered[place]:
                self.send(self.answered[place][-1])
            return
        self.answered[place] = []
        for delay, status in [(0.0, 200)] if message.to_tag else self.other.answers:
            self.later(delay, self._reply, message, status, place)

    def _reply(self, message: SipMessage, status: int, place: tuple[str, bytes] | None = None) -> None:
        tag = message.to_tag or f"other-{self.place[0]}".encode()
        data = response(message, status, "Simulated", tag if status > 100 else None, (), b"")
        if place is not None:
            self.answered[place].append(data)
        self.send(data, sent_by(data))
