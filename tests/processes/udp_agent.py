"""A SIP user agent for scripted tests on real sockets: the test says each message, nothing happens by itself.

An agent has one address, which it names in Via and Contact and where it receives. With `fresh` every datagram leaves
from a socket of its own, which is how traffic reaches all workers.
"""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

Address = tuple[str, int]
T2 = 4.0
"""Seconds between two repeats of a failure at most (Timer G)."""
_numbers = count(1)


def unique(prefix: str) -> str:
    return f"{prefix}{time.time_ns():x}{next(_numbers)}"


@dataclass(frozen=True)
class Message:
    start: str
    headers: list[tuple[str, str]]
    body: str
    raw: bytes
    source: Address
    at: float = 0.0
    """Time of arrival, where the agent notes it."""

    @classmethod
    def parse(cls, raw: bytes, source: Address, at: float = 0.0) -> Message:
        head, _, body = raw.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return cls(start, headers, body, raw, source, at)

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a response: the method it answers."""
        return self["cseq"].split()[1]

    @property
    def uri(self) -> str:
        return self.start.split(" ")[1]

    def __getitem__(self, name: str) -> str:
        """The first value; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        return [item.strip() for key, value in self.headers if key == name for item in split_list(value)]

    def tag(self, name: str) -> str:
        match = re.search(r";\s*tag=([^;\s]+)", self[name])
        return match[1] if match else ""

    def is_a(self, what: str) -> bool:
        """`what` is "INVITE" for the request, "200 INVITE" for that response, "18x INVITE" for a class of them."""
        code, _, method = what.rpartition(" ")
        if not code:
            return not self.status and self.method == method
        return (
            bool(self.status)
            and self.method == method
            and all(a in (b, "x") for a, b in zip(code, str(self.status), strict=True))
        )

    def __str__(self) -> str:
        return f"{self.status} {self.method}" if self.status else f"{self.start} from {self.source[1]}"


def shown(address: Address) -> str:
    """As a URI has it."""
    ip, port = address
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def split_list(value: str) -> list[str]:
    return re.findall(r'(?:[^,<"]|<[^>]*>|"(?:[^"\\]|\\.)*")+', value)


def address_in(value: str) -> str:
    match = re.search(r"<([^>]*)>", value)
    return match[1] if match else value


@dataclass
class Dialog:
    """What a user agent knows of a call after its 2xx."""

    target: str
    routes: list[str]
    local: str
    remote: str
    call_id: str
    cseq: int


