"""Loads a routing script: fresh globals, an empty registry, one `Script` out; a failure leaves everything as it was.

The script is the module `siphon_user_script`. Its directory and the include paths come first on `sys.path`; modules
found there are dropped from `sys.modules` before a script is executed, so a reload sees them anew, while a `Script`
keeps the ones it was loaded with: code in progress and stored callbacks go on in their own version. No byte code is
read or written. What was read is recorded in `Script.sources`; given to load_script(), it is loaded again whatever the
files hold by then.

Knowingly imperfect: a module that a handler of the old version imports late is the new version's.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from siphon.script.near import name_it, nearest
from siphon.script.registry import Handler, _siphon_registry
from siphon.script.sources import SCRIPT_MODULE, Finder, Source, Sources, bytes_of, source_of

ALL_METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
)
NEVER_SHOWN = frozenset(("ACK", "CANCEL"))
LONGEST_TEXT = 500
"""Characters of what an exception says, in the line that tells why a script does not load."""
_OURS = ("siphon", "workers", "shm")
_MISSING = re.compile(r"cannot import name '([^']+)'")


class ScriptLoadError(Exception):
    """The script is missing, does not compile or raised; `traceback` is the text to log."""

    def __init__(self, path: Path, what: str, text: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what
        self.traceback = text


class Script:
    """One loaded version: its handlers, and the modules that stored callbacks are looked up in."""

    def __init__(
        self, path: Path, version: int, roots: Sequence[Path], entries: Sequence[Handler], sources: Sources
    ) -> None:
        self.path = path
        self.sources = sources
        self.version = version
        self.roots = tuple(roots)
        self.modules = {name: module for name, module in list(sys.modules.items()) if _below(module, self.roots)}
        self._by_kind: dict[str, tuple[Handler, ...]] = {}
        for entry in entries:
            self._by_kind[entry.kind] = (*self._by_kind.get(entry.kind, ()), entry)
        requests = self.handlers("proxy.on_request")
        named = {method for entry in requests for method in entry.methods or ()}
        self._by_method = {method: tuple(e for e in requests if e.matches(method)) for method in named}
        self._any_method = tuple(entry for entry in requests if entry.methods is None)
        self.methods = self._methods()

    def handlers(self, kind: str) -> tuple[Handler, ...]:
        """The handlers of a kind in the order of registration."""
        return self._by_kind.get(kind, ())

    @property
    def kinds(self) -> list[str]:
        """The kinds of which there are handlers."""
        return sorted(self._by_kind)

    def request_handlers(self, method: str) -> tuple[Handler, ...]:
        """The on_request handlers that match a method."""
        found = self._by_method.get(method)
        return found if found is not None else self._by_method.get(method.upper(), self._any_method)

    def doubtful_filters(self) -> list[str]:
        """Warnings of on_request filters: an unknown method may be a slip, and some are never shown to handlers."""
        found = []
        for entry in self.handlers("proxy.on_request"):
            name = getattr(entry.function, "__name__", "a handler")
            unknown = sorted((entry.methods or frozenset()) - set(ALL_METHODS))
            found += [f"proxy.on_request of {name}: {method} is no method of a SIP RFC" for method in unknown]
            if entry.methods and entry.methods <= NEVER_SHOWN:
                found.append(f"proxy.on_request of {name} is never called: ACK and CANCEL do not reach handlers")
        return found

    def _methods(self) -> list[str]:
        """What Allow says: methods that have a handler, ACK and CANCEL with INVITE."""
        named = set(self._by_method)
        if self._any_method:
            named.update(ALL_METHODS)
        if "INVITE" in named:
            named.update(("ACK", "CANCEL"))
        return sorted(named, key=lambda m: (ALL_METHODS.index(m) if m in ALL_METHODS else len(ALL_METHODS), m))

    # -- callbacks by name

    def name_of(self, function: Callable[..., Any], what: str = "callback") -> str:
        """As find_name(); ValueError where there is none."""
        name = self.find_name(function)
        if name is not None:
            return name
        raise ValueError(
            f"{what}={function!r} is not a module-level function. The response may be handled by another worker, which "
            "finds the function by module and name: a lambda, closure, bound method or partial cannot be found there. "
            "Define it at module level and pass data through request.vars."
        )

    def find_name(self, function: Callable[..., Any]) -> str | None:
        """ "module:qualname" of a module-level function; None when that would not lead back to it."""
        module = getattr(function, "__module__", None)
        qualname = getattr(function, "__qualname__", None)
        if isinstance(module, str) and isinstance(qualname, str) and self._find(module, qualname) is function:
            return f"{module}:{qualname}"
        return None

    def resolve(self, name: str) -> Callable[..., Any] | None:
        """The function of a stored name; None when this version has none."""
        module, _, qualname = name.partition(":")
        found = self._find(module, qualname)
        if found is None and module not in sys.modules and self._import_late(module):
            found = self._find(module, qualname)
        return found

    def _find(self, module: str, qualname: str) -> FunctionType | None:
        found: Any = self.modules.get(module) or sys.modules.get(module)
        for part in qualname.split("."):
            if found is None or part.startswith("__"):
                return None
            found = getattr(found, part, None)
        return found if isinstance(found, FunctionType) else None

    def _import_late(self, name: str) -> bool:
        """Import a module of the script's directories that a handler of another worker had imported."""
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
            if spec is None or spec.origin is None or not _is_below(spec.origin, self.roots):
                return False
            self.modules[name] = importlib.import_module(name)
        except (ImportError, ValueError):
            return False
        return True


