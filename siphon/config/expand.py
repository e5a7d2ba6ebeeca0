"""Environment variables inside string values: `${VAR}`, `${VAR:-default}`, and `$${` for a literal `${`.

It is done after the file was read, value by value, so that a secret cannot break or change the file. The default is
taken when the variable is unset or empty; without one nothing is put in.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from siphon.config.locate import Path
from siphon.config.values import Expanded, quote

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{[^}]*\}?")

Fault = tuple[Path, str]


class Expander:
    """Expands a whole document; what it could not read is in `faults`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[Fault] = []

    def document(self, value: Any, path: Path = ()) -> Any:
        """A copy of `value` in which every text is expanded."""
        if isinstance(value, dict):
            return {key: self.document(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.document(inner, (*path, place)) for place, inner in enumerate(value)]
        return self.text(value, path) if isinstance(value, str) and "${" in value else value

    def text(self, source: str, path: Path) -> str:
        references = 0

        def put_in(match: re.Match[str]) -> str:
            nonlocal references
            if match[0] == "$${":
                return "${"
            if match[1] is None:
                what = (
                    f"{quote(match[0])} is not a variable; write ${{NAME}} or ${{NAME:-default}}, $${{ for a plain ${{"
                )
                self.faults.append((path, what))
                return match[0]
            references += 1
            return self.environ.get(match[1], "") or match[2] or ""

        text = _REFERENCE.sub(put_in, source)
        return Expanded(text, source) if references else text


def variables(source: str) -> Iterator[str]:
    """Names of the variables in a text, for messages."""
    return (match[1] for match in _REFERENCE.finditer(source) if match[1])
