"""The order of handlers and what an exception means: one generator a kind of event, driven by siphon/script/driver.py.

Each yields (function, arguments) and is sent the call's exception or None; what it returns is the outcome. Exceptions
are logged here, with their traceback, and counted in `errors`. Reply-time handlers each get a fresh copy of the
request; in on_failure the copy that armed last is the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

from siphon.script import log
from siphon.script._running import Tally
from siphon.script.answering import standard_reason
from siphon.script.checking import checked
from siphon.script.context import RequestContext
from siphon.script.driver import Call, Steps
from siphon.script.finishing import outcome_of
from siphon.script.loader import Script
from siphon.script.near import name_it
from siphon.script.outcome import CancelOutcome, FailureOutcome, Outcome, ReplyOutcome
from siphon.script.phase import Phase
from siphon.script.registry import Handler
from siphon.script.reply import Reply, warn_unhandled
from siphon.script.request import Request

SPARE_BYTES = 4 << 20
_INTERNAL = ("siphon/script/driver.py", "asyncio/tasks.py")


class Dispatch(Tally):
    """The generators."""

    __slots__ = ()

    def request(self, request: Request, handlers: tuple[Handler, ...], script: Script) -> Steps:
        """on_request: in order on the same request; an exception skips the rest and is the outcome."""
        for handler in handlers:
            error = yield handler.function, (request,)
            if error is not None:
                return self.request_ended(request, script, handler.function, error)
        return self.request_ended(request, script)

    def request_ended(
        self,
        request: Request,
        script: Script,
        failed: Callable[..., Any] | None = None,
        error: BaseException | None = None,
    ) -> Outcome:
        """The outcome of on_request when all handlers have returned, or when `failed` has raised `error`."""
        request._close()
        if failed is not None and error is not None:
            return Outcome(error=self._report(error, failed))
        try:
            return outcome_of(request, script.methods if request.method == "OPTIONS" else [])
        except (TypeError, ValueError) as unsuitable:
            return Outcome(error=self._report(unsuitable, "what the handlers left"))

    def reply(self, request: Request, reply: Reply, per_relay: str | None, script: Script) -> Steps:
        """on_reply: the global handlers, then the one given to relay() if they let the response pass."""
        outcome = ReplyOutcome()
        handlers = script.handlers("proxy.on_reply")
        passed = yield from self._let_pass([handler.function for handler in handlers], request, reply, outcome)
        if passed and reply._reject is None:
            function = _callback(script, per_relay)
            if function is not None:
                passed = yield from self._let_pass([function], request, reply, outcome)
        self._put_changes(outcome, request._context)
        outcome.reject = reply._reject
        outcome.passed = passed and reply._reject is None
        outcome.message, outcome.edited = self._edited(reply)
        return outcome

    def _edited(self, reply: Reply) -> tuple[bytes, bool]:
        """The response as the handlers left it; as it came when their edits leave none of this transaction."""
        data, edited = reply._bytes()
        try:
            if edited:
                checked(data, reply._message)
        except ValueError as error:
            self._report(error, "edits of a response")
            return reply._message.raw, False
        return data, edited

    def _let_pass(
        self, functions: list[Callable[..., Any]], request: Request, reply: Reply, outcome: ReplyOutcome
    ) -> Generator[Call, BaseException | None, bool]:
        """Whether these handlers let the response pass; after an exception it passes and a reject() is void."""
        reply._passed = not functions
        for function in functions:
            copy = request._copy(Phase.INERT)
            error = yield function, (copy, reply)
            copy._close()
            error = error or self._unsuitable(request._context)
            if error is not None:
                outcome.error = self._report(error, function)
                reply._reject = None
                return True
        return reply._passed

    def failure(
        self, request: Request, reply: Reply, code: int, reason: str | None, per_relay: str | None, script: Script
    ) -> Steps:
        """on_failure: the one given to relay(); unless it armed something, the global handlers."""
        outcome = FailureOutcome()
        armed: Request | None = None
        function = _callback(script, per_relay) if 400 <= code <= 699 and code != 487 else None
        if function is not None:
            copy = request._copy(Phase.OPEN)
            error = yield function, (copy, code, standard_reason(code) or reason or "")
            copy._close()
            error = error or self._unsuitable(request._context)
            if error is not None:
                self._report(error, function)
            elif copy._action is not None:
                armed = copy
        handlers = () if armed is not None and armed._decides() else script.handlers("proxy.on_failure")
        for handler in handlers:
            copy = request._copy(Phase.OPEN)
            error = yield handler.function, (copy, reply)
            copy._close()
            error = error or self._unsuitable(request._context)
            if error is not None:
                outcome.error = self._report(error, handler.function)
                armed, reply._passed = None, False
                break
            if copy._action is not None:
                armed = copy
        self._put_failure(outcome, reply, armed)
        self._put_changes(outcome, request._context)
        if (handlers or function) and outcome.error is None and outcome.action is None and not outcome.relay_reply:
            warn_unhandled(reply, provisional=outcome.request is not None)
        return outcome

    def _put_failure(self, outcome: FailureOutcome, reply: Reply, armed: Request | None) -> None:
        """The last of reply.relay() and what was armed on a copy of the request wins."""
        if armed is not None and reply._passed and reply._passed_at > armed._armed_at:
            armed = None
        try:
            outcome.request = None if armed is None else outcome_of(armed, [])
        except (TypeError, ValueError) as error:
            outcome.error = self._report(error, "what on_failure left")
        outcome.relay_reply = armed is None and reply._passed
        outcome.reply, outcome.reply_edited = self._edited(reply)

    def cancel(self, request: Request, script: Script) -> Steps:
        """on_cancel: all handlers; nothing they do changes the answer."""
        outcome = CancelOutcome()
        for handler in script.handlers("proxy.on_cancel"):
            copy = request._copy(Phase.INERT)
            error = yield handler.function, (copy,)
            copy._close()
            error = error or self._unsuitable(request._context)
            if error is not None:
                outcome.error = self._report(error, handler.function)
        self._put_changes(outcome, request._context)
        return outcome

    def event(self, handlers: tuple[Handler, ...], args: tuple[Any, ...]) -> Steps:
        """Handlers without a request: registrar.on_change."""
        for handler in handlers:
            yield from self.function(handler.function, args)
        return None

    def function(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Steps:
        """One function without a request: the handler of a timer."""
        error = yield function, args
        if error is not None:
            self._report(error, function)
        return None

    def _unsuitable(self, context: RequestContext) -> Exception | None:
        """What is wrong with `vars` as this handler left it: they go back to what is stored, and it has raised."""
        try:
            context.vars_changes()
        except (TypeError, ValueError) as error:
            context.drop_vars()
            return error
        return None

    def _put_changes(self, outcome: ReplyOutcome | FailureOutcome | CancelOutcome, context: RequestContext) -> None:
        outcome.vars_written, outcome.vars_deleted = context.vars_changes()

    def _report(self, error: BaseException, where: Callable[..., Any] | str) -> BaseException:
        """Log a handler's exception with its traceback, without the frames of this package.

        Raises MemoryError when nothing is left: the process ends, the supervisor says why, and another one runs the
        handlers again.
        """
        self.errors += 1
        self.exhausted |= isinstance(error, MemoryError) and not has_memory()
        if self.exhausted:
            raise MemoryError
        trace: TracebackType | None = error.__traceback__
        while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.endswith(_INTERNAL):
            trace = trace.tb_next
        name = where if isinstance(where, str) else getattr(where, "__qualname__", repr(where))
        name_it(error)
        log.target().exception("script.error", error.with_traceback(trace), handler=name)
        return error


def has_memory() -> bool:
    """Whether the process can still have SPARE_BYTES."""
    try:
        bytearray(SPARE_BYTES)
    except MemoryError:
        return False
    return True


def _callback(script: Script, name: str | None) -> Callable[..., Any] | None:
    """The function of a stored name; one that is gone counts as not given."""
    if not name:
        return None
    function = script.resolve(name)
    if function is None:
        log.advise(f"callback {name} is not in version {script.version} of the script: taken as not given")
    return function
