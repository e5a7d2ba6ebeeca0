from collections.abc import Callable
from typing import Any, final

from siphon.script.outcome import Outcome
from siphon.transaction.step import Step

Check = Callable[[bytes, Outcome, Step], None]

@final
class PlainAttempts:
    check: Check | None
    def __init__(self, env: Any, check: Check | None = None) -> None: ...
    def begin(self, step: Step, outcome: Outcome) -> bool: ...
