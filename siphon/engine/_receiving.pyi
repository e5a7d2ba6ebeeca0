from typing import Any, final

from workers.net import Received

@final
class Receiving:
    tap: Any
    def __init__(self, engine: Any, stalled_secs: float) -> None: ...
    def configure(self) -> None: ...
    def receive(self, batch: list[Received], now: float) -> bool: ...
