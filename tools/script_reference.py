"""Writes docs/script-reference.md from the docstrings of the script API, so that the page cannot lag behind.

python tools/script_reference.py           rewrite the page
python tools/script_reference.py --print   to standard output

In: the names that scripts import from `siphon`. Out: each of them with its public members, their signatures as Python
has them and their docstrings.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
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
            yield f"### `{awaited}{prefix}.{name}{_signature(_given(kind, function))}`\n\n{_doc(function)}\n"


def _property(prefix: str, name: str, member: Any) -> str:
    if isinstance(member, str):
        return f"### `{prefix}.{name}`\n\nAlways {member!r}.\n"
    if isinstance(member, property):
        kind = _text(inspect.signature(member.fget).return_annotation) if member.fget is not None else ""
        assignable = member.fset is not None
    else:
        kind, assignable = _declared(member, name)
    title = f"`{prefix}.{name}`" + (f": {kind}" if kind else "")
    return f"### {title}\n\n{'May be assigned. ' if assignable else ''}{_doc(member)}\n"


def _declared(member: Any, name: str) -> tuple[str, bool]:
    """Kind of a property of a compiled class, and whether it may be assigned, from the stub beside its module."""
    owner = getattr(member, "__objclass__", None)
    forms = [] if owner is None else _stubs_of(owner, name)
    kinds = [ast.unparse(node.returns) for node in forms[:1] if node.returns is not None]
    return "".join(kinds), len(forms) > 1


def _stubs_of(owner: type, name: str) -> list[ast.FunctionDef]:
    """The forms of a member in the stub beside a compiled module: one, or a property's getter and setter."""
    stub = _stub_of(owner.__module__)
    if stub is None:
        return []
    (found,) = (node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == owner.__name__)
    return [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == name]


@cache
def _stub_of(module: str) -> ast.Module | None:
    path = Path(sys.modules[module].__file__ or "").parent / f"{module.rpartition('.')[2]}.pyi"
    return ast.parse(path.read_text()) if path.is_file() else None


def _given(kind: type, function: Any) -> inspect.Signature:
    """The signature of a method; that of a compiled one is in the stub beside its module."""
    if inspect.isfunction(function):
        return inspect.signature(function)
    own = function.__name__  # of an alias, that of what it stands for
    owner = next(base for base in kind.__mro__ if own in vars(base))
    forms = _stubs_of(owner, own)
    return _of_stub(forms[0]) if forms else inspect.signature(function)


def _of_stub(form: ast.FunctionDef) -> inspect.Signature:
    kinds = inspect.Parameter
    given, named = form.args, form.args.kwonlyargs
    places = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(places) - len(given.defaults)) + given.defaults
    listed = [
        *((*pair, kinds.POSITIONAL_OR_KEYWORD) for pair in zip(places, defaults, strict=True)),
        *((*pair, kinds.KEYWORD_ONLY) for pair in zip(named, given.kw_defaults, strict=True)),
    ]
    return inspect.Signature(
        [
            inspect.Parameter(
                one.arg,
                place,
                default=kinds.empty if default is None else ast.literal_eval(default),
                annotation=kinds.empty if one.annotation is None else ast.unparse(one.annotation),
            )
            for one, default, place in listed
        ],
        return_annotation=inspect.Signature.empty if form.returns is None else ast.unparse(form.returns),
    )


def _signature(given: inspect.Signature) -> str:
    """As Python writes it, without self and without the quotes of annotations that are text."""
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
    text = re.sub(r"\A\w+(\.\w+)?\(.*\).*\n+", "", text)  # the signature that compiled functions begin theirs with
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
