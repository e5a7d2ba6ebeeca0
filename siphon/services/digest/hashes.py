"""The hash functions of digest authentication (RFC 7616 §3.2, RFC 8760 §2.1) and the response that they give.

SHA-512-256 is the function of FIPS 180-4 with its own initial value, not SHA-512 cut to half. OpenSSL has it; where
the library was built without, `hash_function` raises LookupError, and that at start, not for a request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum

Hash = Callable[[bytes], bytes]


class Algorithm(Enum):
    """An algorithm as it is written in a challenge."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"
    SHA_512_256 = "SHA-512-256"


BY_NAME = {algorithm.value.lower(): algorithm for algorithm in Algorithm}
_OPENSSL_NAME = {Algorithm.MD5: "md5", Algorithm.SHA_256: "sha256", Algorithm.SHA_512_256: "sha512_256"}


def hash_function(algorithm: Algorithm) -> Hash:
    """A function from bytes to lower-case hex digits; LookupError when this machine lacks the algorithm."""
    name = _OPENSSL_NAME[algorithm]
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError as error:
        raise LookupError(f"auth.algorithms: this machine's OpenSSL has no {algorithm.value}") from error
    if algorithm is Algorithm.SHA_512_256:
        return lambda data: hashlib.new(name, data, usedforsecurity=False).hexdigest().encode()
    function = hashlib.md5 if algorithm is Algorithm.MD5 else hashlib.sha256
    return lambda data: function(data, usedforsecurity=False).hexdigest().encode()


def ha1(digest: Hash, user: bytes, realm: bytes, password: bytes) -> bytes:
    """H(user:realm:password), what a server may store instead of the password."""
    return digest(b"%b:%b:%b" % (user, realm, password))


def response(
    digest: Hash,
    secret: bytes,
    nonce: bytes,
    method: bytes,
    uri: bytes,
    protection: tuple[bytes, bytes, bytes] | None,
) -> bytes:
    """The response of RFC 7616 §3.4.1; `protection` is (nc, cnonce, qop), or None for the form of RFC 2069."""
    ha2 = digest(b"%b:%b" % (method, uri))
    if protection is None:
        return digest(b"%b:%b:%b" % (secret, nonce, ha2))
    return digest(b"%b:%b:%b:%b:%b:%b" % (secret, nonce, *protection, ha2))
