"""Reload: `validate()` runs in a scratch process; if it succeeds, its payload is sent to every process, else to none.

    start()     a scratch process is forked                                   progress.begun + 1
    follow()    it has ended: refused, or the payload goes to every process
    switched()  one process has switched, or could not, or died and has begun anew with the payload
    end()       all have, or SWITCH_SECS are over                             progress.ended + 1

One at a time: who asks while one runs gets another one after it. So whoever reads `progress`, asks, and waits until one
reload more than had begun has ended, knows what came of a reload that began after he asked.
"""

from collections.abc import Callable
from dataclasses import replace

from workers.children import Child, Children
from workers.control import Message
from workers.options import Options, Progress
from workers.scratch import Scratch

SWITCH_SECS = 10.0
"""A process that has not switched by then is inside a handler or stuck; it switches when it comes out."""


class Reload:
    """`after_fork` closes in the scratch process what only the supervisor uses."""

    def __init__(self, children: Children, options: Options, after_fork: Callable[[], None]) -> None:
        self.children = children
        self.options = options
        self.after_fork = after_fork
        self.log = options.log
        self.progress = Progress()
        self.scratch: Scratch | None = None
        self.waiting: dict[int, str] = {}
        """Names of those that have not switched yet, by slot."""
        self.failures: list[str] = []
        self.deadline = 0.0
        self.wanted_again = False
        children.switched = self.switched

    @property
    def runs(self) -> bool:
        return self.progress.begun != self.progress.ended

    def start(self) -> None:
        if self.options.validate is None:
            self.log("warning", "nothing to reload")
        elif self.runs:
            self.wanted_again = True
        else:
            self.options.notifier.reloading()
            self.begin()
            self.scratch = Scratch(self.options.validate, self.after_fork, f"{self.options.program}: reload check")

    def refuse(self, why: str) -> None:
        """Instead of start()."""
        if not self.runs:
            self.begin()
            self.end(why)

    def follow(self, now: float, may_go_on: bool) -> None:
        """Once a tick. `may_go_on`: the next one, if it was asked for, may begin."""
        if self.scratch is not None and self.scratch.finished(now):
            self.conclude(now)
        if self.runs and self.scratch is None and (not self.waiting or now > self.deadline):
            self.report_switch()
        if self.wanted_again and not self.runs:
            self.wanted_again = False
            if may_go_on:
                self.start()
            else:
                self.refuse(STOPPING)

    def begin(self) -> None:
        self.report(replace(self.progress, begun=self.progress.begun + 1))

    def conclude(self, now: float) -> None:
        """The scratch process has ended."""
        assert self.scratch is not None
        scratch, self.scratch = self.scratch, None
        scratch.close()
        if scratch.error:
            self.log("error", "reload refused, nothing has changed", error=scratch.error)
            self.end(scratch.error)
            self.options.notifier.ready()
        else:
            self.deadline = now + SWITCH_SECS
            self.switch(scratch.payload)

    def switch(self, payload: bytes) -> None:
        self.children.payload = payload
        self.options.accepted(payload)
        for child in self.children:
            child.watch.handler_stall_secs = self.options.limits.handler_stall_abort_secs
        self.waiting, self.failures = {}, []
        for child in self.children:
            if child.pid and child.tell(Message.RELOAD, payload):
                self.waiting[child.slot] = child.name
            elif child.pid:
                self.failures.append(f"{child.name} could not be told")
                self.log("error", f"{child.name} could not be told to reload", pid=child.pid)
        self.children.hire()

    def switched(self, child: Child, error: str) -> None:
        if self.waiting.pop(child.slot, None) is not None and error:
            self.failures.append(f"{child.name} could not switch: {error}")

    def report_switch(self) -> None:
        """All have switched, or their time is over."""
        late = [f"{name} has not switched yet" for name in self.waiting.values()]
        problems = "; ".join([*self.failures, *late])
        self.waiting = {}
        if problems:
            self.log("error", "reloaded, but not in all processes", error=problems)
        else:
            self.log("info", "reloaded")
        self.end(problems and f"reloaded, but not in all processes: {problems}")
        self.options.notifier.ready()

    def end(self, error: str) -> None:
        self.report(Progress(self.progress.begun, self.progress.begun, error))

    def report(self, progress: Progress) -> None:
        self.progress = progress
        self.options.reloading(progress)

    def reap(self) -> None:
        if self.scratch is not None:
            self.scratch.reap()

    def forget(self) -> None:
        """After fork."""
        if self.scratch is not None:
            self.scratch.forget()

    def close(self) -> None:
        if self.scratch is not None:
            self.scratch.close()


STOPPING = "siphond is about to stop"
