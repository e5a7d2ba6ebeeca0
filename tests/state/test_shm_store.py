"""ShmStore over a table and an outbox of real sockets: what is sent is what a committed record explains, no more."""

import ctypes
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager

import pytest

from shm.table import Action, SlotTaken, Table
from siphon.state.shm_store import ShmStore
from siphon.state.store import CONFLICT, FULL, Busy, Commit, Loaded, Send
from workers.net import Outbox

KEY = bytes(range(16))
OTHER = bytes(range(16, 32))


@pytest.fixture
def phone():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def table():
    folder = tempfile.mkdtemp(prefix="siphond-test-", dir="/dev/shm")
    table = Table.create(os.path.join(folder, "table"), records=8, blocks=32, slots=2, reserve_records=2)
    yield table
    table.close()
    shutil.rmtree(folder)


@pytest.fixture
def store(table):
    table.slot = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield ShmStore(table, Outbox([sock.fileno()]))


def to(phone, data, listener=0):
    return Send(data, phone.getsockname(), listener, "")


def received(phone):
    found = []
    while True:
        try:
            found.append(phone.recv(2000))
        except BlockingIOError:
            return found


def test_a_commit_sends_and_the_next_load_shows_it(store, phone):
    version = store.commit(Commit(KEY, 0, b"one", owner=1, sends=[to(phone, b"a"), to(phone, b"b")]))
    assert received(phone) == [b"a", b"b"]
    assert store.load(KEY) == Loaded(version, b"one")
    assert store.head(KEY) == (version, 1)


def test_a_conflict_sends_nothing_now_or_with_the_next_commit(store, phone):
    version = store.commit(Commit(KEY, 0, b"one", owner=1))
    assert store.commit(Commit(KEY, 0, b"two", owner=1, sends=[to(phone, b"of two")])) == CONFLICT
    assert store.commit(Commit(KEY, version + 1, b"two", owner=1, sends=[to(phone, b"of two")])) == CONFLICT
    assert store.commit(Commit(KEY, version + 1, None, sends=[to(phone, b"of two")])) == CONFLICT
    assert store.commit(Commit(KEY, version, b"three", owner=1, sends=[to(phone, b"of three")])) > version
    assert received(phone) == [b"of three"]


def test_a_full_table_sends_nothing_and_running_work_goes_on(store, phone):
    versions = []
    for index in range(8):
        sends = [to(phone, b"new %d" % index)]
        versions.append(store.commit(Commit(bytes([index]) * 16, 0, b"x", owner=1, sends=sends, new_work=True)))
    made = [index for index, version in enumerate(versions) if version != FULL]
    assert made == list(range(6))
    assert received(phone) == [b"new %d" % index for index in made]
    assert store.commit(Commit(bytes(16), versions[0], b"y", owner=1, sends=[to(phone, b"old")])) > 0
    assert received(phone) == [b"old"]


def test_a_record_that_no_table_takes_is_an_error_and_sends_nothing(store, phone):
    with pytest.raises(ValueError, match="at most"):
        store.commit(Commit(KEY, 0, bytes(500_000), owner=1, sends=[to(phone, b"too much")]))
    store.commit(Commit(OTHER, 0, b"x", owner=1, sends=[to(phone, b"next")]))
    assert received(phone) == [b"next"]


@pytest.mark.parametrize("wrong", [-1, "0"], ids=["no such listener", "no number"])
def test_a_send_that_cannot_be_queued_takes_those_before_it_along(store, phone, wrong):
    """Else the next commit, of another call, would send them."""
    sends = [to(phone, b"first"), to(phone, b"second", listener=wrong)]
    for value in (b"one", None):
        with pytest.raises((IndexError, TypeError)):
            store.commit(Commit(KEY, 0, value, owner=1, sends=sends))
    assert store.load(KEY) is None
    store.commit(Commit(OTHER, 0, b"x", owner=1, sends=[to(phone, b"next")]))
    assert received(phone) == [b"next"]


@pytest.mark.parametrize("value", [b"one", None])
def test_a_key_of_another_length_is_an_error_and_sends_nothing(store, phone, value):
    with pytest.raises(ValueError, match="16 bytes"):
        store.commit(Commit(b"short", 0, value, owner=1, sends=[to(phone, b"first")]))
    store.commit(Commit(OTHER, 0, b"x", owner=1, sends=[to(phone, b"next")]))
    assert received(phone) == [b"next"]


def test_what_the_kernel_will_not_send_is_told_and_the_record_stands(store, phone):
    dead = Send(b"nowhere", ("no address", 5060), 0, "")
    assert store.commit(Commit(KEY, 0, b"one", owner=1, sends=[dead, to(phone, b"a")])) > 0
    assert store.failed == [dead]
    assert received(phone) == [b"a"]
    store.failed.clear()
    assert store.commit(Commit(OTHER, 0, b"x", owner=1, sends=[to(phone, b"next")])) > 0
    assert store.failed == []


@contextmanager
def lock_held(table, version):
    """Another process is in the middle of a commit of KEY: it has switched and holds the lock."""
    (told, tells), (waits, go) = os.pipe(), os.pipe()

    def hold(_argument):
        os.write(tells, b"!")
        os.read(waits, 1)
        return 0

    child = os.fork()
    if child == 0:
        try:
            callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(hold)
            action = Action(ctypes.cast(callback, ctypes.c_void_p).value, 0)
            table.commit(KEY, version, b"two", owner=2, action=action)
        finally:
            os._exit(0)
    try:
        os.read(told, 1)
        yield
    finally:
        os.write(go, b"!")
        os.waitpid(child, 0)
        for end in (told, tells, waits, go):
            os.close(end)


def test_a_record_whose_lock_is_held_is_busy_and_sends_nothing(table, store, phone):
    version = store.commit(Commit(KEY, 0, b"one", owner=1))
    with lock_held(table, version):
        assert isinstance(store.load(KEY), Busy)
        assert isinstance(store.head(KEY), Busy)
        for value in (b"three", None):
            commit = Commit(KEY, version, value, owner=1, sends=[to(phone, b"of three")])
            assert isinstance(store.commit(commit), Busy)
        assert isinstance(store.commit(Commit(KEY, 0, b"new", owner=1, sends=[to(phone, b"new")])), Busy)
        assert store.commit(Commit(OTHER, 0, b"x", owner=1, sends=[to(phone, b"next")])) > 0
    assert received(phone) == [b"next"]
    assert store.load(KEY).value == b"two"


def test_a_process_that_finds_no_slot_commits_nothing_and_sends_nothing(table, store, phone):
    """All slots are taken when a child wants its first; what it was to send it does not send later either."""
    version = store.commit(Commit(KEY, 0, b"one", owner=1))
    with lock_held(table, version):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store.commit(Commit(OTHER, 0, b"x", owner=1, sends=[to(phone, b"of the child")]))
            except SlotTaken:
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert received(phone) == []
    assert store.load(OTHER) is None
