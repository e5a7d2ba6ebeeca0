"""Tokens by which we know the Record-Route and Path values that we made.

`rrs` binds a Record-Route URI to its host, port and Call-ID; `pts` a Path URI to its user, host and port. A token is
80 bits of HMAC-SHA256 under a key derived from the secrets that all workers share: the first secret signs, all of
them verify. Comparison takes constant time.

The tokens of a dialog are asked for again and again, by its INVITE, its ACK, its BYE. So what was worked out is kept
for a while, at most KEPT texts, and the keys are set up once.
"""

from collections.abc import Sequence
from hmac import digest

from siphon.forwarding._tokens import Tokens
from siphon.sip.hosts import canonical_host

_PURPOSE = b"siphond routes"


class RouteSigner(Tokens):
    """Makes and checks the tokens of our Record-Route and Path values."""

    __slots__ = ()

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """`secrets`: those of auth.nonce_secret, the signing one first; at least one."""
        if not secrets or not all(secrets):
            raise ValueError("a signer needs a secret")
        super().__init__([digest(secret, _PURPOSE, "sha256") for secret in secrets])

    def sign_record_route(self, call_id: bytes, host: str, port: int) -> bytes:
        """20 hex digits for a Record-Route URI of the dialog-forming request with that Call-ID. `port` 0 is 5060."""
        return self.token(record_route_lead(host, port) + call_id)

    def verify_record_route(self, token: bytes, call_id: bytes, host: str, port: int) -> bool:
        return self.is_token(token, record_route_lead(host, port) + call_id)

    def sign_path(self, user: str | None, host: str, port: int) -> bytes:
        """20 hex digits for a Path URI that names us. `port` 0 is 5060."""
        return self.token(_path_text(user, host, port))

    def verify_path(self, token: bytes, user: str | None, host: str, port: int) -> bool:
        return self.is_token(token, _path_text(user, host, port))


def record_route_lead(host: str, port: int) -> bytes:
    """What `rrs` is worked out from, up to the Call-ID."""
    return b"rrs\0%b\0" % _place(host, port)


def _path_text(user: str | None, host: str, port: int) -> bytes:
    return b"\0".join(
        (b"pts", _place(host, port), b"" if user is None else b"=" + user.encode("utf-8", "surrogateescape"))
    )


def _place(host: str, port: int) -> bytes:
    return b"%b\0%d" % (canonical_host(host).encode("utf-8", "surrogateescape"), port or 5060)
