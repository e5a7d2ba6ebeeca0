"""Runs one function in a throw-away process and fetches its result: what it breaks, it breaks there.

The result comes through a pipe that the supervisor reads in its own loop without waiting: one byte for success or
failure, then the payload or the text of the error. A process that takes longer than LIMIT_SECS is killed and counts
as failed.
"""

import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from workers.process import fork, set_title

LIMIT_SECS = 30.0


class Refused(Exception):
    """Raised by the function where its text says all there is to say: no traceback is printed."""


class Scratch:
    def __init__(self, function: Callable[[], bytes], after_fork: Callable[[], None], title: str) -> None:
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.deadline = time.monotonic() + LIMIT_SECS
        self.chunks: list[bytes] = []
        self.payload = b""
        self.error = ""
        self.pid = fork(lambda: answer(function, after_fork, writing, title))
        os.close(writing)

    def finished(self, now: float) -> bool:
        """True once `payload` or `error` is known."""
        if now > self.deadline:
            self.error = f"no result within {LIMIT_SECS:.0f} s"
            return True
        with suppress(BlockingIOError):
            while chunk := os.read(self.reading, 65536):
                self.chunks.append(chunk)
            self.conclude(b"".join(self.chunks))
            return True
        return False

    def conclude(self, result: bytes) -> None:
        if result[:1] == b"\x00":
            self.payload = result[1:]
        else:
            self.error = result[1:].decode(errors="replace") or "the checking process died"

    def reap(self) -> None:
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0

    def forget(self) -> None:
        """Closes the pipe only: also what a process does that was forked meanwhile."""
        if self.reading >= 0:
            os.close(self.reading)
            self.reading = -1

    def close(self) -> None:
        self.forget()
        if self.pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = 0


def answer(function: Callable[[], bytes], after_fork: Callable[[], None], writing: int, title: str) -> int:
    set_title(title)
    after_fork()
    try:
        result = b"\x00" + function()
    except Refused as error:
        result = b"\x01" + str(error).encode()
    except BaseException as error:
        traceback.print_exc()
        result = b"\x01" + (str(error) or type(error).__name__).encode()
    while result:
        result = result[os.write(writing, result) :]
    return 0
