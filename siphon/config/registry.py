"""The list of all settings, read from the models: for suggestions, for the manual, for the test of etc/siphon.cfg."""

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from siphon.config.locate import Path
from siphon.config.section import Section
from siphon.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as people write it; `default` is a text, empty where the setting is required or off."""

    key: str
    default: str
    description: str
    ignored: bool


def settings() -> Iterator[Setting]:
    """Every setting in the order of the models. Elements of lists are written `[]`, free names `*`."""
    return _walk(Settings, "")


def _walk(section: type[Section], prefix: str) -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        inner, mark = _inside(field.annotation)
        if inner is None or field.description:
            yield Setting(prefix + name, _default(field), field.description or "", is_ignored(field))
        if inner is not None:
            yield from _walk(inner, f"{prefix}{name}{mark}.")


def is_ignored(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("ignored"))


def _default(field: FieldInfo) -> str:
    made = typing.cast(Any, field.default_factory)
    value = field.default if made is None else made()
    if value is PydanticUndefined or value is None or value in ([], {}):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _inside(annotation: Any) -> tuple[type[Section] | None, str]:
    """The section that an annotation leads to, and how an element of it is written."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, ""
    origin = typing.get_origin(annotation)
    mark = "[]" if origin is list else ".*" if origin is dict else ""
    for argument in typing.get_args(annotation):
        inner, further = _inside(argument)
        if inner is not None:
            return inner, mark + further
    return None, ""


def section_at(path: Path) -> type[Section] | None:
    """The section that stands at a path of the file; None where there is none."""
    section: type[Section] = Settings
    free = False
    for part in path:
        if free or isinstance(part, int):
            free = False
            continue
        field = section.model_fields.get(part)
        inner, mark = _inside(field.annotation) if field else (None, "")
        if inner is None:
            return None
        section, free = inner, mark == ".*"
    return section


def is_list_at(path: Path) -> bool:
    """Whether a list of sections stands at a path."""
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section and path else None
    return field is not None and _inside(field.annotation)[1].startswith("[]")


def nearest(path: Path) -> str | None:
    """The key that was probably meant by an unknown one: a near name in its table, else the same name elsewhere."""
    section = section_at(path[:-1])
    name = str(path[-1])
    names = list(section.model_fields) if section else []
    close = get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.6)
    if close:
        return show((*path[:-1], close[0]))
    everywhere = [
        s.key for s in settings() if s.key.rpartition(".")[2] == name and "*" not in s.key and "[]" not in s.key
    ]
    return everywhere[0] if len(everywhere) == 1 else None


def show(path: Path) -> str:
    """A path as people write it: auth.users.alice, listen.udp[1]. Names that need quotes get them."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("_", "").replace("-", "").isalnum() and part.isascii()
            text += ("." if text else "") + (part if plain else _quoted(part))
    return text


def _quoted(name: str) -> str:
    clean = name.encode("unicode_escape").decode("ascii") if not name.isprintable() else name
    return f'"{clean[:60]}"'
