"""The judgement over a slot, tick by tick."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from worker_fakes import FakeSlot, until

from workers.children import back_off
from workers.watch import GONE, Standing, Verdict, Watch

BUSY = FakeSlot(pid=1, heartbeat=50.0, busy=True)


def verdict_after(state: FakeSlot, secs: float, watch: Watch | None = None) -> Verdict:
    watch = watch or Watch(handler_stall_secs=30.0)
    assert watch.judge(state, 1000.0) is Verdict.FINE
    return watch.judge(state, 1000.0 + secs)


def test_a_heart_that_stops_outside_a_handler_is_dumped_after_a_second() -> None:
    assert verdict_after(BUSY, 0.9) is Verdict.FINE
    assert verdict_after(BUSY, 1.1) is Verdict.DUMP


def test_a_handler_may_take_as_long_as_it_is_allowed() -> None:
    handling = replace(BUSY, in_handler_since=49.0)
    assert verdict_after(handling, 29.0) is Verdict.FINE
    assert verdict_after(handling, 31.0) is Verdict.DUMP


def test_a_critical_section_over_half_a_second_is_killed() -> None:
    critical = replace(BUSY, critical_since=49.0, in_handler_since=49.0)
    assert verdict_after(critical, 0.4) is Verdict.FINE
    assert verdict_after(critical, 0.6) is Verdict.KILL


def test_an_idle_worker_need_not_wake_but_one_that_never_does_is_stuck() -> None:
    idle = replace(BUSY, busy=False)
    assert verdict_after(idle, 5.0) is Verdict.FINE
    assert verdict_after(idle, 11.0) is Verdict.DUMP


def test_a_beat_starts_the_count_anew() -> None:
    watch = Watch(30.0)
    for tick in range(100):
        assert watch.judge(replace(BUSY, heartbeat=50.0 + tick), 1000.0 + tick * 0.9) is Verdict.FINE


def test_old_values_seen_for_the_first_time_condemn_nobody() -> None:
    watch = Watch(30.0)
    assert watch.judge(replace(BUSY, heartbeat=0.5, critical_since=0.1), 1e6) is Verdict.FINE
    watch.reset()
    assert watch.judge(replace(BUSY, heartbeat=0.5, critical_since=0.1), 2e6) is Verdict.FINE


CRITICAL = replace(BUSY, critical_since=49.0)


def verdicts(state: FakeSlot, standings: list[tuple[float, Standing]]) -> list[Verdict]:
    """At ticks so long after the first."""
    watch = Watch(30.0)
    assert watch.judge(state, 1000.0) is Verdict.FINE
    return [watch.judge(state, 1000.0 + secs, lambda found=found: found) for secs, found in standings]


@pytest.mark.parametrize(("state", "ended"), [(BUSY, Verdict.DUMP), (CRITICAL, Verdict.KILL)])
def test_one_that_waits_for_a_processor_is_not_stuck_but_not_for_ever(state: FakeSlot, ended: Verdict) -> None:
    waits = [(1.1, Standing("R", 7.0)), (2.0, Standing("R", 7.1)), (9.0, Standing("R", 7.1))]
    assert verdicts(state, waits) == [Verdict.FINE] * 3
    assert verdicts(state, [*waits, (9.2, Standing("R", 7.1))])[-1] is ended


@pytest.mark.parametrize(("state", "ended"), [(BUSY, Verdict.DUMP), (CRITICAL, Verdict.KILL)])
def test_one_that_runs_without_beating_or_sleeps_is_stuck(state: FakeSlot, ended: Verdict) -> None:
    assert verdicts(state, [(1.1, Standing("R", 7.0)), (1.3, Standing("R", 7.21))]) == [Verdict.FINE, ended]
    for letter in ("S", "D", "T"):
        assert verdicts(state, [(1.1, Standing(letter, 7.0))]) == [ended]
    assert verdicts(state, [(1.1, GONE)]) == [ended]


def test_one_that_beat_again_is_waited_for_anew() -> None:
    watch, waits = Watch(30.0), Standing("R", 1.0)
    for beat in range(20):
        state = replace(BUSY, heartbeat=50.0 + beat)
        for after in (0.0, 1.5, 4.0):
            assert watch.judge(state, 1000.0 + 5 * beat + after, lambda: waits) is Verdict.FINE


def test_a_handler_that_waits_for_a_processor_has_no_more_than_its_time() -> None:
    handling = replace(BUSY, in_handler_since=49.0)
    assert verdicts(handling, [(31.0, Standing("R", 1.0))]) == [Verdict.DUMP]


def test_what_the_kernel_says_of_a_process() -> None:
    line = [sys.executable, "-c", "input()\nwhile True: pass"]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            until(lambda: Standing.of(process.pid).state == "S", "that it waits for its input")
            before = Standing.of(process.pid).ran
            process.stdin.write(b"\n")
            process.stdin.flush()
            until(lambda: Standing.of(process.pid).ran > before + 0.1, "that it runs")
            assert Standing.of(process.pid).state == "R"
        finally:
            process.kill()
    assert Standing.of(process.pid) == GONE
    assert Standing.of(os.getpid()).ran > 0.0


def test_back_off_begins_with_the_third_early_death_and_has_an_end() -> None:
    assert [back_off(deaths) for deaths in range(7)] == [0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 4.0]
    assert back_off(100) == 8.0
