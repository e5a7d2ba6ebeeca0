"""Runs handlers one after the other, sync or async, and goes on when one that awaits has finished.

What is to be run is a generator that yields (handler function, arguments) and is sent the exception of the call or
None; its return value is what `done` gets. So the order of handlers and what an error means stand in one place each, in
siphon/script/runtime.py, and this module knows neither.

Everything runs in contexts in which the Call-ID and the binding are set, a copy for each call: whatever a handler does
to context variables, the next datagram meets a clean worker. A coroutine is driven once, at once; a Task that is
finished by that never reaches the loop. One that suspends stays with the loop and the worker goes on; it is cancelled
after `script.handler_stall_abort_secs`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

from siphon.config.log import CALL_ID
from siphon.script import binding

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Steps = Generator[Call, BaseException | None, Any]
Done = Callable[[Any], None]


class HandlerTimeout(TimeoutError):
    """A handler that awaits, or one in a thread, took longer than `script.handler_stall_abort_secs`."""


class Driver:
    """Drives handlers of one process. `loop` None: a handler that suspends has failed. `blocked` is called when every
    thread is in a handler that was given up: a thread cannot be ended, so only another process goes on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        stall_secs: float,
        threads: int = 0,
        blocked: Callable[[], None] = lambda: None,
    ) -> None:
        self.loop = loop
        self.stall_secs = stall_secs
        self._blocked = blocked
        self._stuck: set[Future[Any]] = set()
        """What was given up and has not returned."""
        self.pending = 0
        """Runs that wait for an awaiting handler."""
        self._threads = 0
        self._pool: ThreadPoolExecutor | None = None
        self.threaded = False
        """Whether plain functions run in threads."""
        self.use_threads(threads)

    def use_threads(self, count: int) -> None:
        """Run plain functions in so many threads from now on; 0: in none. Those that run end where they are."""
        if self.loop is None or count == self._threads:
            return
        before, self._threads = self._pool, count
        self._stuck = set()
        self._pool = ThreadPoolExecutor(count, "handler") if count else None
        self.threaded = self._pool is not None
        if before is not None:
            before.shutdown(wait=False)

    def run(self, steps: Steps, bound: binding.Binding, call_id: str, done: Done) -> bool:
        """Run all steps; True when `done` has been called already, else it is called from the loop later."""
        context = copy_context()
        context.run(_enter, bound, call_id)
        return _Run(self, steps, context, done).resume(None)

    def go_on(self, steps: Steps, context: Context, done: Done) -> bool:
        """As `run`, in a context in which Call-ID and binding are set."""
        return _Run(self, steps, context, done).resume(None)

    def go_on_from(self, awaitable: Any, own: Context, steps: Steps, context: Context, done: Done) -> bool:
        """The same where the first step's function has been called already, in `own`, and has given an awaitable."""
        return _Run(self, steps, context, done).begun(awaitable, own)

    def give_up(self, work: Future[Any]) -> None:
        """Nobody waits any more for what runs in a thread."""
        stuck = self._stuck
        stuck.add(work)
        work.add_done_callback(stuck.discard)
        if len(stuck) >= self._threads:
            self._blocked()

    def close(self) -> None:
        """Let go of the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def start(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> asyncio.Task[Any]:
        """A task whose first step has been taken; done already when that was its only one."""
        loop = self.loop
        assert loop is not None
        if asyncio.current_task(loop) is not None:
            return loop.create_task(coroutine, context=context)
        first: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

        def take(callback: Callable[..., Any], *args: Any, context: Context | None = None) -> None:
            first.append((callback, args))

        loop.call_soon = take  # type: ignore[method-assign,assignment]
        try:
            task = asyncio.Task(coroutine, loop=loop, context=context)
        finally:
            del loop.call_soon
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(loop)
        try:
            for callback, args in first:
                context.run(callback, *args)
        except SystemExit:
            task.exception()  # told as what the handler raised; asyncio need not tell it again
            raise
        finally:
            asyncio._set_running_loop(running)
        return task


class _Run:
    """One generator of steps on its way."""

    __slots__ = ("_context", "_done", "_driver", "_steps", "_work")

    def __init__(self, driver: Driver, steps: Steps, context: Context, done: Done) -> None:
        """`context` is where the steps run: Call-ID and binding are set there."""
        self._driver = driver
        self._steps = steps
        self._context = context
        self._done = done
        self._work: Future[Any] | None = None
        """The handler that was given to a thread last."""

    def resume(self, error: BaseException | None) -> bool:
        """Take steps until one suspends (False) or all are done (True)."""
        while True:
            try:
                function, args = self._context.run(self._steps.send, error)
            except StopIteration as stop:
                self._done(stop.value)
                return True
            task, error = self._call(function, args)
            if task is not None:
                if not task.done():
                    self._wait(task)
                    return False
                error = _error_of(task)

    def begun(self, awaitable: Any, context: Context) -> bool:
        """Go on where the first step's function has been called already, in `context`, and has given an awaitable."""
        self._context.run(next, self._steps)
        try:
            task, error = self._drive(awaitable, context)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:
            task, error = None, raised
        if task is not None:
            if not task.done():
                self._wait(task)
                return False
            error = _error_of(task)
        return self.resume(error)

    def _call(
        self, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[asyncio.Task[Any] | None, BaseException | None]:
        """Call one handler: (None, its error) or (a task, None)."""
        context = self._context.copy()
        try:
            pool = self._driver._pool
            if pool is not None and not inspect.iscoroutinefunction(function):
                result: Any = self._in_pool(pool, function, args)
            else:
                result = context.run(function, *args)
            if result is None or not inspect.isawaitable(result):
                return None, None
            return self._drive(result, context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit of a script must not end the worker
            return None, error

    def _drive(self, awaitable: Any, context: Context) -> tuple[asyncio.Task[Any] | None, BaseException | None]:
        """The first step of what a handler gave: as `_call`."""
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _awaited(awaitable)
        if self._driver.loop is None:
            return None, context.run(_drive_once, coroutine)
        return self._driver.start(coroutine, context), None

    async def _in_pool(self, pool: ThreadPoolExecutor, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._work = pool.submit(self._context.copy().run, function, *args)
        result = await asyncio.wrap_future(self._work)
        self._work = None
        if inspect.isawaitable(result):
            await result

    def _wait(self, task: asyncio.Task[Any]) -> None:
        """Go on when the task has ended. One that awaits too long is cancelled and has raised, whatever it makes of
        that: nobody waits for a handler that does not let itself be cancelled."""
        driver = self._driver
        assert driver.loop is not None
        driver.pending += 1
        given_up = False

        def finished(task: asyncio.Task[Any]) -> None:
            error = _error_of(task)  # asked also for nothing, or asyncio would complain that nobody did
            if not given_up:
                timer.cancel()
                driver.pending -= 1
                self.resume(error)

        def stalled() -> None:
            nonlocal given_up
            error = HandlerTimeout(f"{self._what_waits()} {driver.stall_secs:g} s")
            work = self._work
            if task.cancel():  # else it has just ended
                given_up = True
                driver.pending -= 1
                if work is not None and not work.cancel():
                    driver.give_up(work)
                self.resume(error)

        timer = driver.loop.call_later(driver.stall_secs, stalled)
        task.add_done_callback(finished)

    def _what_waits(self) -> str:
        if self._work is None:
            return "an async handler awaited longer than"
        if self._work.running():
            return "a handler in a thread has not returned for"
        return "no thread (script.sync_pool_size) was free for"


def _enter(bound: binding.Binding, call_id: str) -> None:
    CALL_ID.set(call_id)
    binding.enter(bound)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _drive_once(coroutine: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Without a loop a coroutine must finish at its first step."""
    try:
        coroutine.send(None)
    except StopIteration:
        return None
    finally:
        coroutine.close()
    return RuntimeError("this process has no asyncio loop: the handler must not await anything that waits")
