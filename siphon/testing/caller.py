"""A user agent that calls: INVITE with Timers A and B, ACK, CANCEL and PRACK at a time of its own, BYE."""

from __future__ import annotations

from dataclasses import dataclass

from siphon.sip.message import SipMessage
from siphon.sip.uri import NameAddr
from siphon.testing.peer import LONG, PROXY, T1, Exchange, Peer, request_text
from siphon.testing.wire import Wire

URI = "sip:bob@example.com"


@dataclass(slots=True)
class CallPlan:
    """What a caller is going to do. Times are seconds after its start, None = never."""

    name: str
    start: float
    directions: str
    """For the script: the value of X-Plan."""
    cancel_after: float | None = None
    bye_after: float | None = None
    prack_after: float | None = None
    """After the first reliable provisional of the proxy."""
    old: bool = False
    """Its branch has no magic cookie (RFC 2543), and the ACK to a 2xx has the branch of the INVITE."""
    body: int = 0
    uri: str = URI
    route: str = ""
    """A Route that its INVITE carries beforehand: a strict router behind the proxy."""
    strict: bool = False
    """The router before the proxy is strict: within a dialog the proxy's own value comes in the request line."""


class Caller(Peer):
    """One call. `seen` holds (time, status, To tag) of every response to the INVITE."""

    def __init__(self, wire: Wire, ip: str, port: int, plan: CallPlan) -> None:
        super().__init__(wire, ip, port)
        self.plan = plan
        self.branch = ("old-" if plan.old else "z9hG4bK-") + plan.name
        self.seen: list[tuple[float, int, bytes]] = []
        self.unedited: list[tuple[int, bytes]] = []
        """Responses without the header that on_reply adds when it is told to."""
        self.began = 0.0
        self.sent = 0
        self.gave_up = False
        self.cancel: Exchange | None = None
        self.bye: Exchange | None = None
        self.prack: Exchange | None = None
        self.reliable: list[float] = []
        """When reliable provisionals came, repeats included."""
        self.acknowledged: set[bytes] = set()
        self._serial = 0
        self.wire.schedule.at(plan.start, self.start)

    @property
    def route(self) -> str:
        """The Route line of INVITE, CANCEL and ACK to a failure."""
        return f"Route: {self.plan.route}\n" if self.plan.route else ""

    @property
    def final(self) -> int:
        """Status of the first final; 0 while there is none."""
        return next((status for _, status, _ in self.seen if status >= 200), 0)

    @property
    def final_at(self) -> float:
        """When the first final came; 0.0 while there is none."""
        return next((at for at, status, _ in self.seen if status >= 200), 0.0)

    def start(self) -> None:
        """Send the INVITE."""
        self.began = self.now
        extra = f"{self.route}X-Plan: {self.plan.directions}\nSupported: 100rel\n"
        uri = self.plan.uri
        self.invite = request_text(
            self.place, "INVITE", uri, self.branch, self.plan.name, 1, f"<{URI}>", extra, "x" * self.plan.body
        )
        self._send(T1)
        self.later(LONG, self._timer_b)
        if self.plan.cancel_after is not None:
            self.later(self.plan.cancel_after, self._cancel)

    def _send(self, interval: float) -> None:
        if not self.seen and not self.gave_up:
            self.sent += 1
            self.send(self.invite)
            self.later(interval, self._send, 2 * interval)

    def _timer_b(self) -> None:
        self.gave_up = not self.seen

    def _cancel(self) -> None:
        """CANCEL once a provisional has come (RFC 3261 §9.1); one that crosses the final is sent all the same."""
        if not self.seen:
            self.later(0.2, self._cancel) if not self.gave_up else None
        elif self.cancel is None and (not self.final or self.now - self.final_at < 1.0):
            uri = self.plan.uri
            text = request_text(self.place, "CANCEL", uri, self.branch, self.plan.name, 1, f"<{URI}>", self.route)
            self.cancel = Exchange(self, text)

    def response(self, message: SipMessage) -> None:
        """A response to the INVITE, the CANCEL, the PRACK or the BYE."""
        if message.cseq_method == "CANCEL" and self.cancel is not None:
            self.cancel.response(message)
        elif message.cseq_method == "PRACK" and self.prack is not None:
            self.prack.response(message)
        elif message.cseq_method == "BYE" and self.bye is not None:
            self.bye.response(message)
        elif message.cseq_method == "INVITE":
            self.seen.append((self.now, message.status, message.to_tag or b""))
            if not message.has("X-Seen"):
                self.unedited.append((message.status, message.to_tag or b""))
            if message.has("RSeq"):
                self._hear_reliable(message)
            elif 200 <= message.status < 300:
                self._acknowledge_2xx(message)
            elif message.status >= 300:
                self._acknowledge(message)

    def _hear_reliable(self, message: SipMessage) -> None:
        """Its repeats are not acknowledged again (RFC 3262 §4)."""
        self.reliable.append(self.now)
        if len(self.reliable) == 1 and self.plan.prack_after is not None:
            self.later(self.plan.prack_after, self._acknowledge_1xx, message)

    def _acknowledge_1xx(self, message: SipMessage) -> None:
        rack = f"RAck: {(message.first('RSeq') or b'').decode()} 1 INVITE\n"
        self.prack = self._in_dialog("PRACK", message, 2, rack)

    def _acknowledge(self, message: SipMessage) -> None:
        to = message.to_value.decode()
        self.send(request_text(self.place, "ACK", self.plan.uri, self.branch, self.plan.name, 1, to, self.route))

    def _acknowledge_2xx(self, message: SipMessage) -> None:
        """Every copy of a 2xx gets its ACK by the route that the 2xx has recorded."""
        self._in_dialog("ACK", message, 1)
        first = (message.to_tag or b"") not in self.acknowledged
        self.acknowledged.add(message.to_tag or b"")
        if first and self.plan.bye_after is not None and self.bye is None:
            self.later(self.plan.bye_after, self._hang_up, message)

    def _hang_up(self, message: SipMessage) -> None:
        if self.bye is None:
            self.bye = self._in_dialog("BYE", message, 2)

    def _in_dialog(self, method: str, answer: SipMessage, cseq: int, more: str = "") -> Exchange | None:
        self._serial += 1
        branch = self.branch if self.plan.old and method == "ACK" else f"{self.branch}-{self._serial}"
        contacts = answer.values("Contact")
        target = str(NameAddr.parse(contacts[0]).uri) if contacts else URI
        routes = [value.decode() for value in reversed(answer.values("Record-Route"))]
        to = PROXY if routes or not contacts else place_of(target)
        if self.plan.strict and routes and "lr" in routes[0]:
            target, routes = routes[0].strip("<>"), [*routes[1:], f"<{target}>"]
        extra = more + "".join(f"Route: {route}\n" for route in routes)
        data = request_text(self.place, method, target, branch, self.plan.name, cseq, answer.to_value.decode(), extra)
        if method == "ACK":
            self.send(data, to)
            return None
        return Exchange(self, data, to)


def place_of(uri: str) -> tuple[str, int]:
    """Host and port of a URI without user."""
    host, _, port = uri.removeprefix("sip:").partition(":")
    return host, int(port)
