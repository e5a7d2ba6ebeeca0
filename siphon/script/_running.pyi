from collections.abc import Callable
from contextvars import Context
from typing import Any

from siphon.script.binding import Binding
from siphon.script.dispatch import Dispatch
from siphon.script.loader import Script
from siphon.script.outcome import Outcome
from siphon.script.request import Request

def context_of(request: Request, bound: Binding) -> Context: ...
def plain_outcome(request: Request) -> Outcome | None: ...
def run(
    request: Request,
    functions: tuple[Callable[..., Any], ...],
    context: Context,
    dispatch: Dispatch,
    script: Script,
    done: Callable[[Outcome], None],
) -> tuple[int, Any, Context] | None: ...
