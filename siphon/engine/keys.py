"""The keys of an instance, all derived from secrets that every worker and node knows."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import digest


def derive(secret: bytes, purpose: bytes) -> bytes:
    """32 bytes for one purpose; nobody who learns one key learns another."""
    return digest(secret, b"siphond " + purpose, "sha256")


class Keys:
    """`stored` is the secret kept with the state, `configured` those of auth.nonce_secret (first signs, all verify)."""

    def __init__(self, stored: bytes, configured: Sequence[str]) -> None:
        secrets = [text.encode() for text in configured] or [stored]
        self.nonce_secrets = [derive(secret, b"nonce") for secret in secrets]
        self.route_secrets = [derive(secret, b"route") for secret in secrets]
        self.transaction = derive(stored, b"transaction")
        self.tag = derive(stored, b"tag")
        self.loop = derive(stored, b"loop")
        self.table = derive(stored, b"table")
