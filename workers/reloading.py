"""Reload: `validate()` runs in a scratch process; if it succeeds, its payload is sent to every process, else to none.

One at a time: who asks while one runs gets another one after it.
"""

from collections.abc import Callable

from workers.children import Children
from workers.control import Message
from workers.options import Options
from workers.scratch import Scratch


class Reload:
    """`after_fork` closes in the scratch process what only the supervisor uses."""

    def __init__(self, children: Children, options: Options, after_fork: Callable[[], None]) -> None:
        self.children = children
        self.options = options
        self.after_fork = after_fork
        self.log = options.log
        self.scratch: Scratch | None = None
        self.wanted_again = False

    @property
    def runs(self) -> bool:
        return self.scratch is not None

    def start(self) -> None:
        if self.options.validate is None:
            self.log("warning", "nothing to reload")
        elif self.scratch is not None:
            self.wanted_again = True
        else:
            self.options.notifier.reloading()
            self.scratch = Scratch(self.options.validate, self.after_fork, f"{self.options.program}: reload check")

    def follow(self, now: float, may_go_on: bool) -> None:
        """Once a tick. `may_go_on`: the next one, if it was asked for, may begin."""
        if self.scratch is None or not self.scratch.finished(now):
            return
        scratch, self.scratch = self.scratch, None
        scratch.close()
        if scratch.error:
            self.log("error", "reload refused, nothing has changed", error=scratch.error)
        else:
            self.switch(scratch.payload)
        self.options.notifier.ready()
        if self.wanted_again:
            self.wanted_again = False
            if may_go_on:
                self.start()

    def switch(self, payload: bytes) -> None:
        self.children.payload = payload
        self.options.accepted(payload)
        for child in self.children:
            if child.pid and not child.tell(Message.RELOAD, payload):
                self.log("error", f"{child.name} could not be told to reload", pid=child.pid)
        self.children.hire()
        self.log("info", "reloaded")

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
