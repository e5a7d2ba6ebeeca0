"""The handlers that a script registers: what the decorators write and the runtime reads.

`register` collects entries in order; the loader empties the registry before it executes a script and takes the entries
afterwards, so a reload swaps the whole set in one step. A kind is a string: "proxy.on_request", "registrar.on_change",
"timer.every".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from siphon.script import binding, log

Function = TypeVar("Function", bound=Callable[..., Any])

CALLED_WITH = {
    "proxy.on_request": ("request",),
    "proxy.on_reply": ("request", "reply"),
    "proxy.on_failure": ("request", "reply"),
    "proxy.on_cancel": ("request",),
    "registrar.on_change": ("aor", "event", "contacts"),
    "timer.every": (),
    "rtpengine.on_dtmf": ("call_id", "from_tag", "digit", "duration_ms", "volume"),
    "rtpengine.on_media_timeout": ("call_id", "from_tag"),
}
"""What the handlers of a kind are called with. Kinds that are never called are not here: nothing is asked of them."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One registered function; `methods` None means every method."""

    kind: str
    methods: frozenset[str] | None
    function: Callable[..., Any]
    is_async: bool
    metadata: Mapping[str, Any] | None = None

    def matches(self, method: str) -> bool:
        """Whether a request of `method` (any case) is for this handler."""
        return self.methods is None or method.upper() in self.methods


def parse_filter(text: object) -> frozenset[str] | None:
    """The methods of a filter such as "INVITE | BYE"; None stands for every method."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"a filter is a string such as 'INVITE|BYE', not {type(text).__name__}")
    methods = frozenset(piece.strip().upper() for piece in text.split("|") if piece.strip())
    return methods or None


class Registry:
    """Entries in the order of registration."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Handler] = []

    def register(
        self,
        kind: str,
        filter: object,  # noqa: A002 - the interface names it so
        callable: Callable[..., Any],  # noqa: A002
        is_async: bool,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one handler; TypeError when the filter is not a string or None."""
        self._entries.append(Handler(kind, parse_filter(filter), callable, is_async, metadata))

    def entries(self) -> list[Handler]:
        """A copy of what is registered."""
        return list(self._entries)

    def clear(self) -> None:
        """Forget everything: a new script version starts empty."""
        self._entries.clear()

    def restore(self, entries: list[Handler]) -> None:
        """Put back what `entries` gave: a script that failed to load leaves no trace."""
        self._entries[:] = entries


_siphon_registry = Registry()


def is_async_function(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def add(kind: str, function: Function, filter: object = None, metadata: Mapping[str, Any] | None = None) -> Function:  # noqa: A002
    """Register `function` and return it unchanged, as every decorator does. TypeError when it cannot be called. In a
    handler that has no effect, with a warning."""
    _require_callable_as(kind, function)
    running = binding.running().get(None)
    if running is not None and running.script is not None:
        name = getattr(function, "__name__", repr(function))
        log.advise(f"{kind} of {name} stands in a handler: it is never called: only loading registers")
        return function
    _siphon_registry.register(kind, filter, function, is_async_function(function), metadata)
    return function


def _require_callable_as(kind: str, function: Callable[..., Any]) -> None:
    """A handler with other parameters would fail at the first call of a customer: TypeError while the script loads."""
    given = CALLED_WITH.get(kind)
    if given is None:
        return
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function in C that does not say
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"{kind} calls {name}({', '.join(given)}), which it cannot take: {error}") from None


def decorator(kind: str, given: object = None, metadata: Mapping[str, Any] | None = None) -> Any:
    """What `@x.on_y`, `@x.on_y()` and `@x.on_y("FILTER")` all call."""
    if callable(given):
        return add(kind, given, None, metadata)
    parse_filter(given)  # a wrong type is reported where the decorator stands

    def apply(function: Function) -> Function:
        if not callable(function):
            raise TypeError(f"{kind} decorates a function, not {type(function).__name__}")
        return add(kind, function, given, metadata)

    return apply
