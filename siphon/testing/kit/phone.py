"""A virtual phone: it registers, calls, is called, and stays at one address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from siphon.sip.build import response
from siphon.sip.message import BadResponse, NotSip
from siphon.sip.uri import NameAddr
from siphon.testing.kit.dialog import Dialog
from siphon.testing.kit.message import Message
from siphon.testing.kit.transactions import SDP, Call, Headers, Received, Sent

if TYPE_CHECKING:
    from siphon.testing.kit.server import Server

Place = tuple[str, int]
ANSWERS_WITHIN_SECS = 32.0
"""64*T1: when a client transaction gives up."""


class Phone:
    """A user agent at `address`. `behind`: the private address that it believes to have, behind a NAT."""

    def __init__(
        self, server: Server, name: str, user: str | None, password: str | None, address: Place, behind: Place | None
    ) -> None:
        self.server = server
        self.name = name
        self.user = user
        self.password = password
        self.address = address
        self.believes = behind or address
        self.offline = False
        """True: nothing reaches it, and nobody is told."""
        self.received: list[Received] = []
        """All requests that have come but ACK, CANCEL and repeats, oldest first."""
        self.waiting: list[Received] = []
        """Those that no test has taken and nobody has answered yet."""
        self.unreadable: list[bytes] = []
        """Datagrams that are no complete message: what answers a request without From has none either."""
        self.dialogs: list[Dialog] = []
        self.transactions: dict[tuple[str, bool], Sent] = {}
        """By branch; that of a CANCEL, which has the branch of its INVITE, by True."""
        self._always: dict[str, tuple[Sequence[int], Headers | None]] = {}
        self._known: dict[tuple[str, str], Received] = {}
        self._serial = 0
        self._registered_with = ""

    # -- who it is

    @property
    def aor(self) -> str:
        """Its address of record."""
        return f"sip:{self.user or 'anonymous'}@{self.server.domain}"

    @property
    def contact(self) -> str:
        """The URI that it registers and gives in Contact."""
        return f"sip:{self.user or self.name}@{_hostport(self.believes)}"

    @property
    def unreachable(self) -> bool:
        """True: whoever sends here gets an ICMP error at once."""
        return self.address in self.server.world.unreachable

    @unreachable.setter
    def unreachable(self, value: bool) -> None:
        places = self.server.world.unreachable
        places.add(self.address) if value else places.discard(self.address)

    # -- what it does

    def register(self, expires: int = 3600, headers: Headers | None = None) -> Message:
        """Register its contact for so many seconds, with credentials if they are asked for; the final response."""
        return self._register(f"<{self.contact}>", {"Expires": str(expires), **(headers or {})})

    def unregister(self) -> Message:
        """Remove all bindings of its address of record."""
        return self._register("*", {"Expires": "0"})

    def _register(self, contact: str, headers: Headers) -> Message:
        aor = f"<{self.aor}>"
        self._registered_with = self._registered_with or self._name_of_call()
        data = self.build(
            "REGISTER",
            f"sip:{self.server.domain}",
            from_value=f"{aor};tag={self.name}",
            to_value=aor,
            call_id=self._registered_with,
            cseq=2 * self._serial,
            headers={"Contact": contact, **headers},
        )
        return self.wait(Sent(self, data))

    def invite(self, uri: str, headers: Headers | None = None, body: str = "") -> Call:
        """Call somebody."""
        return Call(self, self._outside("INVITE", uri, headers, body, SDP))

    def request(
        self, method: str, uri: str, headers: Headers | None = None, body: str = "", content_type: str = "text/plain"
    ) -> Sent:
        """Any other request outside of dialogs."""
        return Sent(self, self._outside(method, uri, headers, body, content_type))

    def _outside(self, method: str, uri: str, headers: Headers | None, body: str, content_type: str) -> bytes:
        call_id = self._name_of_call()
        return self.build(
            method,
            uri,
            from_value=f"<{self.aor}>;tag={self.name}-{self._serial}",
            to_value=f"<{uri}>",
            call_id=call_id,
            cseq=1,
            headers=headers or {},
            body=body,
            content_type=content_type,
        )

    def wait(self, sent: Sent, seconds: float = ANSWERS_WITHIN_SECS) -> Message:
        """Let time go on until `sent` has a final. AssertionError when none comes."""
        end = self.server.now + seconds
        while sent.final is None and self.server.step(end):
            pass
        if sent.final is None:
            raise AssertionError(
                f"no final to {sent.request.method} within {seconds:g} s: {sent.statuses}{self.server.report()}"
            )
        return sent.final

    # -- what comes to it

    def incoming(self, method: str | None = None) -> Received:
        """The oldest request of that method (default: any) that no test has taken. AssertionError when there is
        none."""
        for received in self.waiting:
            if method in (None, received.request.method):
                self.waiting.remove(received)
                return received
        raise AssertionError(f"no {method or 'request'} has come to {self.name}{self.server.report()}")

    def always(self, method: str, *statuses: int, headers: Headers | None = None) -> None:
        """Answer every request of that method so, from now on; without a status: never."""
        self._always[method] = (statuses, headers)

    def receive(self, data: bytes) -> None:
        """The network delivers a datagram."""
        try:
            message = Message(data)
        except (BadResponse, NotSip):
            self.unreadable.append(data)
            return
        if not message.is_request:
            sent = self.transactions.get((message.branch, message.method == "CANCEL"))
            if sent is not None:
                sent.hear(message)
        elif message.method == "ACK":
            self._acknowledged(message)
        elif message.method == "CANCEL":
            self._cancelled(message)
        else:
            self._request(message)

    def _request(self, message: Message) -> None:
        known = self._known.get((message.branch, message.method))
        if known is not None:
            known.copies += 1
            if known.last:
                known.repeat()
            return
        self._serial += 1
        received = Received(self, message, message.to_tag or f"{self.name}-{self._serial}")
        self._known[message.branch, message.method] = received
        self.received.append(received)
        if message.method == "BYE" and message.method not in self._always:
            self._hung_up(received)
            return
        statuses, headers = self._always.get(message.method, (None, None))
        if statuses is None:
            self.waiting.append(received)
        for status in statuses or ():
            received.answer(status, headers=headers)

    def _hung_up(self, bye: Received) -> None:
        for dialog in self.dialogs:
            dialog.ended |= dialog.call_id == bye.request.call_id
        bye.answer(200)

    def _acknowledged(self, message: Message) -> None:
        for received in self.received:
            same = received.request.call_id == message.call_id and received.request.cseq == message.cseq
            received.acknowledged |= same and received.request.method == "INVITE" and bool(received.final)

    def _cancelled(self, message: Message) -> None:
        received = self._known.get((message.branch, "INVITE"))
        tag = f"{self.name}-cancel".encode()
        self.send(response(message.parsed, 200 if received else 481, "OK", tag, (), b""))
        if received is not None:
            received.cancelled = True
            if received in self.waiting:
                self.waiting.remove(received)
            if not received.final:
                received.answer(487)

    # -- datagrams

    def send(self, data: bytes | str) -> None:
        """Put a datagram on the wire; str is encoded, bare line ends become CRLF. It goes to the phone that its top
        Route or Request-URI names by address, else to the server."""
        if isinstance(data, str):
            data = data.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        self.server.carry(self, data)

    def build(
        self,
        method: str,
        uri: str,
        *,
        from_value: str,
        to_value: str,
        call_id: str,
        cseq: int,
        headers: Headers,
        body: str = "",
        content_type: str = SDP,
    ) -> bytes:
        """A request of this phone; `headers` replace, and by None take away, what it would carry by itself."""
        self._serial += 1
        branch = f"z9hG4bK-{self.name}-{self._serial}"
        given = {name.lower() for name in headers}
        own = [
            ("Via", f"SIP/2.0/UDP {_hostport(self.believes)};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", from_value),
            ("To", to_value),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<{self.contact}>"),
            *([("Content-Type", content_type)] if body else []),
            ("Content-Length", str(len(body.encode()))),
        ]
        lines = [line for line in own if line[0].lower() not in given] + self.flat(headers)
        text = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return f"{method} {uri} SIP/2.0\r\n{text}\r\n{body}".encode()

    def again(self, old: Message, more: Headers) -> bytes:
        """The same request as a new transaction: next CSeq, new branch, and further headers."""
        self._serial += 1
        head, _, body = old.raw.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        for i, line in enumerate(lines):
            if line.startswith("Via: "):
                lines[i] = line.replace(old.branch, f"z9hG4bK-{self.name}-{self._serial}")
            elif line.startswith("CSeq: "):
                lines[i] = f"CSeq: {old.cseq + 1} {old.method}"
        lines += [f"{name}: {value}" for name, value in self.flat(more)]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    @staticmethod
    def flat(headers: Headers) -> list[tuple[str, str]]:
        """Header lines in order."""
        found: list[tuple[str, str]] = []
        for name, value in headers.items():
            values = [value] if isinstance(value, str) else list(value or ())
            found.extend((name, one) for one in values)
        return found

    def _name_of_call(self) -> str:
        self._serial += 1
        return f"{self.name}-call-{self._serial}"

    def __repr__(self) -> str:
        return f"<phone {self.name} at {_hostport(self.address)}>"


def target_of(message: Message) -> Place | None:
    """Where the request goes by itself: the address in its top Route, else in its Request-URI."""
    routes = message.headers("Route")
    uri = NameAddr.parse(routes[0] if routes else f"<{message.uri}>").uri
    return uri.host.strip("[]"), uri.port or 5060


def _hostport(place: Place) -> str:
    host = f"[{place[0]}]" if ":" in place[0] else place[0]
    return f"{host}:{place[1]}"
