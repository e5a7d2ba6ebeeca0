from contextvars import ContextVar
from typing import Any

from siphon.config.log import Log
from siphon.script.context import Services
from siphon.script.loader import Script

class Binding:
    settings: Any
    services: Services
    log: Log | None
    script: Script | None
    load_warnings: list[str] | None
    def __init__(
        self,
        settings: Any,
        services: Services,
        log: Log | None = None,
        script: Script | None = None,
        load_warnings: list[str] | None = None,
    ) -> None: ...

def bind(binding: Binding | None) -> None: ...
def running() -> ContextVar[Binding]: ...
def enter(binding: Binding) -> None: ...
def current() -> Binding: ...
def find() -> Binding | None: ...
