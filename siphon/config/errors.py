"""What is wrong with a configuration, said so that a tired administrator can repair it.

All problems of one reading are collected and raised together. One problem is one line: `FILE:LINE: key: what; did you
mean NAME`. Values of keys that hold secrets never appear in a text made here.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault, or one warning, at one place; `line` and `suggestion` only where they are known."""

    file: str
    line: int | None
    key: str
    what: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        subject = f"{self.key}: " if self.key else ""
        hint = f"; did you mean {self.suggestion}" if self.suggestion else ""
        return f"{place}: {subject}{self.what}{hint}"


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` holds every fault that was found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))
