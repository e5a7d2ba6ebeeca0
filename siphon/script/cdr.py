"""The namespace `cdr`: call detail records that a script writes (API 15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siphon.script import binding
from siphon.script.request import Request
from siphon.services.call_records import CallRecords, fields_of
from siphon.services.call_records.fields import extra_of


class Cdr:
    """`from siphon import cdr`."""

    __slots__ = ()

    @property
    def enabled(self) -> bool:
        """Whether records are written."""
        return _records() is not None

    def write(self, source: Request, extra: Mapping[str, str] | None = None) -> bool:
        """Queue a record of this request; False when records are off, or too many wait. `extra`: fields of the
        script's own, str to str; other values are left out."""
        if not isinstance(source, Request):
            raise TypeError(f"a Request is needed, not {type(source).__name__}")
        if extra is not None and not isinstance(extra, Mapping):
            raise TypeError(f"extra is a dict, not {type(extra).__name__}")
        records = _records()
        return records is not None and records.put(_facts(source), extra_of(extra or {}))

    def __repr__(self) -> str:
        return "<namespace cdr>"


def _records() -> CallRecords | None:
    bound = binding.find()
    found: CallRecords | None = None if bound is None else bound.services.cdr
    return found


def _facts(request: Request) -> dict[str, Any]:
    context = request._context
    return fields_of(
        timestamp=context.services.wall(),
        call_id=request.call_id,
        from_uri=_text(request.from_uri),
        to_uri=_text(request.to_uri),
        ruri=str(request.ruri),
        method=request.method,
        timestamp_start=context.began or None,
        source_ip=request.source_ip,
        transport=request.transport,
        user_agent=request.user_agent,
        auth_user=request.auth_user,
    )


def _text(uri: object) -> str | None:
    return None if uri is None else str(uri)
