"""What the core is given besides a store and a clock: the script's handlers, names, counters and log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from siphon.engine.counters import Counter
from siphon.forwarding.next_hop import Hop
from siphon.script.outcome import CancelOutcome, FailureOutcome, Outcome, ReplyOutcome
from siphon.sip.message import SipMessage
from siphon.state.record import Branch, Record


class Handlers(Protocol):
    """The script's handlers as the core needs them. `done` is called once: before the call returns, or later."""

    def run_request(self, record: Record, message: SipMessage | None, done: Callable[[Outcome], None]) -> None: ...
    def run_reply(
        self, record: Record, branch: Branch, response: bytes | None, done: Callable[[ReplyOutcome], None]
    ) -> None: ...
    def run_failure(self, record: Record, done: Callable[[FailureOutcome], None]) -> None: ...
    def run_cancel(self, record: Record, done: Callable[[CancelOutcome], None]) -> None: ...


class Resolver(Protocol):
    """Looks names up; what it found is then in the environment's `resolve`."""

    def look_up(self, names: set[Hop], done: Callable[[], None]) -> None: ...


class Reporter(Protocol):
    """Counters and log of this process."""

    def count(self, counter: Counter, number: int = 1) -> None: ...
    def error(self, event: str, record_key: bytes, **facts: object) -> None: ...
    def note(self, event: str, record_key: bytes, **facts: object) -> None:
        """What peers or a slow script bring about: no fault of ours, and few lines a second of each kind."""

    def warn(self, event: str, record_key: bytes, **facts: object) -> None:
        """The same where somebody should change something."""
