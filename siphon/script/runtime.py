"""Runtime: loads script versions and runs their handlers; what the engine talks to.

In: a Request (and Reply) of one event. Out: an Outcome, given to `done`, at once when all handlers finish without
waiting (the call then returns True), else later from the asyncio loop. The order of handlers and what an exception
means are the generators below, one a kind of event. A handler's exception is logged here, with its traceback, and
handed on in the outcome; nothing that a script raises leaves this module.

The last two versions stay loaded; an event of a version that is gone runs in the current one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import Any

from siphon.config.log import Log
from siphon.script import binding, log, text
from siphon.script.answering import standard_reason
from siphon.script.binding import Binding
from siphon.script.context import RequestContext, Services
from siphon.script.driver import Driver, Steps
from siphon.script.finishing import outcome_of
from siphon.script.loader import Script, load_script
from siphon.script.outcome import CancelOutcome, FailureOutcome, Outcome, ReplyOutcome
from siphon.script.phase import Phase
from siphon.script.registry import Handler
from siphon.script.reply import Reply, warn_unhandled
from siphon.script.request import Request

KEPT_VERSIONS = 2


class Runtime:
    """The scripts of one process."""

    def __init__(
        self,
        settings: Any,
        services: Services,
        loop: asyncio.AbstractEventLoop | None = None,
        log: Log | None = None,  # noqa: A002
    ) -> None:
        self.settings = settings
        self.services = services
        self.log = log
        self.driver = Driver(loop, settings.script.handler_stall_abort_secs, settings.script.sync_pool_size)
        self._scripts: dict[int, Script] = {}
        self._bindings: dict[int, Binding] = {}
        self._current = 0
        binding.bind(Binding(settings, services, log))

    # -- versions

    def load(self, path: Path | None = None, version: int | None = None) -> int:
        """Load the script as `version` (default: the next one) and make it current; ScriptLoadError changes nothing."""
        wanted = self._current + 1 if version is None else version
        where = self.settings.script.path if path is None else path
        context = copy_context()
        context.run(binding.enter, Binding(self.settings, self.services, self.log))
        script = context.run(load_script, where, self.settings.script.include_paths, wanted)
        self._scripts.pop(wanted, None)
        self._scripts[wanted] = script
        self._current = wanted
        for old in list(self._scripts)[:-KEPT_VERSIONS]:
            del self._scripts[old]
        self._bind()
        return wanted

    def configure(self, settings: Any, services: Services) -> None:
        """Settings and services after a reload of the configuration, for all versions."""
        self.settings, self.services = settings, services
        self.driver.stall_secs = settings.script.handler_stall_abort_secs
        self._bind()

    def _bind(self) -> None:
        self._bindings = {
            version: Binding(self.settings, self.services, self.log, script)
            for version, script in self._scripts.items()
        }
        binding.bind(self._bindings.get(self._current) or Binding(self.settings, self.services, self.log))

    @property
    def version(self) -> int:
        """The current version; 0 before the first load."""
        return self._current

    def script(self, version: int | None = None) -> Script:
        """That version if it is still loaded, else the current one."""
        found = self._scripts.get(self._current if version is None else version)
        return found if found is not None else self._scripts[self._current]

    def _bound(self, script: Script) -> Binding:
        return self._bindings[script.version]

    # -- what the engine asks before it builds objects

    @property
    def pending(self) -> int:
        """Events whose handlers await something (`script.executor_queue_capacity`)."""
        return self.driver.pending

    def methods(self, version: int | None = None) -> list[str]:
        """The methods of Allow."""
        return self.script(version).methods()

    def handles(self, method: str, version: int | None = None) -> bool:
        """Whether any on_request handler matches; False means 405."""
        return bool(self.script(version).request_handlers(method))

    def handlers(self, kind: str, version: int | None = None) -> tuple[Handler, ...]:
        """The handlers of a kind, such as "timer.every" or "registrar.on_change"."""
        return self.script(version).handlers(kind)

    def has_reply_handlers(self, version: int | None = None) -> bool:
        """Whether there is a global on_reply handler."""
        return bool(self.handlers("proxy.on_reply", version))

    def has_failure_handlers(self, version: int | None = None) -> bool:
        """Whether there is a global on_failure handler."""
        return bool(self.handlers("proxy.on_failure", version))

    def has_cancel_handlers(self, version: int | None = None) -> bool:
        """Whether there is an on_cancel handler."""
        return bool(self.handlers("proxy.on_cancel", version))

    # -- running

    def run_request(self, request: Request, version: int | None, done: Callable[[Outcome], None]) -> bool:
        """Run the on_request handlers of the request's method."""
        script = self.script(version)
        handlers = script.request_handlers(request._message.method)
        return self._run(_request_steps(request, handlers, script), request, script, done)

    def run_reply(
        self,
        request: Request,
        reply: Reply,
        per_relay: str | None,
        version: int | None,
        done: Callable[[ReplyOutcome], None],
    ) -> bool:
        """Run the global on_reply handlers, then the one given to relay() or fork(), if the response passes."""
        script = self.script(version)
        return self._run(_reply_steps(request, reply, per_relay, script), request, script, done)

    def run_failure(
        self,
        request: Request,
        reply: Reply,
        code: int,
        reason: str | None,
        per_relay: str | None,
        version: int | None,
        done: Callable[[FailureOutcome], None],
    ) -> bool:
        """Run the on_failure given to relay() or fork(); unless it armed something, the global handlers."""
        script = self.script(version)
        return self._run(_failure_steps(request, reply, code, reason, per_relay, script), request, script, done)

    def run_cancel(self, request: Request, version: int | None, done: Callable[[CancelOutcome], None]) -> bool:
        """Run the on_cancel handlers; `request` is the INVITE."""
        script = self.script(version)
        return self._run(_cancel_steps(request, script), request, script, done)

    def run_event(
        self, kind: str, args: tuple[Any, ...], version: int | None = None, done: Callable[[None], None] | None = None
    ) -> bool:
        """Run all handlers of a kind that has no request: timers, registrar.on_change. Exceptions are logged."""
        script = self.script(version)
        steps = _event_steps(script.handlers(kind), args)
        return self.driver.run(steps, self._bound(script), "-", done or (lambda _: None))

    def _run(self, steps: Steps, request: Request, script: Script, done: Callable[[Any], None]) -> bool:
        context = request._context
        context.script = script
        return self.driver.run(steps, self._bound(script), text.decode(request._message.call_id or b"-"), done)

    def close(self) -> None:
        """Let go of what the runtime holds."""
        self.driver.close()


