from collections.abc import Callable
from typing import final

from siphon.services.store import RecordTable

@final
class MergedRequests:
    def __init__(self, table: RecordTable, hash_key: bytes, lifetime: float, wall: Callable[[], float]) -> None: ...
    def is_merged(self, transaction: bytes, method: str, call_id: bytes, from_tag: bytes, cseq: int) -> bool: ...
    def has_just_marked(self, transaction: bytes) -> bool: ...
