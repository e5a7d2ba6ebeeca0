"""What the namespaces (`registrar`, `auth`, `log` ...) work on: the services of this process.

A process binds once, when its Runtime is made. While a handler runs, the binding of the Runtime that runs it holds, so
that a simulator may have many workers in one process. This is state of the process, never a "current message": what a
handler works on is its argument.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siphon.config.log import Log
    from siphon.script.context import Services
    from siphon.script.loader import Script


@dataclass(slots=True)
class Binding:
    """Settings, services and log of the process, and the script whose code runs."""

    settings: Any
    services: Services
    log: Log | None = None
    script: Script | None = None
    load_warnings: list[str] | None = None
    """While a script is loaded: what its author should hear. Each process loads it, one of them tells."""


_running: ContextVar[Binding] = ContextVar("siphon_binding")
_process: Binding | None = None


def bind(binding: Binding | None) -> None:
    """Make `binding` the one of this process (None: of a process without a runtime)."""
    global _process
    _process = binding


def running() -> ContextVar[Binding]:
    """The variable that `enter` sets."""
    return _running


def enter(binding: Binding) -> None:
    """Use `binding` in the current context: the first thing a handler's context does."""
    _running.set(binding)


def current() -> Binding:
    """The binding of the running handler, else of the process; RuntimeError when there is none."""
    found = _running.get(None) or _process
    if found is None:
        raise RuntimeError("this call needs a running siphond (or siphon.testing)")
    return found


def find() -> Binding | None:
    """As `current`, None when there is none."""
    return _running.get(None) or _process