# -- one generator a kind of event


def _request_steps(request: Request, handlers: tuple[Handler, ...], script: Script) -> Steps:
    for handler in handlers:
        error = yield handler.function, (request,)
        if error is not None:
            request._close()
            return Outcome(error=_report(error, handler.function))
    request._close()
    try:
        return outcome_of(request, script.methods() if request.method == "OPTIONS" else [])
    except (TypeError, ValueError) as error:
        return Outcome(error=_report(error, "vars"))


def _reply_steps(request: Request, reply: Reply, per_relay: str | None, script: Script) -> Steps:
    handlers = script.handlers("proxy.on_reply")
    failed: BaseException | None = None
    for handler in handlers:
        copy = request._copy(Phase.INERT)
        failed = yield handler.function, (copy, reply)
        copy._close()
        if failed is not None:
            reply._reject = None
            _report(failed, handler.function)
            break
    passed = failed is not None or not handlers or reply._passed
    function = _callback(script, per_relay) if passed and reply._reject is None else None
    if function is not None:
        reply._passed = False
        copy = request._copy(Phase.INERT)
        error = yield function, (copy, reply)
        copy._close()
        passed = error is not None or reply._passed
        if error is not None:
            reply._reject = None
            failed = _report(error, function)
    outcome = ReplyOutcome(passed=passed and reply._reject is None, reject=reply._reject, error=failed)
    outcome.message, outcome.edited = reply._bytes()
    _put_changes(outcome, request._context)
    if outcome.error is not None and failed is None:  # unsuitable vars count as an exception in the handler
        outcome.passed, outcome.reject = True, None
    return outcome


