"""Which configuration file a command uses, and reading it for the command line."""

import os
from pathlib import Path

from siphon.cli.exits import Exit, Refusal
from siphon.config.errors import ConfigurationError
from siphon.config.load import SEARCHED, find, load
from siphon.config.settings import Settings


def configuration_file(named: str | None) -> Path:
    """The file named by -c, else the first of the usual places that exists."""
    try:
        os.getcwd()  # relative paths begin there, and an upgrade starts there
    except OSError as error:
        raise Refusal(Exit.CONFIGURATION, f"the current directory: {error.strerror}; change into another") from None
    if named is not None:
        return Path(named)
    found = find()
    if found is None:
        places = " nor ".join(str(path) for path in SEARCHED)
        raise Refusal(Exit.CONFIGURATION, f"no configuration: neither {places} exists; name one with -c FILE")
    return found


def read(path: Path) -> Settings:
    """The settings; every fault is a line of the refusal."""
    try:
        return load(path)
    except ConfigurationError as error:
        raise Refusal(Exit.CONFIGURATION, str(error)) from None


def with_workers(settings: Settings, count: int | None) -> Settings:
    """`--workers N` goes before the file."""
    if count is None:
        return settings
    return settings.model_copy(update={"workers": settings.workers.model_copy(update={"count": count})})
