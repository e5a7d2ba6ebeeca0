"""`siphond --check`: everything that can be found wrong before a start, without disturbing an instance that runs."""

from pathlib import Path

import click

from siphon.cli.exits import Exit, Refusal
from siphon.cli.memory import free_bytes, megabytes, nearest_directory, need, require_room
from siphon.cli.scratch import ScriptFault, try_script
from siphon.config.settings import Settings


def check(path: Path, settings: Settings) -> None:
    """Prints `FILE: ok` and the memory that the tables need. Refusal CONFIGURATION where the script does not load,
    NO_SHARED_MEMORY where the tables do not fit."""
    for problem in settings.warnings:
        click.echo(f"{problem} (warning)", err=True)
    try:
        proved = try_script(settings)
    except ScriptFault as fault:
        raise Refusal(Exit.CONFIGURATION, fault.line) from None
    for warning in proved.warnings:
        click.echo(f"{warning} (warning)", err=True)
    require_room(settings)
    click.echo(f"{path}: ok")
    tables = need(settings)
    parts = ", ".join(f"{table.name} {megabytes(table.size)}" for table in tables)
    total = sum(table.size for table in tables)
    click.echo(f"shared memory needed: {megabytes(total)} ({parts})")
    place = nearest_directory(settings.shared.path)
    click.echo(f"free in {place}: {megabytes(free_bytes(place))}")
