from typing import final

from siphon.services.store import RecordTable

@final
class Rows:
    def __init__(self, table: RecordTable) -> None: ...
