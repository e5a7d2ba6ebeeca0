"""Slips in the use of the script API, found in code that has not run yet.

The sources of a loaded script are read for attributes that neither a name of `siphon` nor what a handler is called with
has, for asynchronous calls that are not awaited (their result is always true), and for caches that are not configured
(they are empty). What only a rare call reaches would otherwise be found by that call. It is told; nothing is refused.

Knowingly imperfect: of a handler's arguments only those are followed that keep their name, and of what their properties
give only URIs.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Iterator
from types import FunctionType
from typing import Any

from siphon.script.cache import Cache
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


def slips(script: Script, caches: Collection[str]) -> list[str]:
    """`FILE:LINE: what` of each slip, file by file; `caches`: the names of those that are configured."""
    found = []
    for name, source in script.sources.items():
        module = script.modules.get(name)
        if module is not None:
            tree = ast.parse(bytes_of(source))
            told = sorted({*_in_module(tree, module, script), *_of_caches(tree, module, caches)})
            found += [f"{source.path}:{line}: {what}" for line, what in told]
    return found


def _in_module(tree: ast.Module, module: Any, script: Script) -> Iterator[tuple[int, str]]:
    ours = {name: thing for name, thing in vars(module).items() if _is_ours(thing)}
    yield from _in_code(tree, {name: thing for name, thing in ours.items() if not _rebound(tree, name)})
    callbacks = _callbacks(tree)
    handlers = _handlers(script, module.__name__)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = handlers.get((node.name, _first_line(node))) or (("request",) if node.name in callbacks else ())
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            known = {name: _GIVEN[what] for name, what in zip(names, given, strict=False) if what in _GIVEN}
            yield from _in_code(node, {name: kind for name, kind in known.items() if not _rebound(node, name, 1)})


def _is_ours(thing: object) -> bool:
    """A name that `siphon` gives, of which it is known what attributes it has."""
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__module__.startswith("siphon.script.") and not hasattr(kind, "__getattr__")


def _handlers(script: Script, module: str) -> dict[tuple[str, int], tuple[str, ...]]:
    """What the handlers of a module are called with, by name and first line."""
    found = {}
    for kind in script.kinds:
        for entry in script.handlers(kind):
            function: Callable[..., Any] = inspect.unwrap(entry.function)
            if isinstance(function, FunctionType) and function.__module__ == module:
                found[function.__name__, function.__code__.co_firstlineno] = CALLED_WITH.get(kind, ())
    return found


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Where its code object begins: at the first decorator, if there is one."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


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


def _of_caches(tree: ast.Module, module: Any, caches: Collection[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=called), attr=attr), args=[ast.Constant(value=name), *_]
            ):
                if type(vars(module).get(called)) is Cache and attr != "has_cache" and name not in caches:
                    yield node.lineno, f"no [[cache]] of the configuration has the name {name!r}: it is always empty"


def _in_code(tree: ast.AST, known: dict[str, Any]) -> Iterator[tuple[int, str]]:
    if not known:
        return
    yield from _not_awaited(tree, known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            thing = _thing(node.value, known)
            if thing is not None and node.attr not in dir(thing):
                near = nearest(node.attr, dir(thing))
                hint = f"; did you mean {near!r}" if near else ""
                yield node.lineno, f"{ast.unparse(node.value)} has no {node.attr!r}{hint}"


def _not_awaited(tree: ast.AST, known: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Asynchronous calls whose result nobody can have: it is dropped, compared, tested, or kept and not awaited."""
    awaited = {
        part.id
        for node in ast.walk(tree)
        if isinstance(node, (ast.Await, ast.Call))
        for part in ast.walk(node)
        if isinstance(part, ast.Name)
    }
    for node in ast.walk(tree):
        for call in _used_as_they_are(node, awaited):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                thing = _thing(call.func.value, known)
                if inspect.iscoroutinefunction(getattr(thing, call.func.attr, None)):
                    yield call.lineno, f"{ast.unparse(call.func)}() is not awaited"


def _used_as_they_are(node: ast.AST, awaited: set[str]) -> list[ast.expr]:
    """Expressions of which a node uses the value itself. What is kept under a name that is awaited, or given to some
    function, may be right."""
    match node:
        case ast.Expr(value=value) | ast.UnaryOp(operand=value) | ast.FormattedValue(value=value):
            return [value]
        case ast.Attribute(value=value) | ast.Subscript(value=value):
            return [value]
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            return [test]
        case ast.BoolOp(values=values):
            return values
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in awaited:
            return [value]
        case ast.NamedExpr(target=ast.Name(id=name), value=value) if name not in awaited:
            return [value]
    return []


def _thing(node: ast.expr, known: dict[str, Any]) -> Any:
    """What an expression gives, as far as its attributes are concerned; None where that is not known."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute) and _thing(node.value, known) in (Request, Reply):
        return _GIVES.get(node.attr)
    return None
