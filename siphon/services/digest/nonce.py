"""Nonces that carry their own proof: time, randomness and a keyed hash over both.

    <16 hex digits, seconds since the epoch> . <24 hex digits, random> . <64 hex digits, HMAC-SHA256>

With `security.failed_auth_ban` the last 8 of the random digits are a keyed hash over the time, the other 16 and the
address that the nonce is sent to: who uses it from there has got our challenge, so that his address is not forged.

Any worker and any node with the secret knows a nonce of ours without having stored it. The first secret signs, all of
them verify, so that a secret can be changed without failing logins. The random part is read from the kernel for every
nonce: a forked process has no generator state to share.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from hashlib import blake2b

TIME_DIGITS = 16
RANDOM_BYTES = 12
FUTURE_SECS = 60
MARK_BYTES = 4
_PROOF_AT = TIME_DIGITS + 1 + 2 * RANDOM_BYTES
_LENGTH = _PROOF_AT + 1 + 64


class Nonces:
    """Makes and judges nonces. `secrets`: the first signs, every one verifies. `ttl`: seconds a nonce is good for."""

    __slots__ = ("_secrets", "ttl")

    def __init__(self, secrets: Sequence[bytes], ttl: float) -> None:
        if not secrets or not all(secrets):
            raise ValueError("a nonce needs a secret that is not empty")
        self._secrets = tuple(secrets)
        self.ttl = ttl

    def make(self, wall: float, unit: str = "") -> str:
        """A new nonce, made at `wall` (seconds since the epoch). `unit`: where it is sent (services/bans/units.py)."""
        if unit:
            body = f"{int(wall):0{TIME_DIGITS}x}.{os.urandom(RANDOM_BYTES - MARK_BYTES).hex()}"
            body += self._mark(self._secrets[0], body.encode(), unit)
        else:
            body = f"{int(wall):0{TIME_DIGITS}x}.{os.urandom(RANDOM_BYTES).hex()}"
        return f"{body}.{hmac.digest(self._secrets[0], body.encode(), 'sha256').hex()}"

    def made_at(self, nonce: bytes) -> int | None:
        """The second in which this nonce was made, None when it is not one of ours."""
        if len(nonce) != _LENGTH or nonce[_PROOF_AT : _PROOF_AT + 1] != b".":
            return None
        body, proof = nonce[:_PROOF_AT], nonce[_PROOF_AT + 1 :]
        for secret in self._secrets:
            if hmac.compare_digest(hmac.digest(secret, body, "sha256").hex().encode(), proof):
                return int(body[:TIME_DIGITS], 16)
        return None

    def was_sent_to(self, nonce: bytes, unit: str) -> bool:
        """Whether a nonce of ours was made for this unit."""
        body, mark = nonce[: _PROOF_AT - 2 * MARK_BYTES], nonce[_PROOF_AT - 2 * MARK_BYTES : _PROOF_AT]
        return any(hmac.compare_digest(self._mark(secret, body, unit).encode(), mark) for secret in self._secrets)

    @staticmethod
    def _mark(secret: bytes, body: bytes, unit: str) -> str:
        return blake2b(body + unit.encode(), key=secret[:64], person=b"source", digest_size=MARK_BYTES).hexdigest()

    def is_fresh(self, made_at: int, wall: float) -> bool:
        """Whether a nonce of that second may be used now: not too old, and not from a clock far ahead."""
        return -FUTURE_SECS <= wall - made_at <= self.ttl

    def opaque(self, realm: str) -> str:
        """The opaque of our challenges for this realm; the same on every worker and node."""
        return self._opaque(self._secrets[0], realm)

    def is_opaque(self, value: bytes, realm: str) -> bool:
        """Whether a challenge of ours, signed by any of the secrets, carried this opaque."""
        return any(hmac.compare_digest(self._opaque(secret, realm).encode(), value) for secret in self._secrets)

    @staticmethod
    def _opaque(secret: bytes, realm: str) -> str:
        body = realm.encode("utf-8", "surrogateescape")
        return blake2b(body, key=secret[:64], person=b"opaque", digest_size=8).hexdigest()
