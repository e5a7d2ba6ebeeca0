from collections.abc import Callable

from siphon.script.outcome import Outcome
from siphon.script.request import Request
from siphon.script.runtime import Plan, Runtime

class Tally:
    """Base of Dispatch. `errors` counts the exceptions of handlers. `exhausted`: one of them found no memory, and there
    is none; a handler that asked for too much at once has only failed."""

    errors: int
    exhausted: bool
    blocked: bool

def plain_outcome(request: Request) -> Outcome | None: ...
def run(runtime: Runtime, request: Request, plan: Plan, done: Callable[[Outcome], None]) -> bool: ...
