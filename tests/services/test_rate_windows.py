"""proxy.rate_limit's sliding windows: never more than the limit, counted once a request, by all processes together."""

import os
import random
import signal
import time

import pytest
from test_services_shared import PROCESSES, patiently, together

from shm.table import Table
from siphon.services.limits import Windows
from siphon.services.limits.windows import EVICT, _unpack
from siphon.services.store import StoreError, evict_of
from siphon.state.memory import MemoryTable

KEY = b"k" * 32


class Desk:
    def __init__(self, table=None):
        self.table = table if table is not None else MemoryTable(clock=lambda: self.now)
        self.now = 1000.0
        self.windows = Windows(self.table, KEY)
        self.transactions = 0

    def ask(self, window=10.0, most=3, source="192.0.2.1", transaction=None):
        self.transactions += 1
        name = transaction or b"%d" % self.transactions
        return self.windows.admit(source, window, most, name, self.now)


def test_so_many_requests_are_admitted_and_the_window_slides():
    desk = Desk()
    assert [desk.ask() for _ in range(4)] == [True, True, True, False]
    desk.now += 9.99
    assert not desk.ask()
    desk.now += 0.01
    assert [desk.ask() for _ in range(4)] == [True, True, True, False]


def test_refused_requests_do_not_count():
    desk = Desk()
    admitted = []
    for _ in range(400):
        if desk.ask(window=10, most=1):
            admitted.append(desk.now)
        desk.now += 0.125
    assert [b - a for a, b in zip(admitted, admitted[1:], strict=False)] == [10.0] * 4


def test_source_window_and_limit_are_the_key():
    desk = Desk()
    assert desk.ask(most=1) and not desk.ask(most=1)
    assert desk.ask(most=1, source="192.0.2.2")
    assert desk.ask(most=2)
    assert desk.ask(most=1, window=11.0)


def test_one_transaction_counts_once_however_often_it_asks():
    desk = Desk()
    assert [desk.ask(most=2, transaction=b"one") for _ in range(5)] == [True] * 5
    assert [desk.ask(most=2), desk.ask(most=2)] == [True, False]
    assert desk.ask(most=2, transaction=b"one")


@pytest.mark.parametrize("seed", range(20))
def test_no_window_ever_holds_more_than_the_limit(seed):
    chance = random.Random(seed)
    window, most = chance.choice([0.5, 3, 60, 3600]), chance.choice([1, 2, 30, 33, 40, 100, 500])
    desk = Desk()
    admitted = []
    for _ in range(3 * most + 50):
        desk.now += chance.expovariate(chance.choice([0.5, 2, 20]) * most / window)
        if desk.ask(window=window, most=most):
            admitted.append(desk.now)
    for at, begin in enumerate(admitted):
        held = sum(begin <= other < begin + window - 1e-6 for other in admitted[at:])
        assert held <= most
    assert len(admitted) >= most


@pytest.mark.parametrize("most", [33, 100, 1000])
def test_a_request_leaves_the_window_at_most_a_thirty_second_of_it_late(most):
    desk = Desk()
    for _ in range(most):
        assert desk.ask(window=10, most=most)
        desk.now += 10 / most
    late = 0
    for _ in range(most):
        late += not desk.ask(window=10, most=most)
        desk.now += 10 / most
    assert late <= most / 32 + 1
    desk.now += 10 * 33 / 32
    assert [desk.ask(window=10, most=most) for _ in range(most + 1)] == [True] * most + [False]


@pytest.mark.parametrize("window", [0.0, -1.0, float("nan"), float("inf"), 604801.0])
def test_a_window_that_cannot_be_is_an_error_of_the_script(window):
    with pytest.raises(ValueError, match="window_secs"):
        Desk().ask(window=window)


def test_a_record_that_is_damaged_is_begun_anew():
    desk = Desk()
    desk.ask(most=1)
    (key,), _ = desk.table.keys(10)
    for value in (b"", b"x", b"\x01\xff\xff" + b"\0" * 8, b"\x02" + b"\0" * 10):
        desk.table.commit(key, desk.table.head(key).version, value, owner=0)
        assert desk.ask(most=1) and not desk.ask(most=1)


def test_a_full_table_forgets_who_has_been_quiet_for_longest():
    desk = Desk(MemoryTable(200, 200))
    desk.ask(most=1, source="quiet")
    for number in range(1000):
        desk.now += 1
        assert desk.ask(window=3600, most=1, source=f"s{number}")
        if number >= 5:
            assert not desk.ask(window=3600, most=1, source=f"s{number - 5}")
    assert desk.table.stats().records <= 200


def test_a_table_that_stays_busy_raises_what_scripts_are_told():
    table = MemoryTable()
    desk = Desk(table)
    desk.ask()
    table.busy.update(table.keys(10)[0])
    with pytest.raises(StoreError):
        desk.ask()


@pytest.fixture
def table(tmp_path):
    return Table.create(tmp_path / "table", records=512, blocks=1024, slots=8)


def test_several_processes_together_admit_exactly_the_limit(table):
    now = time.clock_gettime(time.CLOCK_BOOTTIME)

    def work(n):
        windows = Windows(table, KEY)
        admit = lambda at: windows.admit("192.0.2.1", 600.0, 100, b"%d/%d" % (n, at), now)  # noqa: E731
        return sum(patiently(lambda at=at: admit(at)) for at in range(60))

    admitted = together(work)
    assert sum(admitted) == 100
    assert len(admitted) == PROCESSES
    assert table.verify().sound


def test_a_process_that_is_killed_has_recorded_its_request_or_has_not(table):
    now, most = time.clock_gettime(time.CLOCK_BOOTTIME), 100_000
    told, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        windows = Windows(table, KEY)
        for at in range(most):
            windows.admit("192.0.2.1", 600.0, most, b"%d" % at, now)
            os.write(say, b".")
        os._exit(0)
    os.close(say)
    made = len(os.read(told, 1))
    time.sleep(0.05)  # it dies wherever it is by then
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while chunk := os.read(told, 65536):
        made += len(chunk)
    os.close(told)
    (key,), _ = table.keys(10)
    cells, _ = _unpack(table.get(key)[1])
    assert sum(count for _, count in cells) in (made, made + 1)
    assert Windows(table, KEY).admit("192.0.2.1", 600.0, most, b"next", now)
    assert table.verify().sound


def test_sec_12_a_full_table_is_swept_once_for_many_sources(table):
    now, sweeps = 1000.0, []

    class Counted:
        def __getattr__(self, name):
            return getattr(table, name)

        def expire(self, *args):
            sweeps.append(args)
            return table.expire(*args)

    windows = Windows(Counted(), KEY, evict=128)
    for number in range(512 + 256):
        assert windows.admit(f"10.0.{number >> 8}.{number & 255}", 600.0, 10, b"t", now)
    assert len(sweeps) <= 3
    assert evict_of(25_000, EVICT) > 10 * EVICT and evict_of(250, EVICT) == EVICT
