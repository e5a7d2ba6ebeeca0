"""Metrics in a table that processes share: nothing is counted twice or lost, whoever dies or changes a definition."""

import math
import os
import signal

import pytest

from shm.table import Table
from siphon.services.metrics import COUNTER, GAUGE, HISTOGRAM, Metrics, families
from siphon.services.metrics.definition import define
from siphon.services.metrics.families import text
from siphon.state.memory import MemoryTable

CALLS = define("calls", COUNTER, "Calls.", ["result"])
PLAIN = define("plain", COUNTER, "Plain.", None)
LEVEL = define("level", GAUGE, "Level.", None)
DELAY = define("delay", HISTOGRAM, "Delay.", None, [0.1, 1])


@pytest.fixture
def table():
    return MemoryTable()


def process(table, slot, version=1):
    made = Metrics(table, b"key", lambda: slot)
    made.begin(version)
    return made


def value(table, name, suffix="", **labels):
    family = next(f for f in families(table) if f.name == name)
    return next((s.value for s in family.samples if s.suffix == suffix and dict(s.labels) == labels), None)


def test_counters_of_all_processes_are_added_up(table):
    for slot in (0, 1, 2):
        process(table, slot).add(CALLS, ("ok",), slot + 1)
    assert value(table, "calls", result="ok") == 6


def test_the_next_process_of_a_slot_goes_on_with_its_numbers(table):
    process(table, 0).add(PLAIN, (), 5)
    process(table, 0).add(PLAIN, (), 2)
    assert value(table, "plain") == 7


def test_a_gauge_is_one_value_for_all(table):
    one, other = process(table, 0), process(table, 1)
    one.set(LEVEL, (), 10)
    other.add(LEVEL, (), -3)
    one.add(LEVEL, (), 1)
    assert value(table, "level") == 8


def test_a_histogram_counts_up_to_each_bound(table):
    one, other = process(table, 0), process(table, 1)
    for seen in (0.05, 0.1, 0.5):
        one.observe(DELAY, (), seen)
    other.observe(DELAY, (), 7)
    assert [value(table, "delay", "_bucket", le=le) for le in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert value(table, "delay", "_count") == 4
    assert value(table, "delay", "_sum") == pytest.approx(7.65)


def test_what_has_no_labels_is_there_before_it_is_counted(table):
    process(table, 0).register(PLAIN)
    process(table, 0).register(CALLS)
    assert value(table, "plain") == 0
    assert next(f for f in families(table) if f.name == "calls").samples == []


def test_the_129th_combination_is_refused_whichever_processes_made_the_others(table):
    one, other = process(table, 0), process(table, 1)
    for number in range(128):
        (one if number % 2 else other).add(CALLS, (str(number),), 1)
    for refused in (one, other, process(table, 2)):
        with pytest.raises(RuntimeError, match="128 combinations"):
            refused.add(CALLS, ("one more",), 1)
    process(table, 3).add(CALLS, ("17",), 1)
    assert value(table, "calls", result="17") == 2


def test_another_type_or_other_labels_are_refused_within_a_version_of_the_script(table):
    one = process(table, 0)
    one.register(CALLS)
    assert one.register(define("calls", COUNTER, "other words", ["result"])) is CALLS
    for other in (define("calls", GAUGE, "", ["result"]), define("calls", COUNTER, "", ["code"])):
        with pytest.raises(ValueError, match="already there"):
            one.register(other)
    with pytest.raises(ValueError, match="would be a line of"):
        one.register(DELAY) and one.register(define("delay_sum", COUNTER, "", None))


def test_a_histogram_keeps_the_buckets_of_its_first_registration(table):
    one = process(table, 0)
    first = one.register(define("sizes", HISTOGRAM, "", None, [1, 2]))
    assert one.register(define("sizes", HISTOGRAM, "", None, [5])) is first
    assert one.register(define("sizes", HISTOGRAM, "", None)) is first


def test_the_next_version_may_change_a_metric_and_begins_it_anew(table):
    old, new = process(table, 0), process(table, 1, version=2)
    old.add(CALLS, ("ok",), 5)
    changed = define("calls", COUNTER, "Calls.", ["code"])
    new.register(changed)
    new.add(changed, ("200",), 1)
    old.add(CALLS, ("busy",), 1)  # a handler that has not ended yet
    family = families(table)[0]
    assert [(dict(s.labels), s.value) for s in family.samples] == [({"code": "200"}, 1)]


def test_a_full_table_is_an_error_of_the_call():
    small = process(MemoryTable(records=2), 0)
    small.add(PLAIN, (), 1)
    with pytest.raises(RuntimeError, match=r"shared\.max_metrics"):
        small.add(LEVEL, (), 1)


def test_the_text_escapes_what_labels_and_help_contain(table):
    one = process(table, 0)
    odd = define("odd", COUNTER, "a\\b\nc", ["what"])
    one.add(odd, ('say "x"\n\\',), 1.5)
    one.set(LEVEL, (), math.inf)
    assert text(families(table)) == (
        "# HELP level Level.\n# TYPE level gauge\nlevel +Inf\n"
        "# HELP odd a\\\\b\\nc\n# TYPE odd counter\n"
        'odd{what="say \\"x\\"\\n\\\\"} 1.5\n'
    )


def test_a_process_that_is_killed_has_counted_or_has_not(tmp_path):
    """Six processes count as fast as they can and are killed; what each had been told to be counted is there."""
    shared = Table.create(tmp_path / "metrics", records=256, blocks=1024, slots=8)
    told = []
    for slot in range(6):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            shared.slot = slot
            mine = process(shared, slot)
            while True:
                mine.add(CALLS, ("ok",), 1)
                os.write(writing, b".")
        os.close(writing)
        while len(os.read(reading, 1)) < 1:
            pass
        os.kill(pid, signal.SIGKILL) if slot % 2 else None
        seen = 1
        if slot % 2 == 0:
            for _ in range(50):
                seen += len(os.read(reading, 100))
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while data := os.read(reading, 65536):
            seen += len(data)
        os.close(reading)
        told.append(seen)
    for slot in range(6):
        shared.recover(slot)
    counted = value(shared, "calls", result="ok")
    assert sum(told) <= counted <= sum(told) + 6
    shared.close()
