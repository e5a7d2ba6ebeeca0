from collections.abc import Callable
from typing import Any, final

from siphon.sip.message import SipMessage

@final
class PlainSaves:
    check: Callable[..., None] | None
    def __init__(self, location: Any, hash_key: bytes, check: Callable[..., None] | None = None) -> None: ...
    def save(
        self,
        m: SipMessage,
        transaction: bytes,
        source: tuple[str, int],
        local: tuple[str, int],
        behind_nat: bool,
        auth_user: str | None,
        wall: float,
    ) -> list[tuple[str, str]] | None: ...
