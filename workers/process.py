"""What a forked process does before anything else, and how it ends.

Runs after fork: signals of the supervisor are put off, SIGABRT writes the stack, the kernel ends the process when the
supervisor dies, random generators get a seed of their own. Nothing of the supervisor's exit handlers ever runs in a
child.
"""

import ctypes
import faulthandler
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

import setproctitle

PR_SET_PDEATHSIG = 1
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
CRASHED = 70
OUT_OF_MEMORY = 12
"""Exit status, ENOMEM."""
BLOCKED = 35
"""Exit status, EDEADLK."""

libc = ctypes.CDLL(None, use_errno=True)


def set_title(text: str) -> None:
    setproctitle.setproctitle(text)


def fork(body: Callable[[], int]) -> int:
    """Forks; the child runs body() and exits with its result. Signals wait until the child ignores them."""
    supervisor = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*IGNORED, signal.SIGCHLD))
    try:
        pid = os.fork()
        if pid == 0:
            run_child(body, supervisor, before)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_child(body: Callable[[], int], supervisor: int, mask: set[signal.Signals | int] | set[int]) -> None:
    status = CRASHED
    try:
        become_child(supervisor)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = body()
    except MemoryError:
        status = OUT_OF_MEMORY  # nothing more can be said here; the supervisor's log says it
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def become_child(supervisor: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with(supervisor)
    with suppress(Exception):  # no stderr, or one that is no file
        faulthandler.enable()
    random.seed()


def die_with(supervisor: int) -> None:
    """SIGKILL when the supervisor ends: a worker owns nothing that it cannot lose, and a stuck one must go too."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(CRASHED)
