"""What a fuzz target is: a check of one input, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = ROOT / "tests/messages"

Check = Callable[[bytes], object]
"""May have `close()`, and `slowest`: the most CPU seconds that one datagram took."""


class Broken(AssertionError):
    """The invariant of a target does not hold for this input."""


def holds(condition: object, what: str) -> None:
    """As assert, but never switched off. Raises Broken."""
    if not condition:
        raise Broken(what)


@dataclass(frozen=True, slots=True)
class Target:
    """`invariant`: one sentence, shown by the command. `make()` gives the check, which raises what it likes when the
    invariant does not hold. `seeds()` are inputs to begin with. `python`: lines of Python count as coverage too."""

    name: str
    invariant: str
    make: Callable[[], Check]
    seeds: Callable[[], Iterable[bytes]]
    max_bytes: int
    python: bool = False


def stored_messages() -> list[bytes]:
    """Every message of tests/messages."""
    return [path.read_bytes() for path in sorted(MESSAGES.glob("*/*.sip"))]
