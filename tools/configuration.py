"""Writes the tables of docs/configuration.md from the settings themselves, so that the manual cannot disagree.

python tools/configuration.py           rewrite the page
python tools/configuration.py --print   to standard output

What stands between `<!-- NAME -->` and `<!-- /NAME -->` is generated, the rest of the page is written by hand.
"""

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from siphon.config.later import NOT_OFFERED, NOT_YET
from siphon.config.registry import is_ignored
from siphon.config.reload import FIXED
from siphon.config.section import Section
from siphon.config.settings import DEFAULT_DSCP, ListenAddress, Settings, cpus, host_name
from siphon.config.version import PRODUCT

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
UNSERVED = ("tcp", "tls", "ws", "wss", "sctp")
WRITTEN_SHORT = ("auth.users.NAME.password",)
"""Written as the value of the table itself, never as a key."""

_BASIC = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", object: "any"}
_CHECKED = {
    "_dscp": "DSCP name or number",
    "check_host": "host",
    "_address": '"ip:port"',
    "_nameserver": '"ip" or "ip:port"',
    "_network": "network",
    "_directory_name": "name",
}
_STAND_INS = {cpus: "one a CPU", host_name: "the host's name"}


def page(text: str) -> str:
    """The page with its tables made anew."""
    for name, make in (("settings", settings), ("later", later), ("ignored", ignored), ("fixed", fixed)):
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if not block.search(text):
            raise ValueError(f"{PAGE.name} has no place for {name}")
        text = block.sub(lambda match, table=make: f"{match[1]}\n{table()}\n{match[2]}", text)  # type: ignore[misc]
    return text


def settings() -> str:
    """A table a section, with what has an effect today."""
    parts = []
    plain = {name: field for name, field in Settings.model_fields.items() if _section(field) is None}
    alone = [_row(name, field) for name, field in plain.items() if not _without_effect(name, field)]
    parts.append(_table("Outside the tables", "These stand above the first `[table]` of the file.", alone))
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None and name not in NOT_YET:
            mark = _mark(field.annotation)
            rows = list(_rows(section, name + mark))
            if rows:
                parts.append(_table(f"`[[{name}]]`" if mark else f"`[{name}]`", (section.__doc__ or "").strip(), rows))
    return "\n".join(parts)


def _rows(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        key = f"{prefix}.{name}"
        if _without_effect(key, field):
            continue
        inner = _section(field)
        if inner is None or field.description:
            yield _row(key, field)
        if inner is not None:
            yield from _rows(inner, key + _mark(field.annotation))


def _without_effect(key: str, field: FieldInfo) -> bool:
    if key in WRITTEN_SHORT:
        return True
    return key in NOT_YET or is_ignored(field) or key.removeprefix("listen.") in UNSERVED


def _row(key: str, field: FieldInfo) -> str:
    meaning = re.sub(r"<(\w+)>", r"&lt;\1&gt;", field.description or "")
    return f"| `{key}` | {_type(field)} | {_default(field)} | {meaning} |"


def _table(title: str, text: str, rows: list[str]) -> str:
    head = f"### {title}\n\n{text}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def later() -> str:
    """What is read and checked, but has no effect yet."""
    rows = []
    for name in NOT_YET:
        field = _field(name)
        section = _section(field)
        keys = ", ".join(f"`{key}`" for key in _keys(section)) if section else field.description or ""
        rows.append(f"| `{name}` | {keys} |")
    return "| section or key | keys |\n|---|---|\n" + "\n".join(rows) + "\n"


def _keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = _section(field)
        if inner is None:
            yield prefix + name
        else:
            yield from _keys(inner, f"{prefix}{name}{_mark(field.annotation)}.")


def _field(name: str) -> FieldInfo:
    section: type[Section] = Settings
    for part in name.split("."):
        field = section.model_fields[part]
        section = _section(field) or section
    return field


def ignored() -> str:
    """What is accepted so that a file of the original product can be kept."""
    found = [
        f"{name}.{key}"
        for name, field in Settings.model_fields.items()
        for key, inner in (_section(field) or Section).model_fields.items()
        if is_ignored(inner)
    ]
    sections = ", ".join(f"`{name}`" for name in NOT_OFFERED)
    return f"- Keys: {', '.join(f'`{key}`' for key in found)}.\n- Sections: {sections}.\n"


def fixed() -> str:
    """What a reload refuses to change."""
    return ", ".join(f"`{'.'.join(path)}`" for path in FIXED) + "\n"


# -- one setting


def _section(field: FieldInfo) -> type[Section] | None:
    return _inside(field.annotation)


def _inside(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (_inside(argument) for argument in typing.get_args(annotation))
    return next((section for section in found if section is not None), None)


def _mark(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is list:
        return "[]"
    if origin is dict:
        return ".NAME"
    return next((mark for argument in typing.get_args(annotation) if (mark := _mark(argument))), "")


def _type(field: FieldInfo) -> str:
    return _described(field.annotation, list(field.metadata)).replace("|", "\\|")


def _described(annotation: Any, metadata: list[Any]) -> str:
    """A type as people say it, with its bounds or its words."""
    if typing.get_origin(annotation) is Annotated:
        annotation, *further = typing.get_args(annotation)
        return _described(annotation, [*further, *metadata])
    checks = [getattr(entry, "func", None) for entry in metadata]
    for check in checks:
        if check is not None and check.__qualname__ == "choice.<locals>.check":
            return " or ".join(f'"{word}"' for word in inspect.getclosurevars(check).nonlocals["served"])
        if check is not None and check.__name__ in _CHECKED:
            return _CHECKED[check.__name__]
        if check is not None and check.__name__ == "_store":
            return '"shm"'
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return _described(next(a for a in arguments if a is not type(None)), metadata)
    if origin is list:
        one = "one or a " if any(getattr(check, "__name__", "") == "listed" for check in checks) else ""
        return f"{one}list of {_described(arguments[0], [])}"
    if origin is dict:
        return "table"
    if annotation is ListenAddress:
        return '"ip:port" or table'
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "table"
    return _BASIC.get(annotation, "text") + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    low = next((entry.ge for entry in metadata if hasattr(entry, "ge")), None)
    high = next((entry.le for entry in metadata if hasattr(entry, "le")), None)
    if low is None and high is None:
        return ""
    return f", {_number(low)} to {_number(high)}" if high is not None else f", at least {_number(low)}"


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _default(field: FieldInfo) -> str:
    if _described(field.annotation, []) == 'list of "ip:port" or table':
        return "required"
    if field.is_required():
        return "required" if "absent" not in (field.description or "") else "made"
    factory: Any = field.default_factory
    if factory in _STAND_INS:
        return _STAND_INS[factory]
    value = field.default if factory is None else factory()
    if value is PydanticUndefined or value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if value == PRODUCT:
        return '"siphond/VERSION"'
    if field.description and field.description.startswith("DSCP") and value == DEFAULT_DSCP:
        return '"CS3"'
    if isinstance(value, list):
        return ", ".join(f'"{entry}"' for entry in value)
    return f'"{value}"' if isinstance(value, str) else _number(value)


if __name__ == "__main__":
    made = page(PAGE.read_text())
    if "--print" in sys.argv[1:]:
        print(made, end="")
    else:
        PAGE.write_text(made)
