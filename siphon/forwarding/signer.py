"""Tokens by which we know the Record-Route and Path values that we made.

`rrs` binds a Record-Route URI to its host, port and Call-ID; `pts` a Path URI to its user, host and port. A token is
80 bits of HMAC-SHA256 under a key derived from the secrets that all workers share: the first secret signs, all of
them verify. Comparison takes constant time.
"""

from collections.abc import Sequence
from hmac import compare_digest, digest

from siphon.sip.hosts import canonical_host

_TOKEN_BYTES = 10
_PURPOSE = b"siphond routes"


class RouteSigner:
    """Makes and checks the tokens of our Record-Route and Path values."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """`secrets`: those of auth.nonce_secret, the signing one first; at least one."""
        self._keys = [digest(secret, _PURPOSE, "sha256") for secret in secrets]
        if not self._keys or not all(secrets):
            raise ValueError("a signer needs a secret")

    def sign_record_route(self, call_id: bytes, host: str, port: int) -> bytes:
        """20 hex digits for a Record-Route URI of the dialog-forming request with that Call-ID. `port` 0 is 5060."""
        return _token(self._keys[0], _record_route_text(call_id, host, port))

    def verify_record_route(self, token: bytes, call_id: bytes, host: str, port: int) -> bool:
        return self._verify(token, _record_route_text(call_id, host, port))

    def sign_path(self, user: str | None, host: str, port: int) -> bytes:
        """20 hex digits for a Path URI that names us. `port` 0 is 5060."""
        return _token(self._keys[0], _path_text(user, host, port))

    def verify_path(self, token: bytes, user: str | None, host: str, port: int) -> bool:
        return self._verify(token, _path_text(user, host, port))

    def _verify(self, token: bytes, text: bytes) -> bool:
        given = token.lower()
        matches = [compare_digest(_token(key, text), given) for key in self._keys]
        return True in matches


def _token(key: bytes, text: bytes) -> bytes:
    return digest(key, text, "sha256")[:_TOKEN_BYTES].hex().encode()


def _record_route_text(call_id: bytes, host: str, port: int) -> bytes:
    return b"\0".join((b"rrs", _place(host, port), call_id))


def _path_text(user: str | None, host: str, port: int) -> bytes:
    return b"\0".join(
        (b"pts", _place(host, port), b"" if user is None else b"=" + user.encode("utf-8", "surrogateescape"))
    )


def _place(host: str, port: int) -> bytes:
    return b"%b\0%d" % (canonical_host(host).encode("utf-8", "surrogateescape"), port or 5060)