def _failure_steps(
    request: Request, reply: Reply, code: int, reason: str | None, per_relay: str | None, script: Script
) -> Steps:
    failed: BaseException | None = None
    armed: Request | None = None
    function = _callback(script, per_relay) if 400 <= code <= 699 and code != 487 else None
    if function is not None:
        copy = request._copy(Phase.OPEN)
        failed = yield function, (copy, code, standard_reason(code) or reason or "")
        copy._close()
        if failed is not None:
            _report(failed, function)
        elif copy._action is not None:
            armed = copy
    handlers = script.handlers("proxy.on_failure") if armed is None else ()
    for handler in handlers:
        copy = request._copy(Phase.OPEN)
        error = yield handler.function, (copy, reply)
        copy._close()
        if error is not None:
            armed, reply._passed = None, False
            failed = _report(error, handler.function)
            break
        if copy._action is not None:
            armed = copy
    return _failure_outcome(request._context, reply, armed, failed, bool(handlers or function))


def _failure_outcome(
    context: RequestContext, reply: Reply, armed: Request | None, failed: BaseException | None, ran: bool
) -> FailureOutcome:
    if armed is not None and reply._passed and reply._passed_at > armed._armed_at:
        armed = None
    outcome = FailureOutcome(relay_reply=armed is None and reply._passed, error=failed)
    outcome.reply, outcome.reply_edited = reply._bytes()
    try:
        outcome.request = None if armed is None else outcome_of(armed, [])
    except (TypeError, ValueError):
        outcome.request = None  # the vars, which are reported below
    _put_changes(outcome, context)
    if ran and outcome.error is None and outcome.request is None and not outcome.relay_reply:
        warn_unhandled(reply)
    return outcome


def _cancel_steps(request: Request, script: Script) -> Steps:
    outcome = CancelOutcome()
    for handler in script.handlers("proxy.on_cancel"):
        copy = request._copy(Phase.INERT)
        error = yield handler.function, (copy,)
        copy._close()
        if error is not None:
            outcome.error = _report(error, handler.function)
    _put_changes(outcome, request._context)
    return outcome


def _event_steps(handlers: tuple[Handler, ...], args: tuple[Any, ...]) -> Steps:
    for handler in handlers:
        error = yield handler.function, args
        if error is not None:
            _report(error, handler.function)
    return None


def _callback(script: Script, name: str | None) -> Callable[..., Any] | None:
    """The function of a stored name; one that is gone counts as not given."""
    if not name:
        return None
    function = script.resolve(name)
    if function is None:
        log.warn(f"callback {name} is not in version {script.version} of the script: taken as not given")
    return function


def _put_changes(outcome: ReplyOutcome | FailureOutcome | CancelOutcome, context: RequestContext) -> None:
    """The keys written to vars; when they are unsuitable none are, and the handler counts as having raised."""
    try:
        limit = None if context.settings is None else context.settings.shared.vars_bytes
        outcome.vars_written, outcome.vars_deleted = context.vars_changes(limit)
    except (TypeError, ValueError) as error:
        outcome.error = _report(error, "vars")


def _report(error: BaseException, where: Callable[..., Any] | str) -> BaseException:
    """Log a handler's exception with its traceback, without the frames of this package."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.endswith(_INTERNAL):
        trace = trace.tb_next
    name = where if isinstance(where, str) else getattr(where, "__qualname__", repr(where))
    log.target().exception("script.error", error.with_traceback(trace), handler=name)
    return error


_INTERNAL = ("siphon/script/driver.py", "asyncio/tasks.py")
