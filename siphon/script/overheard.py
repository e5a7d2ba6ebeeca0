"""What Python and libraries tell of a script's code, as lines of the log: warnings, and records of `logging`.

A coroutine that nobody has awaited and a task whose exception nobody has looked at are told by Python on standard
error, without time, level and Call-ID, and in a JSON log they are no JSON. Records go this way only where nothing else
takes them: a script that sets up `logging` itself has what it set up.
"""

from __future__ import annotations

import logging
import warnings
from typing import TextIO

from siphon.config.log import ERROR, WARN, Log
from siphon.script import log


def listen(own: Log) -> None:
    """From now on, in this process, whose log is `own`."""
    log.fall_back_to(own)
    warnings.showwarning = _warned  # the documented way to have them told elsewhere
    logging.lastResort = _Records(logging.WARNING)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.target().often(WARN, "python.warning", text=f"{filename}:{lineno}: {category.__name__}: {message}")


class _Records(logging.Handler):
    """A handler of records that nobody else handles."""

    def emit(self, record: logging.LogRecord) -> None:
        failure = record.exc_info[1] if record.exc_info else None
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):  # as many arguments as the text does not take
            text = str(record.msg)
        if failure is not None:
            log.target().exception("python.log", failure, logger=record.name, text=text)
        else:
            level = ERROR if record.levelno >= logging.ERROR else WARN
            log.target().often(level, "python.log", logger=record.name, text=text)
