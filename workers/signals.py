"""Signals to the supervisor, delivered between the turns of its loop: a handler only enqueues."""

import selectors
import signal
import socket
from collections.abc import Callable
from types import FrameType

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)


class Signals:
    """From here until give_back(), each signal of NUMBERS calls `deliver(number)` when the selector says so."""

    def __init__(self, selector: selectors.BaseSelector, deliver: Callable[[int], None]) -> None:
        self.deliver = deliver
        self.reading, self.writing = socket.socketpair()
        self.reading.setblocking(False)
        self.writing.setblocking(False)
        selector.register(self.reading, selectors.EVENT_READ, self.read)
        self.old_wakeup = signal.set_wakeup_fd(self.writing.fileno(), warn_on_full_buffer=False)
        self.old_handlers = {number: signal.signal(number, enqueue_only) for number in NUMBERS}

    def read(self) -> None:
        for number in self.reading.recv(4096):
            self.deliver(number)

    def close(self) -> None:
        """After fork: the child has set its own handlers."""
        self.reading.close()
        self.writing.close()

    def give_back(self) -> None:
        for number, handler in self.old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self.old_wakeup)
        self.close()


def enqueue_only(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has the number already; the work is done in the loop."""
