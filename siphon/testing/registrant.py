"""A phone that registers, refreshes and unregisters: one Call-ID, a CSeq that rises, one Contact."""

from __future__ import annotations

from dataclasses import dataclass, field

from siphon.sip.message import SipMessage
from siphon.testing.peer import Exchange, Peer, request_text
from siphon.testing.wire import Wire


@dataclass(slots=True)
class RegisterPlan:
    """What it does, in order: (seconds after the answer before, Expires, seconds that the handler awaits before it
    saves); Expires 0 unregisters. `hasty`: it waits for no answer."""

    name: str
    start: float
    user: str
    steps: list[tuple[float, int, float]] = field(default_factory=list)
    hasty: bool = False


class Registrant(Peer):
    """One phone. `exchanges` are its REGISTERs, the first with CSeq 1."""

    def __init__(self, wire: Wire, ip: str, port: int, plan: RegisterPlan) -> None:
        super().__init__(wire, ip, port)
        self.plan = plan
        self.exchanges: list[Exchange] = []
        wire.schedule.at(plan.start, self._next)

    def _next(self) -> None:
        number = len(self.exchanges) + 1
        _, expires, wait = self.plan.steps[number - 1]
        extra = f"Expires: {expires}\n" + (f"X-Plan: wait={wait}\n" if wait else "")
        to = f"<sip:{self.plan.user}@example.com>"
        branch = f"z9hG4bK-{self.plan.name}-{number}"
        text = request_text(self.place, "REGISTER", "sip:example.com", branch, self.plan.name, number, to, extra)
        self.exchanges.append(Exchange(self, text))
        if self.plan.hasty:
            self._go_on()

    def _go_on(self) -> None:
        if len(self.exchanges) < len(self.plan.steps):
            self.later(self.plan.steps[len(self.exchanges)][0], self._next)

    def response(self, message: SipMessage) -> None:
        """An answer; the first final of the present REGISTER lets the next one follow."""
        if not 0 < message.cseq <= len(self.exchanges):
            return
        exchange = self.exchanges[message.cseq - 1]
        first = not exchange.finals
        exchange.response(message)
        if first and exchange.finals and not self.plan.hasty:
            self._go_on()
