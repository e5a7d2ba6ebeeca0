"""A reload: which changes need a restart, and the settings as bytes on their way to the processes.

The bytes go from a process of ours to processes of ours and hold secrets: they are never written to disk or shared
memory.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from siphon.config.settings import Settings

FIXED = (
    *(("listen",), ("workers",), ("shared",), ("server", "state_dir")),
    *(("registrar", "backend"), ("registrar", "redis")),
)
"""What the supervisor has built on: sockets, processes, tables. A reload that changes one of these is refused."""


NEXT_START = (("server", "instance_id"),)
"""What the journal is named by, and this instance among others."""


def late_changes(old: Settings, new: Settings) -> list[str]:
    """Names of settings that differ and, at least in part, count from the next start only."""
    return [
        f"{section}.{name}"
        for section, name in NEXT_START
        if getattr(getattr(old, section), name) != getattr(getattr(new, section), name)
    ]


def fixed_changes(old: Settings, new: Settings) -> list[str]:
    """Names of settings that differ and need a restart."""
    changed: list[str] = []
    for path in FIXED:
        section = path[0]
        before, after = getattr(old, section), getattr(new, section)
        names = path[1:] or tuple(type(before).model_fields)
        changed += [f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
    return changed


def pack(
    settings: Settings, script_version: int, sources: Mapping[str, Sequence[object]], kinds: Sequence[str] = ()
) -> bytes:
    """Settings, the number of the script version that goes with them, its sources by module, and the kinds of handlers
    that it has."""
    content = {"script_version": script_version, "settings": settings.model_dump(mode="json"), "sources": sources}
    return json.dumps({**content, "kinds": list(kinds)}).encode()


def kinds_of(payload: bytes) -> list[str]:
    """The kinds of handlers of the script in it."""
    return [str(kind) for kind in json.loads(payload)["kinds"]]


def unpack(payload: bytes) -> tuple[Settings, int, dict[str, list[Any]]]:
    """What pack() was given."""
    content = json.loads(payload)
    settings = Settings.model_validate(content["settings"], context={"packed": True})
    return settings, int(content["script_version"]), content["sources"]
