from typing import final

from shm._table import Table
from siphon.services.dialogs.dialogs import Place

@final
class PlainDialogs:
    def __init__(self, table: Table, hash_key: bytes, max_age: float) -> None: ...
    def note(
        self, call_id: bytes, caller_tag: bytes, callee_tag: bytes, caller: Place, callee: Place, wall: float
    ) -> bool: ...
    def drop(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> bool: ...
