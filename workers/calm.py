"""How the supervisor waits after a second in which nobody has done anything: longer, and for the workers' sockets too.

It looks every CALM_TICK instead of every QUIET_TICK, so an idle instance wakes seldom. The first datagram wakes it as
it wakes a worker, and from there on it looks as often as ever. Who becomes busy without a datagram, by a deadline, is
seen after CALM_TICK at the latest.

The sockets are watched only while it waits like this: what watches a socket costs each datagram a little.
"""

import select
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from workers._turn_cy import wait_quietly

CALM_TICK = 0.25
"""Far below watch.STALL_SECS."""


class Calm:
    """`selector` is the descriptor of the supervisor's own selector, `sockets` are those of all workers; `quiet_tick`
    is how often it looks, in seconds, where they cannot be watched."""

    def __init__(self, selector: int, sockets: Iterable[socket.socket], quiet_tick: float) -> None:
        self.quiet_tick = quiet_tick
        self.sockets = tuple(sockets)
        self.epoll = select.epoll()
        self.epoll.register(selector, select.EPOLLIN)

    def wait(self, until: float, stirs: tuple[Callable[[], object], ...]) -> float:
        """As wait_quietly()."""
        with ExitStack() as watched:
            try:
                for sock in self.sockets:
                    self.epoll.register(sock, select.EPOLLIN)
                    watched.callback(self.epoll.unregister, sock)
            except OSError:  # the user's watches are used up: without them it looks as often as ever
                return wait_quietly(self.epoll.fileno(), self.quiet_tick, until, stirs)
            return wait_quietly(self.epoll.fileno(), CALM_TICK, until, stirs)

    def close(self) -> None:
        self.epoll.close()
