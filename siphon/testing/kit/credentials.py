"""What a phone answers to a digest challenge (RFC 7616 §3.4, RFC 8760)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from siphon.services.digest.hashes import BY_NAME, Algorithm, ha1, hash_function, response

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
CNONCE = "0a4f113b"


def parameters(challenge: str) -> dict[str, str]:
    """The parameters of a challenge, names in lower case."""
    return {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(challenge)}


def answer(challenges: Sequence[str], user: str, password: str, method: str, uri: str, count: int = 1) -> str:
    """The value of Authorization or Proxy-Authorization for the first challenge with an algorithm that we know; `count`
    is the nonce count. ValueError when there is none."""
    for challenge in challenges:
        given = parameters(challenge)
        algorithm = BY_NAME.get(given.get("algorithm", "MD5").lower())
        if algorithm is not None and challenge[:6].lower() == "digest":
            return _answer(given, algorithm, user, password, method, uri, count)
    raise ValueError(f"no challenge that a phone could answer: {list(challenges)}")


def _answer(
    given: dict[str, str], algorithm: Algorithm, user: str, password: str, method: str, uri: str, count: int
) -> str:
    digest, realm, nonce = hash_function(algorithm), given.get("realm", ""), given.get("nonce", "")
    with_qop = "auth" in given.get("qop", "")
    protection = (b"%08x" % count, CNONCE.encode(), b"auth") if with_qop else None
    secret = ha1(digest, user.encode(), realm.encode(), password.encode())
    result = response(digest, secret, nonce.encode(), method.encode(), uri.encode(), protection).decode()
    parts = [f'Digest username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
    parts += [f'response="{result}"', f"algorithm={algorithm.value}"]
    if with_qop:
        parts += ["qop=auth", f"nc={count:08x}", f'cnonce="{CNONCE}"']
    if "opaque" in given:
        parts.append(f'opaque="{given["opaque"]}"')
    return ", ".join(parts)
