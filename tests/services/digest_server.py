"""A digest verifier over a table in memory, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from siphon.config.settings import Auth
from siphon.services.digest import DigestVerifier, Verdict
from siphon.state.memory import MemoryTable

WALL = 1_800_000_000.0
REALM = "example.com"


class Server:
    """A verifier that knows alice's password; `worker()` is another process on the same table."""

    def __init__(self, table: MemoryTable | None = None, secrets: list[bytes] | None = None, **auth: Any) -> None:
        self.table = table or MemoryTable()
        self.settings = Auth(**{"realm": REALM, "users": {"alice": "secret"}, **auth})
        self.secrets = secrets or [b"s" * 32]
        self.verifier = DigestVerifier(
            self.settings, self.secrets, self.table, b"k" * 32, is_local=lambda h: h == REALM
        )
        self.transactions = 0

    def worker(self, secrets: list[bytes] | None = None) -> Server:
        other = Server.__new__(Server)
        other.table, other.settings, other.transactions = self.table, self.settings, 1000
        other.secrets = secrets or self.secrets
        other.verifier = DigestVerifier(self.settings, other.secrets, self.table, b"k" * 32)
        return other

    def challenge(self, wall: float = WALL, **options: Any) -> str:
        return self.verifier.challenges(REALM, stale=False, wall=wall, **options)[0]

    def verify(self, *lines: bytes, wall: float = WALL, transaction: bytes = b"", **options: Any) -> Verdict:
        self.transactions += 1
        arguments = {"method": "REGISTER", "request_uri": b"sip:example.com", "realm": REALM, **options}
        name = transaction or b"%016d" % self.transactions
        return self.verifier.verify(lines, **arguments, transaction_id=name, wall=wall)