class Agent:
    def __init__(self, proxy: Address, user: str, *, fresh: bool = False, port: int = 0, ip: str = "127.0.0.1") -> None:
        """`proxy` is where it sends to, `ip` where it is itself, both of one family."""
        self.proxy = proxy
        self.user = user
        self.fresh = fresh
        self.ip = ip
        self.made: list[socket.socket] = []
        self.socket = self.bound(port)
        self.address: Address = self.socket.getsockname()[:2]
        self.host = shown(self.address)
        self.uri = f"sip:{user}@{self.host}"
        self.contact = f"<{self.uri}>"
        self.seen: list[Message] = []
        self.sent: list[bytes] = []

    def bound(self, port: int = 0) -> socket.socket:
        """One more socket of this agent, closed with it."""
        made = socket.socket(socket.AF_INET6 if ":" in self.ip else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.ip, port))
        self.made.append(made)
        return made

    def close(self) -> None:
        for one in self.made:
            one.close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- sending

    def send(self, data: bytes, *, to: Address | None = None, via: socket.socket | None = None) -> bytes:
        """Returns what was sent, for a retransmission."""
        sender = via or self.socket
        if self.fresh and via is None:
            sender = self.bound()
        sender.sendto(data, to or self.proxy)
        self.sent.append(data)
        return data

    def request(
        self,
        method: str,
        uri: str,
        *,
        cseq: int = 1,
        call_id: str = "",
        branch: str = "",
        local: str = "",
        remote: str = "",
        routes: Sequence[str] = (),
        extra: Sequence[str] = (),
        body: str = "",
    ) -> bytes:
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host};branch={branch or unique('z9hG4bK')}",
            "From: " + (local or f"<sip:{self.user}@example.com>;tag={unique('f')}"),
            f"To: {remote or f'<{uri}>'}",
            f"Call-ID: {call_id or unique('call-')}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in routes),
            *extra,
            f"Content-Length: {len(body.encode())}",
        ]
        if method in ("INVITE", "SUBSCRIBE") and not any(line.startswith("Contact:") for line in extra):
            lines.insert(-1, f"Contact: {self.contact}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def respond(
        self,
        request: Message,
        status: int,
        reason: str = "",
        *,
        tag: str = "",
        extra: Sequence[str] = (),
        body: str = "",
    ) -> bytes:
        """Sends a response to a request that came in, to where the request came from."""
        copied = [
            f"{name.title()}: {value}" for name, value in request.headers if name in ("via", "from", "call-id", "cseq")
        ]
        if status < 300 and request.method == "INVITE":
            copied += [f"Record-Route: {value}" for name, value in request.headers if name == "record-route"]
            copied += [f"Contact: {self.contact}"] if status > 100 else []
        to = request["to"] + (f";tag={tag}" if tag and not request.tag("to") else "")
        lines = [
            f"SIP/2.0 {status} {reason or 'Whatever'}",
            *copied,
            f"To: {to}",
            *extra,
            f"Content-Length: {len(body.encode())}",
        ]
        return self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), to=request.source)

    def acknowledge(self, invite: bytes, final: Message) -> bytes:
        """ACK of a failure: hop by hop, on the INVITE's branch."""
        sent = Message.parse(invite, self.address)
        branch = re.search(r"branch=([^;\s]+)", sent["via"])
        assert branch is not None
        return self.send(
            self.request(
                "ACK", sent.uri, call_id=sent["call-id"], branch=branch[1], local=sent["from"], remote=final["to"]
            )
        )

    def cancel(self, invite: bytes) -> bytes:
        sent = Message.parse(invite, self.address)
        branch = re.search(r"branch=([^;\s]+)", sent["via"])
        assert branch is not None
        return self.send(
            self.request(
                "CANCEL", sent.uri, call_id=sent["call-id"], branch=branch[1], local=sent["from"], remote=sent["to"]
            )
        )

    # --- dialogs

    def dialog(self, answer: Message) -> Dialog:
        """As the caller knows it, from the 2xx."""
        return Dialog(
            address_in(answer["contact"]),
            answer.all("record-route")[::-1],
            answer["from"],
            answer["to"],
            answer["call-id"],
            int(answer["cseq"].split()[0]),
        )

    def dialog_of_callee(self, invite: Message, tag: str) -> Dialog:
        return Dialog(
            address_in(invite["contact"]),
            invite.all("record-route"),
            f"{invite['to']};tag={tag}",
            invite["from"],
            invite["call-id"],
            100,
        )

    def within(self, dialog: Dialog, method: str, *, extra: Sequence[str] = ()) -> bytes:
        """A request of the dialog, along its route set. The first route is the proxy."""
        if method != "ACK":
            dialog.cseq += 1
        return self.send(
            self.request(
                method,
                dialog.target,
                cseq=dialog.cseq,
                call_id=dialog.call_id,
                local=dialog.local,
                remote=dialog.remote,
                routes=dialog.routes,
                extra=extra,
            )
        )

    # --- receiving

    def receive(self, seconds: float) -> Message | None:
        self.socket.settimeout(max(seconds, 0.001))
        try:
            raw, source = self.socket.recvfrom(65535)
        except TimeoutError:
            return None
        message = Message.parse(raw, source[:2])
        self.seen.append(message)
        return message

    def expect(self, what: str, *, within: float = 15.0, but: Sequence[str] = ("100 INVITE",)) -> Message:
        """The next message, which must be `what`; those that are listed in `but` may come before it. So may repeats of
        requests and of failures to an INVITE, since on a busy machine a test may be slower than T1, and the 100 to a
        request other than INVITE, which is sent when it has taken seconds (RFC 4320)."""
        deadline = time.monotonic() + within
        while True:
            left = deadline - time.monotonic()
            before = {message.raw for message in self.seen if not message.status}
            message = self.receive(left)  # what lies in the socket counts, however late the test itself is
            if message is None and left <= 0:
                break
            if message is None or message.raw in before:
                continue
            if message.is_a(what):
                return message
            if message.status == 100 and message.method != "INVITE" or self._is_repeated_failure(message):
                continue
            assert any(message.is_a(other) for other in but), f"{message} instead of {what}"
        raise AssertionError(f"no {what} within {within} s; came: {[str(message) for message in self.seen[-10:]]}")

    def silence(self, seconds: float) -> None:
        """Nothing comes for so long. A failure to an INVITE may come again once or twice, sent before its ACK was read;
        then it has to be silent for longer than its repeats are apart."""
        repeats = 0
        while (message := self.receive(seconds)) is not None:
            repeats += 1
            assert repeats <= 2 and self._is_repeated_failure(message), f"{message} came"
            seconds = max(seconds, T2 + 1)

    def _is_repeated_failure(self, last: Message) -> bool:
        """Whether the message that came last, a failure to an INVITE, had come before."""
        is_failure = last.status >= 300 and last.method == "INVITE"
        return is_failure and any(message.raw == last.raw for message in self.seen if message is not last)

    def insist(self, request: bytes, what: str, *, within: float = 30.0) -> Message:
        """Sends a request as a phone does, again each second, until `what` comes in answer to it: when its reader has
        just died, or when it has waited in a full socket for too long, a datagram is lost."""
        sent = Message.parse(request, self.address)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.send(request)
            again = time.monotonic() + 1
            while (left := again - time.monotonic()) > 0:
                message = self.receive(left)
                if message is None or any(message[name] != sent[name] for name in ("call-id", "cseq")):
                    continue
                if message.is_a(what):
                    return message
        raise AssertionError(f"no {what} within {within} s; came: {[str(message) for message in self.seen[-10:]]}")

    def drain(self) -> Iterator[Message]:
        """What lies in the socket."""
        while (message := self.receive(0.001)) is not None:
            yield message

    # --- registering

    def register(self, contact: str = "", *, expires: int = 600, password: str = "secret") -> Message:
        """REGISTER of one contact (its own), the challenge answered; the final response."""
        return self.registration([f"Contact: {contact or self.contact}", f"Expires: {expires}"], password)

    def register_openly(self, contact: str = "", *, expires: int = 600) -> Message:
        """As register(), where nobody asks for a password."""
        to = f"<sip:{self.user}@example.com>"
        extra = [f"Contact: {contact or self.contact}", f"Expires: {expires}"]
        self.send(self.request("REGISTER", "sip:example.com", remote=to, extra=extra))
        return self.answer_to("1 REGISTER")

    def bindings(self) -> list[str]:
        """The contacts that are registered for the user."""
        answer = self.registration([], "secret")
        assert answer.status == 200, answer
        return [address_in(value) for value in answer.all("contact")]

    def registration(self, lines: list[str], password: str) -> Message:
        uri, to, call_id = "sip:example.com", f"<sip:{self.user}@example.com>", unique("reg-")
        local = f"{to};tag={unique('f')}"

        def ask(cseq: int, *more: str) -> bytes:
            extra = [*lines, *more]
            return self.request("REGISTER", uri, cseq=cseq, call_id=call_id, local=local, remote=to, extra=extra)

        self.send(ask(1))
        challenge = self.answer_to("1 REGISTER")
        assert challenge.status == 401, challenge
        given = credentials(challenge["www-authenticate"], self.user, password, "REGISTER", uri)
        self.send(ask(2, f"Authorization: {given}"))
        return self.answer_to("2 REGISTER")

    def answer_within(self, method: str, seconds: float = 20.0) -> Message:
        """The next response to that method, a final or provisional one."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self.receive(left)
            if message is not None and message.status and message.method == method:
                return message
        raise AssertionError(f"no answer to {method} within {seconds} s")

    def answer_to(self, cseq: str, within: float = 15.0) -> Message:
        """The next final response with this CSeq; anything else that comes is passed over."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            message = self.receive(left)
            if message is not None and message.status >= 200 and message["cseq"] == cseq:
                return message
        raise AssertionError(f"no final answer to {cseq} within {within} s")


def credentials(challenge: str, user: str, password: str, method: str, uri: str, use: int = 1) -> str:
    """MD5 with qop=auth (RFC 7616 §3.4); `use` counts the requests with this nonce."""
    field = {name: a or b for name, a, b in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', challenge)}

    def digest(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    ha1, ha2 = digest(f"{user}:{field['realm']}:{password}"), digest(f"{method}:{uri}")
    response = digest(f"{ha1}:{field['nonce']}:{use:08x}:abcdef:auth:{ha2}")
    parts = f'username="{user}", realm="{field["realm"]}", nonce="{field["nonce"]}", uri="{uri}", response="{response}"'
    return f'Digest {parts}, algorithm=MD5, qop=auth, nc={use:08x}, cnonce="abcdef", opaque="{field.get("opaque", "")}"'
