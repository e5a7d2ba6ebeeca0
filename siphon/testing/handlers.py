"""The script's handlers of a simulated worker, counted: an invariant says how often each may run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from siphon.engine.handlers import ScriptHandlers
from siphon.script.outcome import CancelOutcome, FailureOutcome, Outcome, ReplyOutcome
from siphon.sip.message import SipMessage
from siphon.state.record import Branch, Record
from siphon.testing.worker import VirtualWorker, WorkerDied

if TYPE_CHECKING:
    from siphon.testing.invariants import Checks


class CountedHandlers:
    """Handlers that tell `checks` of each run, and die with their worker."""

    def __init__(self, inner: ScriptHandlers, checks: Checks, worker: VirtualWorker) -> None:
        self._inner = inner
        self._checks = checks
        self._worker = worker

    def run_request(self, record: Record, message: SipMessage | None, done: Callable[[Outcome], None]) -> None:
        """See Handlers."""
        self._begin("request", record, 0)
        self._inner.run_request(record, message, done)

    def run_reply(
        self, record: Record, branch: Branch, response: bytes | None, done: Callable[[ReplyOutcome], None]
    ) -> None:
        """See Handlers; only those of a stored failure run once, a 2xx runs them with every copy."""
        if response is None:
            self._begin("reply", record, branch.index)
        self._inner.run_reply(record, branch, response, done)

    def run_failure(self, record: Record, done: Callable[[FailureOutcome], None]) -> None:
        """See Handlers."""
        self._begin("failure", record, record.attempts)
        self._inner.run_failure(record, done)

    def run_cancel(self, record: Record, done: Callable[[CancelOutcome], None]) -> None:
        """See Handlers."""
        self._begin("cancel", record, 0)
        self._inner.run_cancel(record, done)

    def _begin(self, kind: str, record: Record, number: int) -> None:
        if not self._worker.alive:
            raise WorkerDied
        self._checks.ran(kind, record, number)
