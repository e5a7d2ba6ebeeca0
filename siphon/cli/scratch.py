"""Tries a script in a process of its own: whatever it does while it is loaded, it does there."""

import json
import os
import re
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siphon.config.settings import Settings
from workers.scratch import LIMIT_SECS, Scratch

_LINE = re.compile(r"line (\d+): ")


@dataclass(frozen=True, slots=True)
class ScriptFault:
    """Why a script cannot be used: one line for people, and the traceback for the log (may be empty)."""

    line: str
    traceback: str = ""


def try_script(settings: Settings, limit: float = LIMIT_SECS) -> ScriptFault | None:
    """Loads the script in a scratch process; None if it loaded."""
    path = settings.script.path
    answer, error = run(lambda: _load(settings), limit)
    if error:
        return ScriptFault(f"{path}: the script did not load: {error}")
    line, traceback = json.loads(answer)
    return ScriptFault(line, traceback) if line else None


def run(function: Callable[[], bytes], limit: float = LIMIT_SECS) -> tuple[bytes, str]:
    """The result of `function` in a scratch process, or an error text. Waits."""
    scratch = Scratch(function, lambda: None, "siphond: check")
    try:
        end = time.monotonic() + limit
        while not scratch.finished(time.monotonic()):
            if time.monotonic() > end:
                return b"", f"no result within {limit:g} s"
            select.select([scratch.reading], [], [], 0.1)
        return scratch.payload, scratch.error
    finally:
        scratch.close()


def _load(settings: Settings) -> bytes:
    from siphon.config.log import Log
    from siphon.script.context import Services
    from siphon.script.loader import ScriptLoadError
    from siphon.script.runtime import Runtime

    _hide_standard_output()
    try:
        Runtime(settings, Services(), None, Log("warn", file="stderr", process="check")).load()
    except ScriptLoadError as error:
        return json.dumps((one_line(settings.script.path, error.what), error.traceback)).encode()
    return json.dumps(("", "")).encode()


def _hide_standard_output() -> None:
    """What a script prints does not belong among the lines of --check."""
    os.dup2(2, 1)


def one_line(path: Path, what: str) -> str:
    """`FILE:LINE: script.path: what`, the form of all faults."""
    place = _LINE.match(what)
    text = " ".join(what[place.end() if place else 0 :].split())
    return f"{path}:{place[1]}: script.path: {text}" if place else f"{path}: script.path: {text}"
