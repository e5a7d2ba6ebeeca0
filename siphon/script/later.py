"""Namespaces whose services come in later releases: decorators register, calls say what is missing.

Scripts that only declare such handlers load and run; a call is an error that names itself, never a silent nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from siphon.script import binding
from siphon.script.request import Request


def _configured(section: str) -> bool:
    bound = binding.find()
    return bound is not None and bool(getattr(bound.settings, section, None))


class _Later:
    """A namespace whose methods are not there yet."""

    _name = ""
    _methods: tuple[str, ...] = ()
    _section: str | None = None

    def __getattr__(self, attribute: str) -> Callable[..., Any]:
        if attribute not in self._methods:
            raise AttributeError(f"{self._name} has no attribute {attribute!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            why = "comes in a later release"
            if self._section is not None and not _configured(self._section):
                why = f"needs a [{self._section}] section: {self._name} is not configured"
            raise NotImplementedError(f"{self._name}.{attribute} {why}")

        return call

    def __repr__(self) -> str:
        return f"<namespace {self._name}>"


class Cdr:
    """`from siphon import cdr`. Off: nothing is written."""

    __slots__ = ()

    @property
    def enabled(self) -> bool:
        """Whether records are written."""
        return False

    def write(self, source: Request, extra: Mapping[str, str] | None = None) -> bool:
        """Queue a record; False when off."""
        if not isinstance(source, Request):
            raise TypeError(f"a Request is needed, not {type(source).__name__}")
        return False

    def __repr__(self) -> str:
        return "<namespace cdr>"


class Gateway(_Later):
    """`from siphon import gateway`."""

    _name = "gateway"
    _section = "gateway"
    _methods = ("select", "list", "status", "groups", "add_group", "remove_group", "mark_up", "mark_down")
