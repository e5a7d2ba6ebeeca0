"""proxy.memory_used_pct(): all processes of the instance, shared memory once."""

import os

from siphon.engine.memory import MemoryUse

PAGE = os.sysconf("SC_PAGE_SIZE")
MACHINE = 1000 * PAGE


class Proc:
    """A /proc of two processes on a machine of a thousand pages."""

    def __init__(self, directory):
        self.directory = directory
        self.now = 50.0
        self.tables = 0
        (directory / "meminfo").write_text(f"MemFree: 1 kB\nMemTotal:  {MACHINE // 1024} kB\n")

    def process(self, pid, resident, shared):
        (self.directory / str(pid)).mkdir(exist_ok=True)
        (self.directory / str(pid) / "statm").write_text(f"999 {resident} {shared} 1 0 1 0\n")

    def use(self, *pids):
        return MemoryUse(lambda: pids, self.tables, lambda: self.now, self.directory)


def test_own_pages_add_up_and_shared_ones_count_once(tmp_path):
    proc = Proc(tmp_path)
    proc.process(1, 100, 60)
    proc.process(2, 200, 100)
    assert proc.use(1, 2, 2).percent() == 4 + 10 + 10
    proc.tables = 300 * PAGE
    assert proc.use(1, 2).percent() == 4 + 10 + 30


def test_the_figure_is_kept_for_a_second(tmp_path):
    proc = Proc(tmp_path)
    proc.process(1, 100, 0)
    use = proc.use(1)
    assert use.percent() == 10
    proc.process(1, 500, 0)
    proc.now += 0.9
    assert use.percent() == 10
    proc.now += 0.2
    assert use.percent() == 50


def test_a_process_that_has_gone_counts_nothing_and_little_is_one_percent(tmp_path):
    proc = Proc(tmp_path)
    proc.process(1, 2, 1)
    assert proc.use(1, 77).percent() == 1


def test_what_cannot_be_read_is_zero(tmp_path):
    proc = Proc(tmp_path)
    proc.process(1, 100, 0)
    (tmp_path / "1" / "statm").write_text("nonsense")
    assert proc.use(1).percent() == 0
    (tmp_path / "meminfo").write_text("")
    assert proc.use().percent() == 0


def test_of_this_machine_it_is_a_percentage():
    assert 1 <= MemoryUse(lambda: [os.getpid()], 0, lambda: 0.0).percent() <= 100
