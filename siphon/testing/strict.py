"""A strict router (RFC 2543) between the proxy and its phones: forwards by the Request-URI alone, keeps no state.

A request must come with the router's own URI in the request line and the target as last Route (RFC 3261 §16.6 item 6);
the first Route takes the request line's place. Its branch is made of the one it got, so that repeats, CANCEL and ACK
have the branch of their INVITE behind it as well.
"""

from __future__ import annotations

from siphon.sip.message import SipMessage
from siphon.testing.invariants import Violation
from siphon.testing.peer import Peer, sent_by
from siphon.testing.wire import Wire

BRANCH = "z9hG4bK-strict-"


class StrictRouter(Peer):
    """At ip:5060; its Route and Record-Route value has no `lr`."""

    def __init__(self, wire: Wire, ip: str) -> None:
        super().__init__(wire, ip, 5060)
        self.uri = f"sip:strict@{ip}:5060"

    def request(self, message: SipMessage) -> None:
        """Forward it to where the first Route leads."""
        if message.uri.decode() != self.uri:
            raise Violation(f"a strict router gets a {message.method} for {message.uri.decode()}")
        routes = [value.decode() for value in message.values("Route")]
        if not routes:
            raise Violation(f"a strict router gets a {message.method} without Route")
        target = routes[0].strip("<>")
        lines = message.raw.decode("latin-1").split("\r\n")
        kept = [line for line in lines[1:] if not line.startswith("Route:")]
        added = [f"Via: SIP/2.0/UDP {self.place[0]}:5060;branch={BRANCH}{message.via.branch.decode()}"]
        if message.method == "INVITE":
            added.append(f"Record-Route: <{self.uri}>")
        added += [f"Route: {route}" for route in routes[1:]]
        text = "\r\n".join([f"{message.method} {target} SIP/2.0", *added, *kept])
        host, _, port = target.partition("@")[2].partition(":") if "@" in target else target[4:].partition(":")
        self.send(text.encode("latin-1"), (host, int(port)))

    def response(self, message: SipMessage) -> None:
        """Take the Via on top off and send the rest to the next."""
        head, _, rest = message.raw.partition(b"\r\nVia:")
        data = head + rest[rest.index(b"\r\n") :]
        self.send(data, sent_by(data))
