"""The judgement over a slot, tick by tick."""

from dataclasses import replace

from worker_fakes import FakeSlot

from workers.children import back_off
from workers.watch import Verdict, Watch

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


def test_back_off_begins_with_the_third_early_death_and_has_an_end() -> None:
    assert [back_off(deaths) for deaths in range(7)] == [0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 4.0]
    assert back_off(100) == 8.0
