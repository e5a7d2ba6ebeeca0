"""Misspelled names of the script API in code that has not run yet.

The sources of a loaded script are read for attributes that neither a name of `siphon` nor what a handler is called with
has: a name that only a rare call reaches would otherwise be found by that call. They are told; nothing is refused.

Knowingly imperfect: of a handler's arguments only those are followed that keep their name, and of what their properties
give only URIs.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from siphon.script.loader import Script
from siphon.script.near import nearest
from siphon.script.registry import CALLED_WITH
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.sources import bytes_of
from siphon.script.uri import SipUri

_GIVEN: dict[str, type] = {"request": Request, "reply": Reply}
"""By the names that CALLED_WITH has."""
_GIVES: dict[str, type] = {"ruri": SipUri, "from_uri": SipUri, "to_uri": SipUri}
_CALLBACKS = ("on_reply", "on_failure")


def slips(script: Script) -> list[str]:
    """`FILE:LINE: what` of each attribute that is not there, file by file."""
    found = []
    for name, source in script.sources.items():
        module = script.modules.get(name)
        if module is not None:
            tree = ast.parse(bytes_of(source))
            found += [f"{source.path}:{line}: {what}" for line, what in sorted(_in_module(tree, module, script))]
    return found


def _in_module(tree: ast.Module, module: Any, script: Script) -> Iterator[tuple[int, str]]:
    ours = {name: thing for name, thing in vars(module).items() if _is_ours(thing)}
    yield from _in_code(tree, {name: thing for name, thing in ours.items() if not _rebound(tree, name)})
    callbacks = _callbacks(tree)
    handlers = _handlers(script, module.__name__)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = handlers.get((node.name, node.lineno)) or (("request",) if node.name in callbacks else ())
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            known = {name: _GIVEN[what] for name, what in zip(names, given, strict=False) if what in _GIVEN}
            yield from _in_code(node, {name: kind for name, kind in known.items() if not _rebound(node, name, 1)})


def _is_ours(thing: object) -> bool:
    """A name that `siphon` gives, of which it is known what attributes it has."""
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__module__.startswith("siphon.script.") and not hasattr(kind, "__getattr__")


def _handlers(script: Script, module: str) -> dict[tuple[str, int], tuple[str, ...]]:
    """What the handlers of a module are called with, by name and line of `def`."""
    found = {}
    for kind in script.kinds:
        for entry in script.handlers(kind):
            function: Callable[..., Any] = inspect.unwrap(entry.function)
            if isinstance(function, FunctionType) and function.__module__ == module:
                found[function.__name__, _line_of_def(function)] = CALLED_WITH.get(kind, ())
    return found


def _line_of_def(function: FunctionType) -> int:
    """A code object begins at its first decorator; the tree names the line of `def`."""
    lines, first = inspect.getsourcelines(function)
    for offset, line in enumerate(lines):
        if line.lstrip().startswith(("def ", "async def ")):
            return first + offset
    return first


def _callbacks(tree: ast.AST) -> set[str]:
    """Functions that are given by name as on_reply= or on_failure=."""
    return {
        keyword.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in _CALLBACKS and isinstance(keyword.value, ast.Name)
    }


def _rebound(tree: ast.AST, name: str, once: int = 0) -> bool:
    """Whether a name stands for something else somewhere: assigned, or an argument more than `once`."""
    arguments = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        arguments += isinstance(node, ast.arg) and node.arg == name
    return arguments > once


def _in_code(tree: ast.AST, known: dict[str, Any]) -> Iterator[tuple[int, str]]:
    if not known:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            thing = _thing(node.value, known)
            if thing is not None and node.attr not in dir(thing):
                near = nearest(node.attr, dir(thing))
                hint = f"; did you mean {near!r}" if near else ""
                yield node.lineno, f"{ast.unparse(node.value)} has no {node.attr!r}{hint}"


def _thing(node: ast.expr, known: dict[str, Any]) -> Any:
    """What an expression gives, as far as its attributes are concerned; None where that is not known."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute) and _thing(node.value, known) in (Request, Reply):
        return _GIVES.get(node.attr)
    return None
