"""`siphond --check`: everything that can be found wrong before a start, without disturbing an instance that runs."""

from pathlib import Path

from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import free_bytes, megabytes, nearest_directory, need, require_room
from siphon.cli.output import put, say
from siphon.cli.scratch import ScriptFault, try_script
from siphon.config.settings import Settings


def check(path: Path, settings: Settings) -> None:
    """Prints `FILE: ok` and the memory that the tables need. Refusal CONFIGURATION where the script does not load,
    NO_SHARED_MEMORY where the tables do not fit."""
    for problem in settings.warnings:
        say(f"{problem} (warning)")
    try:
        proved = try_script(settings)
    except ScriptFault as fault:
        raise Refusal(Exit.CONFIGURATION, fault.line) from None
    for warning in proved.warnings:
        say(f"{warning} (warning)")
    require_room(settings)
    put(f"{path}: ok")
    tables = need(settings)
    parts = ", ".join(f"{table.name} {megabytes(table.size)}" for table in tables)
    total = sum(table.size for table in tables)
    put(f"shared memory needed: {megabytes(total)} ({parts})")
    place = nearest_directory(settings.shared.path)
    put(f"free in {place}: {megabytes(free_bytes(place))}")
