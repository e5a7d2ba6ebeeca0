"""SIP messages as sipcli needs them: parsed from a datagram, printed, and the answer to a digest challenge.

Bytes in, values out; no socket and no clock. What is no SIP message parses to None. Header names are lower case, the
compact forms written out (RFC 3261 §7.3.3).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}


@dataclass(frozen=True)
class Message:
    start: str
    headers: dict[str, list[str]]  # lower-case name -> values in order, a line each

    @classmethod
    def parse(cls, datagram: bytes) -> Message | None:
        head = datagram.decode("utf-8", "replace").partition("\r\n\r\n")[0]
        start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        if not re.match(r"SIP/2\.0 [1-6]\d\d(?: |$)|[\w.!%*+`'~-]+ \S+ SIP/2\.0$", start):
            return None
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers.setdefault(COMPACT.get(name, name), []).append(value.strip())
        return cls(start, headers)

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.start[8:11]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a response: the method that it answers."""
        return self.start.split(" ")[0] if not self.status else self.header("cseq").rpartition(" ")[2]

    def all(self, name: str) -> list[str]:
        return self.headers.get(name, [])

    def header(self, name: str) -> str:
        """The first value; empty where there is none."""
        return next(iter(self.all(name)), "")

    def listed(self, name: str) -> list[str]:
        """The values of a header that may be a list with commas."""
        return [item.strip() for item in re.findall(r"(?:[^,<]|<[^>]*>)+", ", ".join(self.all(name))) if item.strip()]

    def answers(self, cseq: str) -> bool:
        return bool(self.status) and self.header("cseq").split() == cseq.split()

    @property
    def branch(self) -> str:
        """Of the Via on top: what ties a repeat, a CANCEL and the ACK of a failure to their INVITE."""
        return parameter(self.header("via"), "branch")


def parameter(value: str, name: str) -> str:
    match = re.search(rf";\s*{name}\s*=\s*([^;,\s]+)", value, re.I)
    return match[1] if match else ""


def uri_in(value: str) -> str:
    """The URI of a From, To, Contact or Route value."""
    match = re.search(r"<([^>]+)>", value)
    return match[1] if match else value.partition(";")[0].strip()


def text_of(start: str, *lines: str) -> bytes:
    return ("\r\n".join((start, *lines, "Content-Length: 0")) + "\r\n\r\n").encode()


def new_branch() -> str:
    return "z9hG4bK" + secrets.token_hex(8)


def shown(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def challenge_of(response: Message) -> dict[str, str]:
    """The parameters of a Digest challenge (RFC 3261 §22), quotes removed."""
    value = response.header("www-authenticate" if response.status == 401 else "proxy-authenticate")
    pairs = re.findall(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', value)
    return {name.lower(): quoted or bare for name, quoted, bare in pairs}


def credentials(challenge: dict[str, str], user: str, password: str, method: str, uri: str) -> str:
    """The value of Authorization that answers the challenge: MD5 or SHA-256, with qop=auth where it is offered.

    KeyError or ValueError for an algorithm that is not there."""
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
