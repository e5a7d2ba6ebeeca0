"""Stops a process exactly before or after a system call, by ptrace(2), and kills it there or holds it.

A worker's calls are its seams: `recvmmsg` has returned - a datagram is read and nothing of it is committed; `sendmmsg`
begins - the commit is made, its record is locked, nothing has left; `sendmmsg` has returned - its datagrams have left
and the lock is still held. siphond itself knows nothing of this: no hook, no test build.

    with Tracer(pid, "sendmmsg", "before") as tracer:
        ...                     # what makes the process send
        tracer.caught()         # it is dead now, or held

The whole tracing is done in one thread, since the kernel obeys only the one that has begun it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import threading
from contextlib import suppress

SEIZE, INTERRUPT, SYSCALL, DETACH, SYSCALL_INFO = 0x4206, 0x4207, 24, 17, 0x420E
SYSGOOD, WALL = 1, 0x40000000
ENTERED, LEFT = 1, 2
NUMBERS = {
    "x86_64": {"recvmmsg": 299, "sendmmsg": 307},
    "aarch64": {"recvmmsg": 243, "sendmmsg": 269},
}[platform.machine()]

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int | None = None, data: int | None = None) -> int:
    done: int = libc.ptrace(request, pid, address, data)
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return done


class Missed(AssertionError):
    """The process did not make the call in time; another one may have done its work."""


class Tracer:
    """`moment` is "before" or "after" the call; a call that fails is not one. `hold`: it stays there until the end of
    the context, or until somebody kills it; otherwise it is killed at once."""

    def __init__(self, pid: int, call: str, moment: str, *, hold: bool = False) -> None:
        self.pid = pid
        self.number = NUMBERS[call]
        self.moment = moment
        self.hold = hold
        self.following = threading.Event()
        self.hit = threading.Event()
        self.release = threading.Event()
        self.reached = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Tracer:
        self.thread.start()
        assert self.following.wait(30)
        assert self.error is None, self.error
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        if not self.hit.is_set():  # the thread waits for the process: let it see one more stop
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
        self.thread.join(30)
        assert self.error is None, self.error

    def caught(self, seconds: float = 5) -> None:
        """Returns when the process is where it was to be; Missed when it does not come there."""
        if not self.hit.wait(seconds) or not (self.reached or self.error):
            raise Missed(f"process {self.pid} did not come to its system call")
        assert self.error is None, self.error

    # --- in the thread

    def _run(self) -> None:
        try:
            ptrace(SEIZE, self.pid, None, SYSGOOD)
            ptrace(INTERRUPT, self.pid)
            self._follow()
        except BaseException as error:
            self.error = error
        finally:
            self.following.set()
            self.hit.set()

    def _follow(self) -> None:
        entered = -1
        while True:
            _, status = os.waitpid(self.pid, WALL)
            if not os.WIFSTOPPED(status):
                return
            stop, event = os.WSTOPSIG(status), status >> 16
            self.following.set()
            if self.release.is_set():
                ptrace(DETACH, self.pid)
                return
            if stop == signal.SIGTRAP | 0x80:
                kind, word = self._call()
                if kind == ENTERED:
                    entered = word
                if entered == self.number and self._is_it(kind, word):
                    self._end()
                    return
            ptrace(SYSCALL, self.pid, None, 0 if event or stop == signal.SIGTRAP | 0x80 else stop)

    def _call(self) -> tuple[int, int]:
        """Entered and the call's number, or left and its result."""
        buffer = ctypes.create_string_buffer(88)
        ptrace(SYSCALL_INFO, self.pid, len(buffer), ctypes.addressof(buffer))
        return buffer.raw[0], struct.unpack_from("=q", buffer.raw, 24)[0]

    def _is_it(self, kind: int, word: int) -> bool:
        return kind == ENTERED if self.moment == "before" else kind == LEFT and word > 0

    def _end(self) -> None:
        self.reached = True
        if not self.hold:
            os.kill(self.pid, signal.SIGKILL)
        self.hit.set()
        while not self._has_ended():  # its parent learns of a death only after its tracer
            if self.release.wait(0.005):
                with suppress(OSError):
                    ptrace(DETACH, self.pid)
                return

    def _has_ended(self) -> bool:
        try:
            pid, status = os.waitpid(self.pid, WALL | os.WNOHANG)
        except ChildProcessError:
            return True
        return bool(pid) and not os.WIFSTOPPED(status)
