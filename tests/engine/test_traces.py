"""Traces of one process: who listens, who does not read, who has gone."""

import asyncio
import json
import os
import socket
import time
from contextlib import ExitStack

import pytest

from siphon.config.log import Log
from siphon.engine.taps import Taps
from siphon.engine.traces import MOST, PREFIX, TRACING, Traces

MESSAGE = b"OPTIONS sip:example.com SIP/2.0\r\nCall-ID: one\r\n\r\n"
HERE, THERE = ("192.0.2.1", 5060), ("198.51.100.2", 5070)


class Flags:
    """A slot table's flags."""

    flags = TRACING

    def lower_flags(self, flags):
        self.flags &= ~flags


class World:
    def __init__(self, place, stack):
        self.place, self.stack = place, stack
        self.loop = asyncio.new_event_loop()
        stack.callback(self.loop.close)
        self.told = []
        self.taps = Taps(None, lambda listener, peer: "", self.told.append)
        self.traces = Traces(place, "w1", self.taps, self.loop, lambda aor: [], Log("info", "json", "stdout"))
        self.flags = Flags()

    def listen(self, name="a", wanted="one"):
        """A siphonctl, connected and told."""
        made = self.connected(name)
        made.send(json.dumps({"wanted": wanted}).encode())
        self.turn()
        made.settimeout(10)
        assert json.loads(made.recv(4096))["process"] == "w1"
        return made

    def connected(self, name="a"):
        os.chdir(self.place)
        listener = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(PREFIX + name)
        listener.listen()
        self.traces.look(self.flags)
        listener.settimeout(10)
        return self.stack.enter_context(listener.accept()[0])

    def turn(self):
        self.loop.call_later(0.01, self.loop.stop)
        self.loop.run_forever()

    def copy(self, data=MESSAGE):
        for sink in self.taps._sinks:
            sink.copy(data, HERE, THERE, 1_800_000_000.5, incoming=True)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        made = World(tmp_path, stack)
        yield made
        for trace in [*made.traces.open.values()]:
            trace._close()


def test_without_a_trace_no_message_is_looked_at_and_the_directory_neither(world):
    world.flags.flags = 0
    (world.place / f"{PREFIX}x").touch()
    world.traces.look(world.flags)
    assert world.told == []


def test_a_process_says_that_it_traces_once_it_knows_what(world):
    one = world.connected()
    one.setblocking(False)
    world.copy()
    with pytest.raises(BlockingIOError):
        one.recv(4096)
    one.send(json.dumps({"wanted": "one"}).encode())
    world.turn()
    world.copy()
    assert json.loads(one.recv(4096))["process"] == "w1"
    assert one.recv(4096).endswith(MESSAGE)


def test_messages_come_with_their_facts_and_as_they_were(world):
    one = world.listen()
    assert world.told == [world.taps]
    world.copy()
    world.copy(MESSAGE.replace(b"one", b"two"))
    head, _, data = one.recv(4096).partition(b"\n")
    facts = {"time": 1_800_000_000.5, "direction": "in", "source": [*HERE], "destination": [*THERE], "dropped": 0}
    assert (json.loads(head), data) == (facts, MESSAGE)
    one.send(json.dumps({"call_id": "two"}).encode())
    world.turn()
    world.copy(MESSAGE.replace(b"one", b"two"))
    assert b"Call-ID: two" in one.recv(4096)


def test_who_does_not_read_misses_messages_and_is_told_how_many(world):
    one = world.listen()
    began = time.process_time()
    for _ in range(20_000):
        world.copy()
    assert time.process_time() - began < 10
    one.setblocking(False)
    got = 0
    while True:
        try:
            one.recv(4096)
        except BlockingIOError:
            break
        got += 1
    world.copy()
    assert 0 < got < 20_000
    assert json.loads(one.recv(4096).partition(b"\n")[0])["dropped"] == 20_000 - got


def test_a_trace_ends_when_nobody_listens_and_what_a_killed_one_has_left_is_removed(world):
    one = world.listen()
    one.close()
    world.turn()
    assert world.traces.open == {} and world.told == [world.taps, None]
    world.stack.close()  # the listener as well: the file stays
    assert (world.place / f"{PREFIX}a").exists()
    world.traces.look(world.flags)
    assert not (world.place / f"{PREFIX}a").exists() and world.traces.open == {}
    world.traces.look(world.flags)
    assert world.flags.flags == 0


def test_traces_are_bounded(world):
    for number in range(MOST):
        world.listen(str(number))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as further:
        further.bind(f"{PREFIX}z")
        further.listen()
        world.traces.look(world.flags)
        assert len(world.traces.open) == MOST
