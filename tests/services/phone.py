"""A client that answers digest challenges, written apart from the server: hashlib and string formatting only."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

NAMES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def parameter(challenge: str, name: str) -> str:
    found = re.search(rf'\b{name}=(?:"([^"]*)"|([^,\s]+))', challenge)
    assert found is not None, f"{name} in {challenge}"
    return found.group(1) if found.group(1) is not None else found.group(2)


@dataclass
class Phone:
    """Answers as user `user` with `password`; every field may be bent to make a bad answer."""

    user: str = "alice"
    password: str = "secret"
    realm: str = "example.com"
    uri: str = "sip:example.com"
    cnonce: str = "0a4f113b"
    extra: str = ""

    def hash(self, algorithm: str, text: str) -> str:
        return hashlib.new(NAMES[algorithm], text.encode()).hexdigest()

    def response(self, challenge: str, method: str = "REGISTER", count: int = 1, qop: str | None = "auth") -> str:
        algorithm, nonce = parameter(challenge, "algorithm"), parameter(challenge, "nonce")
        ha1 = self.hash(algorithm, f"{self.user}:{self.realm}:{self.password}")
        ha2 = self.hash(algorithm, f"{method}:{self.uri}")
        if qop is None:
            return self.hash(algorithm, f"{ha1}:{nonce}:{ha2}")
        return self.hash(algorithm, f"{ha1}:{nonce}:{count:08x}:{self.cnonce}:{qop}:{ha2}")

    def answer(self, challenge: str, method: str = "REGISTER", count: int = 1, qop: str | None = "auth") -> bytes:
        line = (
            f'Digest username="{self.user}", realm="{self.realm}", nonce="{parameter(challenge, "nonce")}", '
            f'uri="{self.uri}", response="{self.response(challenge, method, count, qop)}", '
            f'algorithm={parameter(challenge, "algorithm")}, opaque="{parameter(challenge, "opaque")}"'
        )
        if qop is not None:
            line += f', qop={qop}, nc={count:08x}, cnonce="{self.cnonce}"'
        return (line + self.extra).encode()
