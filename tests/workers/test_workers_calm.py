"""The supervisor's longer wait, while nobody has done anything for a second."""

import select
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.calm import CALM_TICK, Calm

LONG = 30.0
"""More than a test may wait for what should come at once."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        yield near, far


@pytest.fixture
def selector() -> Iterator[selectors.EpollSelector]:
    with selectors.EpollSelector() as made:
        yield made


@pytest.fixture
def calm(selector, pair) -> Iterator[Calm]:
    made = Calm(selector.fileno(), [pair[0]], 0.01)
    yield made
    made.close()


def watched(calm: Calm) -> int:
    """Descriptors in its epoll."""
    return Path(f"/proc/self/fdinfo/{calm.epoll.fileno()}").read_text().count("tfd:")


def test_a_datagram_for_a_worker_ends_it_at_once(calm, pair) -> None:
    began = time.monotonic()
    threading.Timer(0.05, pair[1].send, [b"x"]).start()
    calm.wait(began + LONG, ())
    assert time.monotonic() - began < LONG


def test_what_the_supervisor_waits_for_ends_it_too(calm, selector) -> None:
    near, far = socket.socketpair()
    with near, far:
        selector.register(near, selectors.EVENT_READ)
        began = time.monotonic()
        threading.Timer(0.05, far.send, [b"x"]).start()
        calm.wait(began + LONG, ())
        assert time.monotonic() - began < LONG and selector.select(0)
        selector.unregister(near)


def test_who_is_busy_without_a_datagram_is_seen_at_the_next_look(calm) -> None:
    looks: list[float] = []

    def stirs() -> bool:
        looks.append(time.monotonic())
        return len(looks) == 3

    began = time.monotonic()
    longest = calm.wait(began + LONG, (stirs,))
    assert len(looks) == 3 and looks[-1] - began >= 2.9 * CALM_TICK and longest >= 0.9 * CALM_TICK


def test_it_ends_in_time_and_watches_the_sockets_no_longer(calm, pair) -> None:
    during: list[int] = []
    for _ in range(20):  # a wait that was late as a whole has not looked
        until = time.monotonic() + 1.5 * CALM_TICK
        calm.wait(until, (lambda: during.append(watched(calm)),))
        assert time.monotonic() >= until
        if during:
            break
    assert during[0] == 2 and watched(calm) == 1, "the selector is left"


def test_where_the_sockets_cannot_be_watched_it_looks_more_often(calm, pair) -> None:
    """As where the kernel's watches of the user are used up."""
    calm.epoll.register(pair[0], select.EPOLLIN)
    looks: list[float] = []
    began = time.monotonic()
    longest = calm.wait(began + LONG, (lambda: looks.append(time.monotonic()) or len(looks) == 3,))
    assert len(looks) == 3 and longest < LONG and watched(calm) == 2, "what it could not register it leaves alone"
