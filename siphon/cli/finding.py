"""Where a running instance has its shared tables: by its configuration, also while that cannot be read.

Somebody who edits the file may have to look at the instance, or to stop it, before the file is whole again. Each
instance says in its shared directory with which file it was started: a directory that says so, and that a running
siphond holds, is the one, wherever the file says that it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from siphon.cli import directory
from siphon.cli.exits import Exit, Refusal
from siphon.cli.place import configuration_file
from siphon.config.load import shared_path

USUAL = Path("/dev/shm")
_SHARED_PATH = re.compile(r"^[ \t]*\[shared\][^\[]*?^[ \t]*path[ \t]*[=:][ \t]*[\"']([^\"'\n]+)[\"']", re.MULTILINE)
MOST_BYTES = 4 * 1024 * 1024


def instance(config: str | None) -> tuple[Path, str]:
    """The shared directory of a running instance, and what is wrong with its configuration where that was not found by
    what stands in it. As root, the program goes on as the instance's user."""
    file, why = None, ""
    try:
        file = configuration_file(config)
        path, certain = shared_path(file)
        places = [path] if certain else [path, *_others(path)]
    except Refusal as refusal:
        raise Refusal(Exit.USAGE, str(refusal)) from None
    except ValueError as error:
        why = str(error)
        places = [] if file is None else _started_with(file)
        if len(places) != 1:
            raise Refusal(Exit.USAGE, why) from None
    for place in places:
        try:
            if directory.holder(place) is not None:
                _become_owner(place)
                return place, why
        except PermissionError:
            raise Refusal(Exit.NO_INSTANCE, f"{place}: permission denied; it belongs to another user") from None
    raise Refusal(Exit.NO_INSTANCE, f"no siphond runs with {places[0]}")


def _others(path: Path) -> list[Path]:
    """Where instances of the same name would be that other users run: .../siphond-<uid>-<name>."""
    name = path.name.split("-", 2)[2]
    return sorted(place for place in path.parent.glob(f"siphond-*-{name}") if place.name.split("-", 2)[2] == name)


def _started_with(file: Path) -> list[Path]:
    """The directories of running instances that were started with that file."""
    wanted = str(file.absolute())
    return [place for place in _candidates(file) if _configuration(place) == wanted]


def _candidates(file: Path) -> list[Path]:
    """What the file seems to name, and the usual places."""
    try:
        with file.open("rb") as opened:
            named = _SHARED_PATH.search(opened.read(MOST_BYTES).decode("utf-8", "replace"))
    except OSError:
        named = None
    found = [] if named is None else [Path(os.path.abspath(file.absolute().parent / named[1]))]
    return [*found, *(place for place in sorted(USUAL.glob("siphond-*")) if place not in found)]


def _configuration(place: Path) -> object:
    try:
        return directory.description(place).get("configuration")
    except PermissionError:
        return None


def _become_owner(place: Path) -> None:
    """The tables are opened by their owner only, and root's rights are not needed any more."""
    if os.geteuid() == 0:
        facts = place.stat()
        os.setegid(facts.st_gid)
        os.seteuid(facts.st_uid)
