"""Runs the script's handlers for the core: records become API objects, what handlers left becomes outcomes.

The only place that knows both records and the objects of siphon/script. Objects are built from the record each time, so
it does not matter which worker runs which handler (API G1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from siphon.config.settings import Settings
from siphon.engine._handlers import context_of, run_request
from siphon.engine.answers import make
from siphon.engine.callbacks import callback_of
from siphon.engine.confirming import when_confirmed, when_stored
from siphon.engine.contacts import as_received
from siphon.engine.counters import Counter
from siphon.engine.environment import Environment
from siphon.engine.events import handler_request
from siphon.engine.outcomes import MAX_RETARGETS, may_retarget
from siphon.engine.results import best_branch, merged
from siphon.script import log
from siphon.script.context import RequestContext, Services
from siphon.script.outcome import Answer, CancelOutcome, FailureOutcome, Fork, Outcome, Relay, ReplyOutcome
from siphon.script.registrar import LOOP_DETECTED
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.runtime import Runtime
from siphon.services.digest import Fetched
from siphon.services.location.shared_location import SharedLocation
from siphon.sip.build import REASONS
from siphon.sip.message import SipMessage, parse
from siphon.state.record import Branch, Record
from siphon.transaction.step import Step

CREDENTIALS = ("Authorization", "Proxy-Authorization")


class Watch(Protocol):
    """Told when a script runs: another limit holds then than for the loop (DESIGN: heartbeat)."""

    def enter(self) -> None: ...
    def leave(self) -> None: ...
    def count(self, counter: Counter, number: int = 1) -> None: ...


class ScriptHandlers:
    """The core's Handlers over a Runtime."""

    def __init__(
        self, runtime: Runtime, settings: Settings, services: Services, watch: Watch, clock: Callable[[], float]
    ) -> None:
        self.runtime = runtime
        self.settings = settings
        self.services = services
        self.watch = watch
        self.clock = clock
        self.env: Environment | None = None

    def configure(self, settings: Settings, services: Services) -> None:
        """Settings and services after a reload."""
        self.settings, self.services = settings, services

    def run_request(self, record: Record, message: SipMessage | None, done: Callable[[Outcome], None]) -> None:
        """The on_request handlers, on the request as received."""
        received = message or parse(record.request)
        if self.services.secrets is None and not isinstance(self.services.location, SharedLocation):
            run_request(self, record, received, None, done)  # nobody to ask
        elif self.runtime.handles(record.method, record.script_version):
            self._run_when_known(record, received, done)
        else:
            self.refuse_method(record, done)

    def _run_when_known(self, record: Record, received: SipMessage, done: Callable[[Outcome], None]) -> None:
        run = lambda secrets: run_request(self, record, received, secrets, done)  # noqa: E731
        self._with_bindings(received, lambda: self._with_secrets(received, run))

    def refuse_method(self, record: Record, done: Callable[[Outcome], None]) -> None:
        """405: the script has no handler of this method."""
        allow = ", ".join(self.runtime.methods(record.script_version))
        done(Outcome(Answer(405, "Method Not Allowed", headers=[("Allow", allow)])))

    def request_ended(self, record: Record, outcome: Outcome, done: Callable[[Outcome], None]) -> None:
        """The on_request handlers have returned: `done` now, or when what the outcome rests on is there."""
        if outcome.route_unsigned:
            self.watch.count(Counter.ROUTE_UNSIGNED)
        if outcome.auth_failures:
            self.watch.count(Counter.AUTH_FAILURES, outcome.auth_failures)
        if isinstance(outcome.action, Answer) or outcome.confirms:
            self._answer_once(record, outcome)
            when_confirmed(outcome, lambda confirmed: when_stored(confirmed, done))
        else:
            done(outcome)

    def _with_bindings(self, message: SipMessage, run: Callable[[], None]) -> None:
        """Run when what this node's mirror lacks has been looked for in the store: the address of record that the
        request is for, or that it registers. Where bindings lie in shared memory there is nothing to look for."""
        location = self.services.location
        if not isinstance(location, SharedLocation):
            run()
            return
        missing = location.missing([message.uri.decode("latin-1"), message.to_value.decode("latin-1")])

        def next_one() -> None:
            if missing:
                location.fetch(missing.pop(), next_one)
            else:
                run()

        next_one()

    def _with_secrets(self, message: SipMessage, run: Callable[[Fetched | None], None]) -> None:
        """Run with what `auth.http` says about the users in the credentials: at once where there is nothing to ask."""
        remote = self.services.secrets
        if remote is None:
            run(None)
            return
        lines = [line for name in CREDENTIALS for line in message.all_lines(name)]
        remote.get(self.services.digest.users_to_fetch(lines), run)

    def _answer_once(self, record: Record, outcome: Outcome) -> None:
        """A request that is answered here, and not forwarded, is answered to whom it reached us by first: a copy by
        another path gets 482 (RFC 3261 §8.2.2.2). What is refused or redirected here may be so twice."""
        action, merged = outcome.action, self.services.merged
        if not isinstance(action, Answer) or not 200 <= action.status < 300 or record.to_tag or merged is None:
            return
        if merged.is_merged(record.key, record.method, record.call_id, record.from_tag, record.cseq):
            outcome.action = Answer(*LOOP_DETECTED)
            outcome.reply_edits, outcome.reply_body = [], None

    def run_reply(
        self, record: Record, branch: Branch, response: bytes | None, done: Callable[[ReplyOutcome], None]
    ) -> None:
        """The on_reply handlers: for a response as received (our Via still on top), or for a stored failure."""
        if response is None:
            data = self._failure(record, branch)
        else:
            data = as_received(parse(response), branch, self.settings)
        source = None if response is None and branch.local else (branch.ip, branch.port)
        request = self._later(record)
        reply = Reply(parse(data), source, request, final_sent=bool(record.final_status or record.cancelled))
        per_relay = callback_of(record.on_reply, branch.index) or None
        self._guarded(self.runtime.run_reply, request, reply, per_relay, record.script_version, done)

    def run_failure(self, record: Record, done: Callable[[FailureOutcome], None]) -> None:
        """The on_failure handlers, on the best response with the challenges of all."""
        best = best_branch(record)
        assert best is not None
        data = merged(record, best) if best.response else self._failure(record, best)
        request = self._later(record)
        reply = Reply(parse(data), None if best.local else (best.ip, best.port), request)
        code, reason = best.result, REASONS.get(best.result, "")

        def finished(outcome: FailureOutcome) -> None:
            if isinstance(outcome.action, Relay | Fork) and not may_retarget(record):
                after = best.result if best.result >= 600 else f"{MAX_RETARGETS} attempts"
                log.advise(f"on_failure may not try further targets after {after}: the failure is forwarded")
            done(outcome)

        per_relay = record.on_failure or None
        version = record.script_version
        self._guarded(self.runtime.run_failure, request, reply, code, reason, per_relay, version, finished)

    def run_cancel(self, record: Record, done: Callable[[CancelOutcome], None]) -> None:
        """The on_cancel handlers, on the INVITE."""
        request = self._later(record)
        self._guarded(self.runtime.run_cancel, request, record.script_version, done)

    def run_timer(self, function: Callable[..., object], args: tuple[object, ...], done: Callable[[], None]) -> None:
        """The handler of a timer of the script; `done` when it has ended, however."""
        self._guarded(self.runtime.run_function, function, args, lambda _: done())

    def _guarded(self, run: Callable[..., object], *args: object) -> None:
        runtime, watch = self.runtime, self.watch
        errors = runtime.errors
        watch.count(Counter.SCRIPT_RUNS)
        watch.enter()
        try:
            run(*args)
        finally:
            watch.leave()
            if runtime.errors != errors:
                watch.count(Counter.SCRIPT_ERRORS, runtime.errors - errors)

    def _failure(self, record: Record, branch: Branch) -> bytes:
        if branch.response:
            return branch.response
        assert self.env is not None
        return make(Step(record, self.clock(), self.env.timing), self.env, branch.result)

    def _later(self, record: Record) -> Request:
        """The request as the on_request handlers left it: a fresh copy each time (API 4.4)."""
        received = parse(record.request).uri if record.edits else None
        return self._request(record, parse(handler_request(record)), received)

    def _request(self, record: Record, message: SipMessage, received: bytes | None) -> Request:
        return Request(message, self._context(record, received, None))

    def _context(self, record: Record, received: bytes | None, secrets: Fetched | None) -> RequestContext:
        assert self.env is not None
        return context_of(record, self.env.identity, self.settings, self.services, self.clock(), received, secrets)
