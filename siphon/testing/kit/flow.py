"""Who sent what to whom, and what the script wrote meanwhile: printed below a test that has failed."""

from __future__ import annotations

from collections.abc import Callable

from siphon.testing.kit.message import Message

SERVER = "siphond"


class Flow:
    """Rows in the order of time. Text is made only when somebody asks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: list[tuple[float, str, str, bytes, str]] = []

    def message(self, source: str, to: str, data: bytes, note: str = "") -> None:
        """A datagram."""
        self._rows.append((self._clock(), source, to, data, note))

    def note(self, text: str) -> None:
        """Something else that happened."""
        self._rows.append((self._clock(), "", "", b"", text))

    def __str__(self) -> str:
        width = max([len(SERVER), *(len(name) for _, *ends, _, _ in self._rows for name in ends)])
        return "\n".join(self._line(width, *row) for row in self._rows)

    def _line(self, width: int, at: float, source: str, to: str, data: bytes, note: str) -> str:
        when = f"{at - self._rows[0][0]:8.3f}"
        if not data:
            return f"{when}  {note}"
        return f"{when}  {source:>{width}} -> {to:<{width}}  {summary(data)}{'  (' + note + ')' if note else ''}"


def summary(data: bytes) -> str:
    """One message in a few words."""
    try:
        message = Message(data)
    except Exception as error:  # whatever a test has sent on purpose
        return f"{data[:40]!r} ({error})"
    if message.is_request:
        return f"{message.method} {message.uri}"
    return f"{message.status} {message.reason} ({message.method})"
