"""The store's time in ours: the sample with the smallest round trip counts, and not for ever."""

import pytest

from siphon.state.redis.clock import WINDOW_SECS, StoreClock


def test_the_smallest_round_trip_of_a_window_counts():
    clock = StoreClock()
    assert not clock.known and clock.difference == 0.0
    clock.sample(10.0, 10.2, 1000.19)  # asked at 10.0, answered at the very end
    assert clock.difference == pytest.approx(990.09) and clock.error == pytest.approx(0.1)
    clock.sample(20.0, 20.002, 1010.001)
    assert clock.difference == pytest.approx(990.0) and clock.error == pytest.approx(0.001)
    clock.sample(21.0, 21.4, 1011.4)
    assert clock.difference == pytest.approx(990.0), "a slow answer says less"
    assert clock.boottime(clock.store_time(50.0)) == pytest.approx(50.0)


def test_a_clock_that_was_set_is_believed_after_a_window():
    clock = StoreClock()
    clock.sample(0.0, 0.001, 100.0)
    now = 0.0
    for _ in range(int(WINDOW_SECS) + 20):
        now += 2.0
        clock.sample(now, now + 0.002, 5000.0 + now)
    assert clock.difference == pytest.approx(5000.0, abs=0.01)
