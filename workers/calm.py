"""How the supervisor waits after a second in which nobody has done anything: longer, and for the workers' sockets too.

It looks every CALM_TICK instead of every QUIET_TICK, so an idle instance wakes seldom. The first datagram wakes it as
it wakes a worker, and from there on it looks as often as ever. Who becomes busy without a datagram, by a deadline, is
seen after CALM_TICK at the latest.

The sockets are watched only while it waits like this: what watches a socket costs each datagram a little.
"""

import select
import socket
from collections.abc import Callable, Iterable

from workers._turn_cy import wait_quietly

CALM_TICK = 0.25
"""Far below watch.STALL_SECS."""


class Calm:
    """`selector` is the descriptor of the supervisor's own selector, `sockets` are those of all workers."""

    def __init__(self, selector: int, sockets: Iterable[socket.socket]) -> None:
        self.sockets = tuple(sockets)
        self.epoll = select.epoll()
        self.epoll.register(selector, select.EPOLLIN)

    def wait(self, until: float, stirs: tuple[Callable[[], object], ...]) -> float:
        """As wait_quietly()."""
        for sock in self.sockets:
            self.epoll.register(sock, select.EPOLLIN)
        try:
            return wait_quietly(self.epoll.fileno(), CALM_TICK, until, stirs)
        finally:
            for sock in self.sockets:
                self.epoll.unregister(sock)

    def close(self) -> None:
        self.epoll.close()
