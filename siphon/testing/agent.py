"""A virtual user agent: sends text, keeps what it receives, builds the requests and answers that tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siphon.sip.build import response
from siphon.sip.message import SipMessage, parse

if TYPE_CHECKING:
    from siphon.testing.world import World


class Agent:
    """The user agent at ip:port. `inbox` holds all that came, oldest first."""

    def __init__(self, world: World, ip: str, port: int) -> None:
        self.world = world
        self.ip = ip
        self.port = port
        self.inbox: list[SipMessage] = []
        self.times: list[float] = []
        self._serial = 0

    def receive(self, data: bytes) -> None:
        """The network delivers a datagram."""
        self.inbox.append(parse(data))
        self.times.append(self.world.clock())

    @property
    def last(self) -> SipMessage:
        """What came last."""
        return self.inbox[-1]

    def take(self) -> list[SipMessage]:
        """All that came since the last call."""
        taken, self.inbox, self.times = self.inbox, [], []
        return taken

    @property
    def statuses(self) -> list[int]:
        """Statuses of the responses received."""
        return [m.status for m in self.inbox if not m.is_request]

    @property
    def requests(self) -> list[str]:
        """Methods of the requests received."""
        return [m.method for m in self.inbox if m.is_request]

    def send(self, data: bytes | str, worker: int | None = None, listener: int = 0) -> None:
        """Send a datagram; str is encoded, and bare line ends become CRLF."""
        if isinstance(data, str):
            data = data.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        self.world.deliver(data, (self.ip, self.port), worker, listener)

    def request(
        self,
        method: str,
        uri: str,
        *,
        branch: str = "",
        call_id: str = "",
        cseq: int = 1,
        cseq_method: str = "",
        from_tag: str = "f1",
        to_tag: str = "",
        headers: str = "",
        body: str = "",
        to: str = "",
    ) -> str:
        """The text of a request from this agent; a new branch unless one is given."""
        self._serial += 1
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        branch = branch or f"z9hG4bK-{host}-{self.port}-{self._serial}"
        tag = f";tag={to_tag}" if to_tag else ""
        extra = headers.strip("\n") + "\n" if headers else ""
        return (
            f"{method} {uri} SIP/2.0\n"
            f"Via: SIP/2.0/UDP {host}:{self.port};rport;branch={branch}\n"
            "Max-Forwards: 70\n"
            f"From: <sip:caller@example.net>;tag={from_tag}\n"
            f"To: <{to or uri}>{tag}\n"
            f"Call-ID: {call_id or f'call-{host}-{self._serial}'}\n"
            f"CSeq: {cseq} {cseq_method or method}\n"
            f"Contact: <sip:{host}:{self.port}>\n"
            f"{extra}"
            f"Content-Length: {len(body.encode())}\n"
            f"\n{body}"
        )

    def answer(
        self,
        request: SipMessage,
        status: int,
        reason: str = "",
        *,
        tag: str = "t1",
        headers: list[tuple[str, str]] | None = None,
        worker: int | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer a request that was received."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        lines = [("Contact", f"<sip:{host}:{self.port}>"), *(headers or [])]
        to_tag = tag.encode() if status > 100 and tag else None
        self.send(response(request, status, reason or "Status", to_tag, lines, body), worker)
