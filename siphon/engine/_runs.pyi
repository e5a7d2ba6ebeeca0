from collections.abc import Callable
from typing import Any, final

from siphon.state.record import Record
from siphon.state.store import Commit

Check = Callable[[Record, float, int, Commit], None]

@final
class PlainRuns:
    check: Check | None
    def __init__(
        self, core: Any, check: Check | None = None, check_answer: Callable[..., None] | None = None
    ) -> None: ...
