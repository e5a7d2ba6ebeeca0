from collections.abc import Callable
from typing import Any, Literal, final

from siphon.sip.message import SipMessage

@final
class PlainDigest:
    check: Callable[..., None] | None
    def __init__(
        self, verifier: Any, secret: bytes, hash_key: bytes, check: Callable[..., None] | None = None
    ) -> None: ...
    def nonce(self, wall: float) -> str: ...
    def verify(
        self, m: SipMessage, header: bytes, request_uri: bytes | None, realm: str, transaction: bytes, wall: float
    ) -> tuple[str, int] | Literal[False] | None: ...
