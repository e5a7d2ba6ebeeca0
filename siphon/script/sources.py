"""The sources that a script version was made of, so that every process loads the same whatever lies on disk by then.

A script is tried in a scratch process first. What was read there - the script itself and the modules in its
directories - is recorded and handed to the processes that run it. One of them that is forked later, while a broken
draft lies on disk, still starts with what was proved.
"""

from __future__ import annotations

import errno
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

SCRIPT_MODULE = "siphon_user_script"


class Source(NamedTuple):
    """A module: its file, and whether it is a package. The text is latin-1 of the bytes, so that JSON can carry it."""

    path: str
    is_package: bool
    text: str


Sources = dict[str, Source]
"""By name of module; the script is SCRIPT_MODULE. Empty: nothing recorded, all is read from disk."""


def source_of(path: Path, is_package: bool = False) -> Source:
    """What a file holds now. Raises OSError; also for what is no file: a pipe would keep us, a device never end."""
    if not (stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "Not a regular file")
    return Source(str(path), is_package, path.read_bytes().decode("latin-1"))


def bytes_of(source: Source) -> bytes:
    """What the file held; tracebacks will show these lines, not those that the file may have by then."""
    data = source.text.encode("latin-1")
    with suppress(SyntaxError, UnicodeError):
        lines = importlib.util.decode_source(data).splitlines(keepends=True)
        linecache.cache[source.path] = (len(data), None, lines, source.path)
    return data


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules in a script's directories: those that are recorded first, then what lies on disk."""

    def __init__(self, roots: Sequence[Path], sources: Sources) -> None:
        self.prefixes = tuple(f"{root}/" for root in roots)
        self.sources = sources

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        known = self.sources.get(name)
        if known is not None:
            return self.spec(name, known)
        found = PathFinder.find_spec(name, path, target)
        if found is None or not isinstance(found.loader, importlib.machinery.SourceFileLoader):
            return None
        origin = found.origin or ""
        if not origin.startswith(self.prefixes) or "site-packages" in origin:
            return None
        is_package = found.submodule_search_locations is not None
        self.sources[name] = source_of(Path(origin), is_package)
        return self.spec(name, self.sources[name])

    def install(self) -> None:
        """Asked just before Python's own finder of files, whose work it does in these directories."""
        places = [place for place, finder in enumerate(sys.meta_path) if finder is PathFinder]
        sys.meta_path.insert(places[0] if places else len(sys.meta_path), self)

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def spec(self, name: str, source: Source) -> ModuleSpec | None:
        places = [str(Path(source.path).parent)] if source.is_package else None
        loader = Loader(source)
        return importlib.util.spec_from_file_location(
            name, source.path, loader=loader, submodule_search_locations=places
        )


class Loader(importlib.abc.SourceLoader):
    """Executes a recorded source; knows no byte code."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def get_filename(self, fullname: str) -> str:
        return self.source.path

    def get_data(self, path: str | bytes) -> bytes:
        if path != self.source.path:
            raise OSError(f"{path!r} is not recorded")
        return bytes_of(self.source)
