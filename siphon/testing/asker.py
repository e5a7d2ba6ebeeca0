"""A user agent that sends one request other than INVITE, and waits for its final."""

from __future__ import annotations

from siphon.sip.message import SipMessage
from siphon.testing.caller import URI
from siphon.testing.peer import Exchange, Peer, request_text
from siphon.testing.wire import STALE_SECS, Wire


class Asker(Peer):
    """One MESSAGE or OPTIONS. `seen` holds (time, status) of every response. `path` tells the copies of one request
    apart that come by several ways."""

    def __init__(
        self,
        wire: Wire,
        ip: str,
        port: int,
        *,
        name: str,
        start: float,
        directions: str,
        method: str,
        again: bool,
        path: str = "",
    ) -> None:
        super().__init__(wire, ip, port)
        self.name = name
        self.path = path
        self.method = method
        self.directions = directions
        self.began = start
        self.seen: list[tuple[float, int]] = []
        self.exchanges: list[Exchange] = []
        wire.schedule.at(start, self.start)
        if again:
            wire.schedule.at(start + STALE_SECS, self.start)

    def start(self) -> None:
        """Send the request; the second time as a phone does that has restarted and draws the same branch."""
        if self.exchanges:
            self.wire.epochs[self.name.encode()] += 1
        extra = f"X-Plan: {self.directions}\n"
        branch = f"z9hG4bK-{self.name}{self.path}"
        text = request_text(self.place, self.method, URI, branch, self.name, 1, f"<{URI}>", extra)
        self.exchanges.append(Exchange(self, text))

    def response(self, message: SipMessage) -> None:
        """A response has come."""
        self.seen.append((self.now, message.status))
        self.exchanges[-1].response(message)
