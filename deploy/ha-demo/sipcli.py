#!/usr/bin/env python3
"""Asks a SIP server one thing over UDP and prints the status code of its answer, alone on one line.

    sipcli.py register HOST PORT USER CONTACT_HOST CONTACT_PORT   the final code, after answering one challenge
    sipcli.py invite   HOST PORT USER                             the first response; then CANCEL, and ACK of the final
    sipcli.py options  HOST PORT

Exit status: 0 when the code is 1xx or 2xx, 1 when it is another, 2 when nothing came within 4 s.
Standard library only, so that it runs on any machine that has Python. A request is repeated like a phone would
(RFC 3261 §17: after 0.5 s, doubling), since UDP may lose it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

T1 = 0.5
PATIENCE = 4.0


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, list[str]]  # lower-case name -> values in order

    @classmethod
    def parse(cls, datagram: bytes) -> Response | None:
        """None for what is not a SIP response."""
        head = datagram.decode("utf-8", "replace").partition("\r\n\r\n")[0]
        start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        if not (match := re.match(r"SIP/2\.0 ([1-6]\d\d)(?: |$)", start)):
            return None
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        return cls(int(match[1]), headers)

    def all(self, name: str, compact: str = "") -> list[str]:
        return self.headers.get(name.lower()) or self.headers.get(compact, [])

    def header(self, name: str, compact: str = "") -> str:
        return next(iter(self.all(name, compact)), "")

    def answers(self, cseq: str) -> bool:
        return self.header("CSeq").split() == cseq.split()


class Client:
    """One user agent on one socket: every request of one run shares Call-ID and From tag."""

    def __init__(self, host: str, port: int, domain: str, user: str) -> None:
        family, kind, protocol, _, server = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind, protocol)
        self.socket.connect(server)
        ip, port = self.socket.getsockname()[:2]
        self.address = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
        self.domain = domain
        self.user = user
        self.call_id = f"{secrets.token_hex(8)}@{self.address}"
        self.tag = secrets.token_hex(4)

    def request(
        self, method: str, uri: str, cseq: int, to: str, branch: str = "", extra: tuple[str, ...] = ()
    ) -> bytes:
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address};rport;branch={branch or new_branch()}",
            f"From: <sip:{self.user}@{self.domain}>;tag={self.tag}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            *extra,
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def ask(self, datagram: bytes, cseq: str, until: Callable[[Response], bool]) -> Response | None:
        """Sends, repeats until something answers `cseq`, and returns the first response that `until` accepts."""
        deadline = time.monotonic() + PATIENCE
        interval, repeat, heard = T1, 0.0, False
        while (now := time.monotonic()) < deadline:
            if not heard and now >= repeat:
                self.send(datagram)
                repeat, interval = now + interval, interval * 2
            response = self.receive((deadline if heard else min(repeat, deadline)) - now)
            if response is None:
                continue
            if until(response):
                return response
            heard = heard or response.answers(cseq)
        return None

    def send(self, datagram: bytes) -> None:
        try:
            self.socket.send(datagram)
        except ConnectionRefusedError:  # ICMP: nobody listens (yet); the next repeat tries again
            return

    def receive(self, seconds: float) -> Response | None:
        self.socket.settimeout(max(seconds, 0.001))
        try:
            return Response.parse(self.socket.recv(65535))
        except TimeoutError:
            return None
        except ConnectionRefusedError:
            time.sleep(0.02)
            return None


def new_branch() -> str:
    return "z9hG4bK" + secrets.token_hex(8)


def final_of(cseq: str) -> Callable[[Response], bool]:
    return lambda response: response.status >= 200 and response.answers(cseq)


def challenge_of(response: Response) -> dict[str, str]:
    """The parameters of a Digest challenge (RFC 3261 §22), quotes removed."""
    value = response.header("WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate")
    pairs = re.findall(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', value)
    return {name.lower(): quoted or bare for name, quoted, bare in pairs}


def credentials(challenge: dict[str, str], user: str, password: str, method: str, uri: str) -> str:
    """The value of Authorization that answers the challenge: MD5 or SHA-256, with qop=auth where it is offered."""
    algorithm = challenge.get("algorithm", "MD5")
    name = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}[algorithm.upper()]

    def digest(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode()).hexdigest()

    realm, nonce = challenge.get("realm", ""), challenge.get("nonce", "")
    ha1, ha2 = digest(user, realm, password), digest(method, uri)
    fields = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"', f"algorithm={algorithm}"]
    if "auth" in re.split(r"[\s,]+", challenge.get("qop", "")):
        cnonce = secrets.token_hex(8)
        fields += [f'response="{digest(ha1, nonce, "00000001", cnonce, "auth", ha2)}"']
        fields += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    else:
        fields += [f'response="{digest(ha1, nonce, ha2)}"']
    if "opaque" in challenge:
        fields += [f'opaque="{challenge["opaque"]}"']
    return "Digest " + ", ".join(fields)


def register(client: Client, contact: str, password: str) -> Response | None:
    uri = f"sip:{client.domain}"
    to = f"<sip:{client.user}@{client.domain}>"
    lines = (f"Contact: <sip:{client.user}@{contact}>", "Expires: 3600")
    response = client.ask(client.request("REGISTER", uri, 1, to, extra=lines), "1 REGISTER", final_of("1 REGISTER"))
    if response is None or response.status not in (401, 407):
        return response
    name = "Authorization" if response.status == 401 else "Proxy-Authorization"
    try:
        answer = credentials(challenge_of(response), client.user, password, "REGISTER", uri)
    except (KeyError, ValueError):  # a challenge of an algorithm that we do not have
        return response
    again = client.request("REGISTER", uri, 2, to, extra=(*lines, f"{name}: {answer}"))
    return client.ask(again, "2 REGISTER", final_of("2 REGISTER"))


def invite(client: Client, callee: str) -> Response | None:
    uri = f"sip:{callee}@{client.domain}"
    branch = new_branch()
    contact = (f"Contact: <sip:{client.user}@{client.address}>",)
    offer = client.request("INVITE", uri, 1, f"<{uri}>", branch, contact)
    first = client.ask(offer, "1 INVITE", lambda response: response.answers("1 INVITE"))
    last = first
    if first is not None and first.status < 200:
        # RFC 3261 §9.1: the CANCEL bears the branch of its INVITE. Its 200 and the INVITE's 487 come in any order.
        last = client.ask(client.request("CANCEL", uri, 1, f"<{uri}>", branch), "1 CANCEL", final_of("1 INVITE"))
    if last is not None and last.status >= 300:  # the ACK goes hop by hop, on the INVITE's branch (§17.1.1.3)
        client.send(client.request("ACK", uri, 1, last.header("To", "t"), branch))
    elif last is not None:  # the 200 crossed the CANCEL: take the call and end it
        hang_up(client, last)
    return first


def hang_up(client: Client, answer: Response) -> None:
    match = re.search(r"<([^>]+)>", answer.header("Contact", "m"))
    target = match[1] if match else f"sip:{client.domain}"
    routes = tuple(f"Route: {value}" for value in reversed(split(", ".join(answer.all("Record-Route")))))
    to = answer.header("To", "t")
    client.send(client.request("ACK", target, 1, to, extra=routes))
    client.ask(client.request("BYE", target, 2, to, extra=routes), "2 BYE", final_of("2 BYE"))


def split(value: str) -> list[str]:
    return [item.strip() for item in re.findall(r"(?:[^,<]|<[^>]*>)+", value) if item.strip()]


def options(client: Client) -> Response | None:
    uri = f"sip:{client.domain}"
    return client.ask(client.request("OPTIONS", uri, 1, f"<{uri}>"), "1 OPTIONS", final_of("1 OPTIONS"))


def arguments(argv: list[str] | None) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("host", metavar="HOST")
    common.add_argument("port", metavar="PORT", type=int)
    common.add_argument("--domain", default="example.com", help="Request-URI, From and To (default: %(default)s)")
    parser = argparse.ArgumentParser(description="One SIP request over UDP; prints the status code of the answer.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "register", parents=[common], help="register USER at a contact; prints the final code"
    )
    command.add_argument("user", metavar="USER")
    command.add_argument("contact_host", metavar="CONTACT_HOST")
    command.add_argument("contact_port", metavar="CONTACT_PORT", type=int)
    command.add_argument("--password", default="secret", help="(default: %(default)s)")
    command = commands.add_parser("invite", parents=[common], help="call USER; prints the first response, then cancels")
    command.add_argument("user", metavar="USER")
    commands.add_parser("options", parents=[common], help="ask the server itself")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    asked = arguments(argv)
    try:
        client = Client(asked.host, asked.port, asked.domain, asked.user if asked.command == "register" else "sipcli")
    except OSError as error:
        print(f"sipcli: {asked.host}:{asked.port}: {error.strerror}", file=sys.stderr)
        return 2
    if asked.command == "register":
        host = f"[{asked.contact_host}]" if ":" in asked.contact_host else asked.contact_host
        response = register(client, f"{host}:{asked.contact_port}", asked.password)
    elif asked.command == "invite":
        response = invite(client, asked.user)
    else:
        response = options(client)
    if response is None:
        print(f"sipcli: nothing came from {asked.host}:{asked.port} within {PATIENCE:g} s", file=sys.stderr)
        return 2
    print(response.status)
    return 0 if response.status < 300 else 1


if __name__ == "__main__":
    sys.exit(main())
