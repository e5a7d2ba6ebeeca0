"""A log that keeps its lines: tests look at what a script has written, and at what it has raised."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import NamedTuple

from siphon.config.log import NAMES, Log


class Line(NamedTuple):
    """One line: its level, the event or message, its fields."""

    level: str
    text: str
    fields: Mapping[str, object]

    def __str__(self) -> str:
        return " ".join([self.level, self.text, *(f"{name}={value}" for name, value in self.fields.items())])


class KeptLog(Log):
    """`lines` and `exceptions` are lists of whoever owns it; several workers may share them. Nothing is printed."""

    def __init__(
        self, lines: list[Line], exceptions: list[str], heard: Callable[[Line], None], clock: Callable[[], float]
    ) -> None:
        super().__init__("debug", file="stderr", process="test", clock=clock)
        self._lines = lines
        self._exceptions = exceptions
        self._heard = heard

    def write(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        """See Log."""
        line = Line(NAMES[level], event, dict(fields))
        self._lines.append(line)
        self._heard(line)

    def exception(self, event: str, failure: BaseException, /, **fields: object) -> None:
        """See Log; every one is kept, however many there are."""
        self._exceptions.append("".join(traceback.format_exception(failure)))
        self.error(event, error=f"{type(failure).__name__}: {failure}", **fields)
