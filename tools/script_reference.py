"""Writes docs/script-reference.md from the docstrings of the script API, so that the page cannot lag behind.

python tools/script_reference.py           rewrite the page
python tools/script_reference.py --print   to standard output

In: the names that scripts import from `siphon`. Out: each of them with its public members, their signatures as Python
has them and their docstrings.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import siphon
from siphon.script.stubs import Stub

PAGE = Path(__file__).resolve().parent.parent / "docs" / "script-reference.md"
NAMESPACES = ("proxy", "registrar", "auth", "gateway", "rtpengine", "cache", "timer", "metrics", "cdr", "sdp", "log")
CLASSES = ("Request", "Reply", "SipUri", "Contact", "Destination", "Flow")
NOT_OFFERED = "Not offered."
"""The docstring of what only raises NotImplementedError."""
HEAD = """# Script reference

Everything that `from siphon import ...` gives a routing script, made from the docstrings by `python
tools/script_reference.py`. [scripting.md](scripting.md) explains how it plays together.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in NAMESPACES:
        parts.append(f"## {name}\n")
        parts.append(_doc(type(getattr(siphon, name))) + "\n")
        parts.extend(_members(type(getattr(siphon, name)), name))
    for name in CLASSES:
        parts.append(f"## {name}\n")
        parts.append(_doc(getattr(siphon, name)) + "\n")
        parts.extend(_members(getattr(siphon, name), "uri" if name == "SipUri" else name.lower()))
    parts.append(_names_without_effect())
    return "\n".join(parts)


def _members(kind: type, prefix: str) -> Iterator[str]:
    """A section for each public member: properties first, then what is called, each in the order of the source."""
    names = [name for base in reversed(kind.__mro__[:-1]) for name in vars(base) if not name.startswith("_")]
    properties: list[tuple[str, Any]] = []
    methods: list[tuple[str, Any]] = []
    for name in dict.fromkeys(names):
        member = inspect.getattr_static(kind, name)
        (methods if callable(getattr(member, "__func__", member)) else properties).append((name, member))
    for name, member in properties:
        yield _property(prefix, name, member)
    for name, member in methods:
        function = getattr(member, "__func__", member)
        if _doc(function) != NOT_OFFERED:
            awaited = "await " if inspect.iscoroutinefunction(function) else ""
            yield f"### `{awaited}{prefix}.{name}{_signature(function)}`\n\n{_doc(function)}\n"


def _property(prefix: str, name: str, member: Any) -> str:
    getter = getattr(member, "fget", None)
    kind = _text(inspect.signature(getter).return_annotation) if getter is not None else ""
    title = f"`{prefix}.{name}`" + (f": {kind}" if kind else "")
    assignable = "May be assigned. " if getattr(member, "fset", None) is not None else ""
    return f"### {title}\n\n{assignable}{_doc(member) if getter is not None else ''}\n"


def _signature(function: Any) -> str:
    """As Python writes it, without self and without the quotes of annotations that are text."""
    try:
        given = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    parts: list[str] = []
    kinds = inspect.Parameter
    listed = [one for one in given.parameters.values() if one.name not in ("self", "cls")]
    for place, one in enumerate(listed):
        if one.kind is kinds.KEYWORD_ONLY and not any(p.lstrip("*") != p for p in parts):
            parts.append("*")
        parts.append(_parameter(one))
        last = place + 1 == len(listed) or listed[place + 1].kind is not kinds.POSITIONAL_ONLY
        if one.kind is kinds.POSITIONAL_ONLY and last:
            parts.append("/")
    returned = _text(given.return_annotation)
    return f"({', '.join(parts)})" + (f" -> {returned}" if returned else "")


def _parameter(one: inspect.Parameter) -> str:
    annotation = _text(one.annotation)
    text = str(one.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty))
    text += f": {annotation}" if annotation else ""
    if one.default is inspect.Parameter.empty:
        return text
    return f"{text} = {one.default!r}" if annotation else f"{text}={one.default!r}"


def _text(annotation: Any) -> str:
    if annotation is inspect.Signature.empty:
        return ""
    return str(annotation.__name__) if isinstance(annotation, type) else str(annotation).replace("'", "")


def _doc(member: Any) -> str:
    """The docstring as one text that Markdown leaves alone."""
    text = re.sub(r" \(API [\d.]+\)", "", inspect.getdoc(member) or "")
    text = re.sub(r"\A\w+\.\w+\(.*\).*\n+", "", text)  # the signature that compiled functions begin theirs with
    return "\n".join(line.replace("<", "\\<") if "`" not in line else line for line in text.splitlines())


def _names_without_effect() -> str:
    stubs = sorted(name for name in dir(siphon) if isinstance(getattr(siphon, name), Stub))
    return (
        "## Names that are there so that scripts load\n\n"
        f"{', '.join(f'`{name}`' for name in stubs)}: their decorators are accepted and never called, with one "
        "warning; anything else that is called raises NotImplementedError.\n"
    )


def main() -> None:
    """See above."""
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())


if __name__ == "__main__":
    main()
