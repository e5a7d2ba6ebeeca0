"""Namespaces that siphond does not offer: scripts that import them load, their handlers never run, calls say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from siphon.script import log as script_log

STUBS = (
    "b2bua",
    "diameter",
    "presence",
    "li",
    "registration",
    "sbi",
    "srs",
    "isc",
    "ipsec",
    "qos",
    "stir",
    "lcr",
    "numbers",
)


def unavailable(name: str) -> Callable[..., Any]:
    """A method that is not offered, in a namespace or class that is."""

    def method(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{name} is not offered by siphond")

    method.__doc__ = "Not offered."
    return method


def not_here(name: str) -> RuntimeError:
    """For what only workers do."""
    where = "works in handlers of a worker, not while a script is loaded"
    return RuntimeError(f"{name} {where}; a handler of registrar.on_change sets a timer for it")


class Unavailable:
    """An attribute of a namespace that is not offered: reading is fine, calling raises."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Unavailable:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return Unavailable(f"{self._name}.{attribute}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{self._name} is not offered by siphond")

    def __repr__(self) -> str:
        return f"<{self._name}: not offered by siphond>"


class Stub:
    """One namespace that is not offered."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if attribute.startswith("on_"):
            return self._event
        return Unavailable(f"{self._name}.{attribute}")

    def _event(self, *args: Any, **kwargs: Any) -> Any:
        script_log.warn_of_script(f"{self._name} is not offered by siphond: its handlers are never called")
        if len(args) == 1 and callable(args[0]) and not kwargs:
            return args[0]
        return lambda function: function

    def __repr__(self) -> str:
        return f"<namespace {self._name}: not offered by siphond>"
