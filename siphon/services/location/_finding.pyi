from typing import Any, final

from siphon.services.location.binding import Binding

@final
class Finding:
    def __init__(self, table: Any, records: Any) -> None: ...
    def live(self, uri: str, wall: float) -> Binding | None: ...
