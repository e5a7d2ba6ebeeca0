"""The ladder of a run: who sent what to whom at which time through which worker, printed when a run has failed."""

from __future__ import annotations

from collections.abc import Callable

from siphon.forwarding.branch import parse_branch
from siphon.sip.message import parse


class Ladder:
    """Lines are kept as raw facts; text is made only when somebody asks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._rows: list[tuple[float, str, str, str, bytes]] = []

    def message(self, source: str, to: str, note: str, data: bytes) -> None:
        """A datagram: sent, lost, arrived."""
        self._rows.append((self._clock(), source, to, note, data))

    def note(self, text: str) -> None:
        """Something that happens to a worker."""
        self._rows.append((self._clock(), "", "", text, b""))

    def __str__(self) -> str:
        return "\n".join(self._line(*row) for row in self._rows)

    def _line(self, at: float, source: str, to: str, note: str, data: bytes) -> str:
        when = f"{at - self._start:9.3f}"
        if not data:
            return f"{when}  -- {note}"
        return f"{when}  {source:>16} -> {to:<16} {summary(data)}{'  ' + note if note else ''}"


def summary(data: bytes) -> str:
    """One message in a few words: what it is, whose call, which branch."""
    m = parse(data)
    ours = parse_branch(m.via.branch)
    branch = m.via.branch.decode("latin-1") if ours is None else f"{ours.salt:08x}/{ours.index}"
    what = f"{m.method} {m.uri.decode()}" if m.is_request else f"{m.status} ({m.cseq_method})"
    tag = f" to={m.to_tag.decode()[:12]}" if m.to_tag else ""
    return f"{what:<34} {m.call_id.decode()} [{branch}]{tag}"