_paths: list[str] = []
"""What loading has put in front of sys.path."""
_roots: set[Path] = set()
"""Directories of the current script: what comes from there belongs to scripts, and goes with the next load."""
_finders: list[Finder] = []
"""The one of the current script."""


def load_script(
    path: Path, include_paths: Sequence[Path] = (), version: int = 1, sources: Mapping[str, Source] | None = None
) -> Script:
    """Execute the script and give its handlers; ScriptLoadError (with the traceback) when that fails.

    `sources` of an earlier load are executed instead of the files.
    """
    recorded = dict(sources or {})
    path = Path(recorded[SCRIPT_MODULE].path) if recorded else Path(path).resolve()
    roots = [path.parent, *(Path(include).resolve() for include in include_paths)]
    sys.dont_write_bytecode = True
    saved = _State()
    _roots.update(roots)
    _put_first(roots)
    _find_by(Finder(roots, recorded))
    _drop_modules()
    _siphon_registry.clear()
    try:
        _execute(path, recorded)
        script = Script(path, version, roots, _siphon_registry.entries(), recorded)
    except BaseException:
        saved.put_back()
        raise
    _roots.intersection_update(roots)
    return script


class _State:
    """What loading changes outside: the registry, sys.path and the modules of scripts."""

    def __init__(self) -> None:
        self.entries = _siphon_registry.entries()
        self.path = list(sys.path)
        self.paths = list(_paths)
        self.roots = set(_roots)
        self.finders = list(_finders)
        self.modules = {name: module for name, module in list(sys.modules.items()) if _is_script_module(name, module)}

    def put_back(self) -> None:
        _siphon_registry.restore(self.entries)
        sys.path[:] = self.path
        _paths[:] = self.paths
        _find_by(*self.finders)
        _drop_modules()
        sys.modules.update(self.modules)
        _roots.intersection_update(self.roots)


def _put_first(roots: Sequence[Path]) -> None:
    for old in _paths:
        if old in sys.path:
            sys.path.remove(old)
    _paths[:] = list(dict.fromkeys(str(root) for root in roots))
    sys.path[:0] = _paths


def _find_by(*finders: Finder) -> None:
    for old in _finders:
        old.remove()
    _finders[:] = finders
    for finder in finders:
        finder.install()


def _drop_modules() -> None:
    for name, module in list(sys.modules.items()):
        if _is_script_module(name, module):
            del sys.modules[name]
    importlib.invalidate_caches()
    linecache.checkcache()


def _is_script_module(name: str, module: object) -> bool:
    """Whether a module belongs to scripts: found in one of their directories and not part of siphond."""
    if name == SCRIPT_MODULE:
        return True
    return name.partition(".")[0] not in _OURS and name != "__main__" and _below(module, _roots)


def _below(module: object, roots: Sequence[Path] | set[Path]) -> bool:
    if getattr(module, "__name__", None) == SCRIPT_MODULE:
        return True
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return _is_below(file, roots)
    places = getattr(module, "__path__", None)  # a namespace package has no file
    return places is not None and any(_is_below(place, roots) for place in places if isinstance(place, str))


def _is_below(file: str, roots: Sequence[Path] | set[Path]) -> bool:
    if "site-packages" in file or not file.startswith("/"):
        return False
    return any(file.startswith(f"{root}/") or file == str(root) for root in roots)


def _execute(path: Path, sources: Sources) -> None:
    try:
        if SCRIPT_MODULE not in sources:
            sources[SCRIPT_MODULE] = source_of(path)
        source = bytes_of(sources[SCRIPT_MODULE])
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise ScriptLoadError(path, f"cannot be read: {what}", "") from error
    module = ModuleType(SCRIPT_MODULE)
    module.__file__ = str(path)
    sys.modules[SCRIPT_MODULE] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ScriptLoadError(path, _summary(error, path), _trace(error)) from error


def _summary(error: BaseException, path: Path) -> str:
    """What went wrong, with the line of the script where it did, and the place in a module of the script."""
    places = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
    places = [place for place in places if _is_below(place[0], _roots)]
    line = next((number for file, number in reversed(places) if file == str(path)), None)
    near = name_it(error)
    what = f"{type(error).__name__}: {_text(error)}" + (f"; did you mean {near!r}" if near else "")
    if places and places[-1][0] != str(path):
        what += " ({}, line {})".format(*places[-1])
    return f"line {line}: {what}" if line else what


def _text(error: BaseException) -> str:
    """What it says, cut: the whole is in the traceback. The text of a script's own exception may raise."""
    if isinstance(error, SyntaxError):
        return error.msg  # its text repeats file and line
    try:
        text = _without_place(error) if isinstance(error, ImportError) else str(error)
    except Exception as further:
        text = f"its text raised {type(further).__name__}"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def _without_place(error: ImportError) -> str:
    """The text; where `siphon` has no such name, with the nearest one in the place of our path."""
    missing = _MISSING.match(str(error)) if error.name == "siphon" else None
    if missing is None:
        return str(error)
    near = nearest(missing[1], vars(sys.modules["siphon"])["__all__"])
    return f"siphon has no {missing[1]!r}" + (f"; did you mean {near!r}" if near else "")


def _trace(error: BaseException) -> str:
    """The traceback without the frame of the loader."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    return "".join(traceback.TracebackException(type(error), error, inner).format())
