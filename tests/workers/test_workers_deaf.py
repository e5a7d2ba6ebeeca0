"""An idle process with datagrams waiting and a heart that stands still."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from workers.deaf import DeafWatch


@dataclass
class State:
    pid: int = 7
    generation: int = 1
    heartbeat: float = 10.0
    busy: bool = False
    critical_since: float = 0.0
    in_handler_since: float = 0.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        yield near, far


def test_a_datagram_that_waits_on_one_heartbeat_shows_a_deaf_worker(pair) -> None:
    near, far = pair
    watch = DeafWatch({0: [near]})
    far.send(b"x")
    assert watch.find({0: State()}, 1.0) == []
    assert watch.find({0: State()}, 1.05) == []
    assert watch.find({0: State()}, 1.1) == [0]


def test_a_beat_starts_the_measurement_anew(pair) -> None:
    near, far = pair
    watch = DeafWatch({0: [near]})
    far.send(b"x")
    watch.find({0: State()}, 1.0)
    assert watch.find({0: State(heartbeat=11.0)}, 1.1) == []
    assert watch.find({0: State(heartbeat=11.0)}, 1.25) == [0]


def test_an_empty_socket_a_busy_worker_and_an_empty_slot_are_not_deaf(pair) -> None:
    near, far = pair
    watch = DeafWatch({0: [near]})
    assert watch.find({0: State()}, 1.0) == watch.find({0: State()}, 2.0) == []
    far.send(b"x")
    for state in (State(busy=True), State(pid=0)):
        assert watch.find({0: state}, 3.0) == watch.find({0: state}, 4.0) == []
