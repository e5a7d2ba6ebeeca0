"""Tokens by which we know the Record-Route and Path values that we made.

`rrs` binds a Record-Route URI to its host, port and Call-ID; `pts` a Path URI to its user, host and port. A token is
80 bits of HMAC-SHA256 under a key derived from the secrets that all workers share: the first secret signs, all of
them verify. Comparison takes constant time.

The tokens of a dialog are asked for again and again, by its INVITE, its ACK, its BYE. So what was worked out is kept
for a while, at most KEPT texts, and the keys are set up once.
"""

from collections.abc import Sequence
from hmac import HMAC, compare_digest, digest, new

from siphon.sip.hosts import canonical_host

KEPT = 4096
_TOKEN_BYTES = 10
_PURPOSE = b"siphond routes"


class RouteSigner:
    """Makes and checks the tokens of our Record-Route and Path values."""

    __slots__ = ("_keys", "_known")

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """`secrets`: those of auth.nonce_secret, the signing one first; at least one."""
        self._keys = [new(digest(secret, _PURPOSE, "sha256"), digestmod="sha256") for secret in secrets]
        self._known: dict[bytes, tuple[bytes, ...]] = {}
        if not self._keys or not all(secrets):
            raise ValueError("a signer needs a secret")

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

    def token(self, text: bytes) -> bytes:
        """The token of a text: record_route_lead() and a Call-ID."""
        return self._tokens(text)[0]

    def is_token(self, token: bytes, text: bytes) -> bool:
        """Whether it is that of the text, under any key."""
        given = token.lower()
        matches = [compare_digest(made, given) for made in self._tokens(text)]
        return True in matches

    def _tokens(self, text: bytes) -> tuple[bytes, ...]:
        """The token under each key, that of the signing one first."""
        found = self._known.get(text)
        if found is None:
            found = tuple([_token(key, text) for key in self._keys])
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[text] = found
        return found


def _token(keyed: HMAC, text: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(text)
    return mac.digest()[:_TOKEN_BYTES].hex().encode()


def record_route_lead(host: str, port: int) -> bytes:
    """What `rrs` is worked out from, up to the Call-ID."""
    return b"rrs\0%b\0" % _place(host, port)


def _path_text(user: str | None, host: str, port: int) -> bytes:
    return b"\0".join(
        (b"pts", _place(host, port), b"" if user is None else b"=" + user.encode("utf-8", "surrogateescape"))
    )


def _place(host: str, port: int) -> bytes:
    return b"%b\0%d" % (canonical_host(host).encode("utf-8", "surrogateescape"), port or 5060)
