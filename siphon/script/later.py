"""Namespaces whose services come in later releases: decorators register, calls say what is missing.

Scripts that only declare such handlers load and run; a call is an error that names itself, never a silent nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from siphon.script.request import Request


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
