"""Tries a script in a process of its own: whatever it does while it is loaded, it does there."""

import json
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from siphon.config.log import Log
from siphon.config.settings import Settings
from siphon.script.sources import Source, Sources
from workers.scratch import LIMIT_SECS, Scratch

LONGEST_LOAD_SECS = LIMIT_SECS - 5.0
"""Of a script, whatever handlers may take: what the scratch process has to say must come within LIMIT_SECS."""
_LINE = re.compile(r"line (\d+): ")


@dataclass(frozen=True, slots=True)
class Proved:
    """A script that loads: what it was made of, what an administrator should hear about it, and the kinds of handlers
    that it has."""

    sources: Sources
    warnings: list[str]
    kinds: list[str]


class LoadTooLong(BaseException):
    """The script is still being loaded. No Exception, so that a script does not catch it by the way."""


class ScriptFault(Exception):
    """Why a script cannot be used: one line for people, and the traceback for the log (may be empty)."""

    def __init__(self, line: str, traceback: str = "") -> None:
        super().__init__(line)
        self.line = line
        self.traceback = traceback


def try_script(settings: Settings, limit: float = LIMIT_SECS) -> Proved:
    """Loads the script in a scratch process; raises ScriptFault."""
    answer, error = run(lambda: _load(settings), limit)
    if error:
        raise ScriptFault(one_line(settings.script.path, f"did not load: {error}"))
    found = json.loads(answer)
    if found["line"]:
        raise ScriptFault(found["line"], found["traceback"])
    return Proved(sources_of(found["sources"]), found["warnings"], found["kinds"])


def prove(settings: Settings, log: Log) -> Proved:
    """Loads the script in this process, which should be a scratch one; raises ScriptFault."""
    from siphon.script.context import Services
    from siphon.script.loader import ScriptLoadError
    from siphon.script.runtime import Runtime
    from siphon.script.slips import slips

    runtime = Runtime(settings, Services(), None, log)
    try:
        with bounded(min(settings.script.handler_stall_abort_secs, LONGEST_LOAD_SECS)):
            runtime.load()
    except ScriptLoadError as error:
        raise ScriptFault(one_line(settings.script.path, error.what), error.traceback) from None
    warnings = [] if runtime.methods() else [f"{settings.script.path}: no handler of proxy.on_request: all gets 405"]
    warnings += [f"{settings.script.path}: {text}" for text in runtime.warnings]
    warnings += slips(runtime.script(), {entry.name for entry in settings.cache})
    return Proved(runtime.script().sources, warnings, runtime.script().kinds)


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raises LoadTooLong in what runs inside, where it stands after so long, and again each second if it goes on."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise LoadTooLong(f"it is not loaded after {seconds:g} s (script.handler_stall_abort_secs)")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sources_of(lists: Mapping[str, Sequence[Any]]) -> Sources:
    """From what JSON has made of them."""
    return {name: Source(*fields) for name, fields in lists.items()}


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
    _hide_standard_output()
    try:
        proved = prove(settings, Log("warn", file="stderr", process="check"))
    except ScriptFault as fault:
        return json.dumps({"line": fault.line, "traceback": fault.traceback}).encode()
    return json.dumps(
        {"line": "", "sources": proved.sources, "warnings": proved.warnings, "kinds": proved.kinds}
    ).encode()


def _hide_standard_output() -> None:
    """What a script prints does not belong among the lines of --check."""
    os.dup2(2, 1)


def one_line(path: Path, what: str) -> str:
    """`FILE:LINE: script.path: what`, the form of all faults."""
    place = _LINE.match(what)
    text = " ".join(what[place.end() if place else 0 :].split())
    return f"{path}:{place[1]}: script.path: {text}" if place else f"{path}: script.path: {text}"
