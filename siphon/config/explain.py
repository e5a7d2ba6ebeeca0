"""Turns what the validator found into sentences for an administrator, and finds the key that was meant."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from siphon.config.locate import Path
from siphon.config.registry import is_list_at, nearest, section_at
from siphon.config.values import Expanded, quote

SECRET_NAMES = ("password", "secret", "token", "ha1", "api_key", "auth_header", "url")

REQUIRED = "is required"

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "is_instance_of": "a text with a path",
    "path_type": "a text with a path",
}
_FORMS: dict[Path, str] = {
    ("auth", "users"): "a text, or a table with ha1",
    ("listen", "udp"): '"ip:port" or a table',
}
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


def findings(error: ValidationError, document: Any) -> Iterator[tuple[Path, str, str | None]]:
    """Path, text and suggestion of every fault that the validator found in `document`."""
    for fault in error.errors(include_url=False, include_input=False):
        path = _within(tuple(fault["loc"]), document, fault["type"] in ("missing", "extra_forbidden"))
        context = fault.get("ctx", {})
        value = _at(document, path)
        suggestion = None
        if fault["type"] == "extra_forbidden":
            suggestion = nearest(path)
        elif fault["type"] == "choice" and isinstance(value, str):
            close = get_close_matches(value, context["choices"], n=1, cutoff=0.5)
            suggestion = quote(close[0]) if close else None
        text = _sentence(fault["type"], fault["msg"], context, path, value)
        for key in _required(path) if text == REQUIRED else [path]:
            yield key, text, suggestion


def _required(path: Path) -> Iterator[Path]:
    """The keys that are required of a section that is missing as a whole; else the missing key itself, also of a
    list."""
    section = None if is_list_at(path) else section_at(path)
    names = [name for name, field in section.model_fields.items() if field.is_required()] if section else []
    return iter([(*path, name) for name in names] or [path])


def _sentence(kind: str, message: str, context: dict[str, Any], path: Path, value: Any) -> str:
    given = _given(path, value)
    if kind == "missing":
        return REQUIRED
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind in _WANTED:
        wanted = _FORMS.get(path[:2], _WANTED[kind]) if kind == "model_type" else _WANTED[kind]
        return f"must be {wanted}, not {given}"
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {context[bound]:g}, not {given}"
    if kind in ("too_short", "string_too_short"):
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    if kind == "string_pattern_mismatch":
        return _pattern(context["pattern"], given)
    if kind == "invalid_key":
        return "a name must be a text"
    return str(context["error"]) if kind == "value_error" and "error" in context else message


def _unknown(path: Path) -> str:
    if path[:2] == ("auth", "users") and len(path) > 3:
        return "unknown key; a user name with a dot in it needs quotes"
    return "unknown key"


def _pattern(pattern: str, given: str) -> str:
    for digits in ("32", "64"):
        if pattern == f"^[0-9A-Fa-f]{{{digits}}}$":
            return f"must be {digits} hex digits"
    if pattern.startswith("^/") and not given.startswith('"/'):
        return f"must begin with /, not {given}"
    return f"holds a character that cannot stand here: {given}"


def _given(path: Path, value: Any) -> str:
    if any(word in str(part) for part in path for word in SECRET_NAMES) or path[:2] == ("auth", "users"):
        return {str: "a text", bool: "true or false", dict: "a table", list: "a list"}.get(type(value), "a number")
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Expanded):
        return f"{quote(str(value))} (from {quote(value.source)})"
    return quote(value)


def _within(path: Path, document: Any, last_is_absent: bool) -> Path:
    """Cuts off what the validator adds to a path beyond what stands in the file."""
    steps = len(path) - 1 if last_is_absent else len(path)
    value = document
    for place, part in enumerate(path[:steps]):
        inside = isinstance(value, dict) and part in value or isinstance(value, list) and isinstance(part, int)
        if not inside:
            return path[:place]
        value = value[part]
    return path


def _at(document: Any, path: Path) -> Any:
    value = document
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value
