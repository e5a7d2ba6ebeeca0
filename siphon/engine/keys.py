"""The keys of an instance, all derived from secrets that every worker and node knows."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import digest


def derive(secret: bytes, purpose: bytes) -> bytes:
    """32 bytes for one purpose; nobody who learns one key learns another."""
    return digest(secret, b"siphond " + purpose, "sha256")


class Keys:
    """`stored` is the secret kept with the state, `configured` those of auth.nonce_secret (first signs, all verify).

    `common` is what all nodes of a store share, where there are several; the keys of this node's tables stay its own.
    """

    def __init__(self, stored: bytes, configured: Sequence[str], common: bytes = b"") -> None:
        common = common or stored
        secrets = [text.encode() for text in configured] or [common]
        self.nonce_secrets = [derive(secret, b"nonce") for secret in secrets]
        self.route_secrets = [derive(secret, b"route") for secret in secrets]
        self.transaction = derive(common, b"transaction")
        self.tag = derive(common, b"tag")
        self.loop = derive(common, b"loop")
        self.table = derive(stored, b"table")
        self.common_table = derive(common, b"table")
        """Of what nodes look up for each other."""
