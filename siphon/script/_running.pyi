from collections.abc import Callable

from siphon.script.outcome import Outcome
from siphon.script.request import Request
from siphon.script.runtime import Plan, Runtime

def plain_outcome(request: Request) -> Outcome | None: ...
def run(runtime: Runtime, request: Request, plan: Plan, done: Callable[[Outcome], None]) -> bool: ...
