"""A user agent that sends one request other than INVITE, and waits for its final."""

from __future__ import annotations

from siphon.sip.message import SipMessage
from siphon.testing.caller import URI
from siphon.testing.peer import Exchange, Peer, request_text
from siphon.testing.wire import Wire


class Asker(Peer):
    """One MESSAGE or OPTIONS. `seen` holds (time, status) of every response."""

    def __init__(
        self, wire: Wire, ip: str, port: int, *, name: str, start: float, directions: str, method: str
    ) -> None:
        super().__init__(wire, ip, port)
        self.name = name
        self.method = method
        self.directions = directions
        self.seen: list[tuple[float, int]] = []
        self.exchange: Exchange | None = None
        wire.schedule.at(start, self.start)

    def start(self) -> None:
        """Send the request."""
        extra = f"X-Plan: {self.directions}\n"
        branch = f"z9hG4bK-{self.name}"
        self.exchange = Exchange(
            self, request_text(self.place, self.method, URI, branch, self.name, 1, f"<{URI}>", extra)
        )

    def response(self, message: SipMessage) -> None:
        """A response has come."""
        assert self.exchange is not None
        self.seen.append((self.now, message.status))
        self.exchange.response(message)
