"""Runtime: loads script versions and runs their handlers; what the engine talks to.

In: a Request (and Reply) of one event. Out: an Outcome, given to `done`, at once when all handlers finish without
waiting (the call then returns True), else later from the asyncio loop. The order of handlers and what an exception
means are the generators of siphon/script/dispatch.py, one a kind of event. Nothing that a script raises leaves this
module but inside an outcome.

The last two versions stay loaded; an event of a version that is gone runs in the current one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Any

from siphon.config.log import Log
from siphon.script import binding, text
from siphon.script._running import run
from siphon.script.binding import Binding
from siphon.script.context import Services
from siphon.script.dispatch import Dispatch
from siphon.script.driver import Driver, Steps
from siphon.script.loader import Script, load_script
from siphon.script.outcome import CancelOutcome, FailureOutcome, Outcome, ReplyOutcome
from siphon.script.registry import Handler
from siphon.script.reply import Reply
from siphon.script.request import Request
from siphon.script.sources import Source

KEPT_VERSIONS = 2
KEPT_PLANS = 64
Plan = tuple[Script, Binding, tuple[Callable[..., Any], ...]]
"""A script version, its binding and the on_request handlers of a method."""


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
        self.dispatch = Dispatch()
        script = settings.script
        self.driver = Driver(loop, script.handler_stall_abort_secs, script.sync_pool_size, self._note_blocked)
        self._scripts: dict[int, Script] = {}
        self._bindings: dict[int, Binding] = {}
        self.plans: dict[tuple[str, int | None], Plan] = {}
        """What plan() has found, by method and version."""
        self.replies: dict[int | None, bool] = {}
        """What has_reply_handlers() has found, by version."""
        self._current = 0
        self.warnings: list[str] = []
        """What the author of the script that was loaded last should hear."""
        binding.bind(Binding(settings, services, log))

    # -- versions

    def load(
        self, path: Path | None = None, version: int | None = None, sources: Mapping[str, Source] | None = None
    ) -> int:
        """Load the script as `version` (default: the next one) and make it current; ScriptLoadError changes nothing.

        `sources`: what an earlier load has recorded, instead of the files.
        """
        wanted = self._current + 1 if version is None else version
        where = self.settings.script.path if path is None else path
        context = copy_context()
        warnings: list[str] = []
        context.run(binding.enter, Binding(self.settings, self.services, self.log, load_warnings=warnings))
        if self.services.metrics is not None:
            self.services.metrics.begin(wanted)
        script = context.run(load_script, where, self.settings.script.include_paths, wanted, sources)
        self.warnings = warnings + script.doubtful_filters()
        self._keep(script)
        return wanted

    def _keep(self, script: Script) -> None:
        """Make a version current; the last KEPT_VERSIONS stay."""
        self._scripts.pop(script.version, None)
        self._scripts[script.version] = script
        self._current = script.version
        for old in list(self._scripts)[:-KEPT_VERSIONS]:
            del self._scripts[old]
        self._bind()

    def configure(self, settings: Any, services: Services) -> None:
        """Settings and services after a reload of the configuration, for all versions."""
        self.settings, self.services = settings, services
        self.driver.stall_secs = settings.script.handler_stall_abort_secs
        self.driver.use_threads(settings.script.sync_pool_size)
        self._bind()

    def _bind(self) -> None:
        self.plans.clear()
        self.replies.clear()
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

    @property
    def errors(self) -> int:
        """Exceptions of handlers so far."""
        return self.dispatch.errors

    @property
    def exhausted(self) -> bool:
        """Handlers have used up the memory of this process: another one should go on."""
        return self.dispatch.exhausted

    @property
    def blocked(self) -> bool:
        """Handlers that do not return have all threads of this process: another one should go on."""
        return self.dispatch.blocked

    def _note_blocked(self) -> None:
        self.dispatch.blocked = True

    def methods(self, version: int | None = None) -> list[str]:
        """The methods of Allow."""
        return list(self.script(version).methods)

    def handles(self, method: str, version: int | None = None) -> bool:
        """Whether any on_request handler matches; False means 405."""
        return bool(self.plan(method, version)[2])

    def handlers(self, kind: str, version: int | None = None) -> tuple[Handler, ...]:
        """The handlers of a kind, such as "timer.every" or "registrar.on_change"."""
        return self.script(version).handlers(kind)

    def has_reply_handlers(self, version: int | None = None) -> bool:
        """Whether there is a global on_reply handler. Asked for each response."""
        known = self.replies.get(version)
        if known is None:
            known = self.replies[version] = bool(self.handlers("proxy.on_reply", version))
        return known

    def has_failure_handlers(self, version: int | None = None) -> bool:
        """Whether there is a global on_failure handler."""
        return bool(self.handlers("proxy.on_failure", version))

    def has_cancel_handlers(self, version: int | None = None) -> bool:
        """Whether there is an on_cancel handler."""
        return bool(self.handlers("proxy.on_cancel", version))

    # -- running

    def run_request(self, request: Request, version: int | None, done: Callable[[Outcome], None]) -> bool:
        """Run the on_request handlers of the request's method."""
        return run(self, request, self.plan(request.method, version), done)

    def plan(self, method: str, version: int | None) -> Plan:
        """What runs for requests of a method."""
        found = self.plans.get((method, version))
        if found is None:
            script = self.script(version)
            functions = tuple(handler.function for handler in script.request_handlers(method))
            found = script, self._bindings[script.version], functions
            if len(self.plans) < KEPT_PLANS:
                self.plans[method, version] = found
        return found

    def request_steps(self, request: Request, script: Script, place: int) -> Steps:
        """The handlers from that place on."""
        return self.dispatch.request(request, script.request_handlers(request.method)[place:], script)

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
        return self._run(self.dispatch.reply(request, reply, per_relay, script), request, script, done)

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
        return self._run(self.dispatch.failure(request, reply, code, reason, per_relay, script), request, script, done)

    def run_cancel(self, request: Request, version: int | None, done: Callable[[CancelOutcome], None]) -> bool:
        """Run the on_cancel handlers; `request` is the INVITE."""
        script = self.script(version)
        return self._run(self.dispatch.cancel(request, script), request, script, done)

    def run_event(
        self, kind: str, args: tuple[Any, ...], version: int | None = None, done: Callable[[None], None] | None = None
    ) -> bool:
        """Run all handlers of a kind that has no request: timers, registrar.on_change. Exceptions are logged."""
        script = self.script(version)
        steps = self.dispatch.event(script.handlers(kind), args)
        return self.driver.run(steps, self._bound(script), "-", done or (lambda _: None))

    def run_function(self, function: Callable[..., Any], args: tuple[Any, ...], done: Callable[[None], None]) -> bool:
        """Run one function of the current version that has no request: a timer's handler. Exceptions are logged."""
        steps = self.dispatch.function(function, args)
        return self.driver.run(steps, self._bound(self.script()), "-", done)

    def _run(self, steps: Steps, request: Request, script: Script, done: Callable[[Any], None]) -> bool:
        context = request._context
        context.script = script
        return self.driver.run(steps, self._bound(script), text.decode(request._message.call_id or b"-"), done)

    def close(self) -> None:
        """Let go of what the runtime holds."""
        self.driver.close()
