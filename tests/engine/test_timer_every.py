"""Periodic timers of scripts: @timer.every (API 15.2), with mortal workers and reloads."""

from collections.abc import Callable

import pytest
from timer_world import TimerWorld

from siphon.testing.world import World

Make = Callable[..., World]

TICK = "@timer.every({})\ndef tick(): NOTED.append('tick')\n"
LONG = (
    "@timer.every(1)\nasync def long():\n"
    "    NOTED.append('begin')\n    await asyncio.sleep(2.5)\n    NOTED.append('end')\n"
)


def test_it_runs_after_each_interval_in_one_worker(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10))
    at.world.advance(35)
    assert at.noted == [(10.0, "tick"), (20.0, "tick"), (30.0, "tick")]


def test_intervals_below_a_second_keep_their_time(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(0.1))
    at.world.advance(10.05)
    assert at.times == [round(0.1 * n, 3) for n in range(1, 101)]


def test_jitter_adds_up_to_so_much_to_each_interval(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format("5, jitter=2"))
    at.world.advance(500)
    gaps = [later - earlier for earlier, later in zip([0.0, *at.times], at.times, strict=False)]
    assert all(4.999 <= gap <= 7.001 for gap in gaps)
    assert max(gaps) - min(gaps) > 1.5


def test_per_worker_each_worker_runs_its_own(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format("10, per_worker=True"))
    before = at.runs()
    at.world.advance(25)
    assert at.times == [10.0] * 3 + [20.0] * 3
    assert at.runs() == [count + 2 for count in before]


def test_per_worker_runs_of_one_worker_do_not_overlap(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG.replace("every(1)", "every(1, per_worker=True)"), workers=1)
    at.world.advance(8)
    assert at.noted == [(1.0, "begin"), (3.5, "end"), (4.5, "begin"), (7.0, "end"), (8.0, "begin")]


def test_handlers_of_one_name_are_two_timers(make_world: Make) -> None:
    more = TICK.format("3, name='x'") + "@timer.every(4, 'x')\ndef tock(): NOTED.append('tock')\n"
    at = TimerWorld(make_world, more)
    at.world.advance(9)
    assert sorted(at.noted) == [(3.0, "tick"), (4.0, "tock"), (6.0, "tick"), (8.0, "tock"), (9.0, "tick")]


def test_runs_never_overlap_and_what_was_missed_is_not_made_up_for(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG)
    at.world.advance(8)
    assert at.noted == [(1.0, "begin"), (3.5, "end"), (4.5, "begin"), (7.0, "end"), (8.0, "begin")]


def test_an_exception_is_logged_and_the_next_run_comes(make_world: Make, capfd: pytest.CaptureFixture[str]) -> None:
    at = TimerWorld(make_world, "@timer.every(1)\ndef fail():\n    NOTED.append('x')\n    raise KeyError('no')\n")
    at.world.advance(3)
    assert at.times == [1.0, 2.0, 3.0]
    assert capfd.readouterr().err.count("script.error") == 3


def test_periodic_timers_do_not_count_as_pending_one_shots(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10))
    at.do("NOTED.append(timer.active_count)")
    assert at.texts == [0]


# -- deaths, stops, reloads, restarts


def runner(at: TimerWorld) -> int:
    """The slot of the worker in which a handler awaits."""
    return next(worker.slot for worker in at.world.workers if worker.alive and worker.runtime.pending)


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_when_a_worker_dies_the_others_go_on_in_time(make_world: Make, slot: int) -> None:
    at = TimerWorld(make_world, TICK.format(5))
    at.world.advance(12)
    at.world.kill(slot)
    at.world.advance(14)
    assert [round(when) for when in at.times] == [5, 10, 15, 20, 25]
    assert max(when % 5 for when in at.times) <= 0.11


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_when_a_worker_is_stopped_the_others_go_on_in_time(make_world: Make, slot: int) -> None:
    at = TimerWorld(make_world, TICK.format(5))
    at.world.advance(12)
    at.world.workers[slot].paused = True
    at.world.advance(12)
    at.world.workers[slot].paused = False
    at.world.advance(7)
    assert [round(when) for when in at.times] == [5, 10, 15, 20, 25, 30]


def test_a_worker_that_stops_while_it_runs_keeps_the_timer(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG)
    at.world.advance(2)
    stopped = at.world.workers[runner(at)]
    stopped.paused = True
    at.world.advance(20)
    assert at.texts == ["begin"]
    stopped.paused = False
    at.world.advance(2)
    assert at.noted[1:] == [(22.0, "end"), (23.0, "begin")]


def test_g5_a_run_cut_off_by_a_death_is_run_again_within_two_seconds(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG.replace("every(1)", "every(60)"))
    at.world.advance(61)
    at.world.kill(runner(at))
    at.world.advance(20)
    assert at.texts == ["begin", "begin", "end"]
    assert at.times[1] < 63


def test_a_run_that_kills_three_workers_waits_for_its_next_time(
    make_world: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    at = TimerWorld(make_world, LONG.replace("every(1)", "every(60)"))
    at.world.advance(60)
    for _ in range(100):
        for worker in list(at.world.workers):
            if worker.runtime.pending:
                at.restart(worker.slot)
        at.world.advance(0.2)
    assert at.texts == ["begin"] * 3
    assert "timer.given_up" in capfd.readouterr().err
    at.world.advance(45)
    assert at.noted[3:] == [(120.0, "begin"), (122.5, "end")]


def test_after_a_reload_the_new_code_runs_after_a_new_interval(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10) + TICK.format("10, per_worker=True").replace("tick", "own"), workers=2)
    at.world.advance(8)
    at.reload(TICK.format(7).replace("'tick'", "'new'"))
    at.world.advance(16)
    assert at.noted == [(15.0, "new"), (22.0, "new")]


def test_a_run_that_goes_on_during_a_reload_does_not_overlap_with_the_new_code(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG)
    at.world.advance(1.5)
    at.reload(LONG.replace("'begin'", "'new'"))
    at.world.advance(3.1)
    assert at.noted == [(1.0, "begin"), (3.5, "end"), (4.5, "new")]


def test_a_reload_without_the_timer_ends_it_though_it_runs(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG)
    at.world.advance(1.5)
    at.reload()
    at.world.advance(30)
    assert at.noted == [(1.0, "begin"), (3.5, "end")]
    assert at.world.timers.stats().records == 0


def test_a_new_worker_changes_nothing(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10), workers=2)
    at.world.advance(4)
    at.restart(0)
    at.world.advance(7)
    assert at.noted == [(10.0, "tick")]


def test_a_worker_that_has_not_switched_yet_leaves_the_new_timers_alone(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10), workers=2)
    at.world.advance(4)
    at.reload(TICK.format(1).replace("'tick'", "'new'"))
    at.world.script_version -= 1
    for slot in (0, 1):
        at.restart(slot)
    at.world.advance(5)
    assert at.noted == []
    for worker in at.world.workers:
        worker.reload(at.world.script_version + 1)
    at.world.advance(2)
    assert set(at.texts) == {"new"}


def test_a_timer_that_a_version_lacks_is_forgotten(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10))
    assert at.world.timers.stats().records == 1
    at.reload()
    at.world.advance(11)
    assert at.world.timers.stats().records == 0
    assert at.noted == []


def test_the_interval_of_the_new_code_begins_with_the_reload_though_the_old_runs(make_world: Make) -> None:
    at = TimerWorld(make_world, LONG.replace("every(1)", "every(60)"))
    at.world.advance(61)
    at.reload(LONG.replace("every(1)", "every(10)").replace("'begin'", "'new'"))
    at.world.advance(12)
    assert at.noted == [(60.0, "begin"), (62.5, "end"), (71.0, "new")]


@pytest.mark.parametrize("what", ["every", "set"])
def test_of_two_workers_that_read_a_timer_at_the_same_moment_one_runs_it(make_world: Make, what: str) -> None:
    at = TimerWorld(make_world, TICK.format(5) if what == "every" else "", workers=2)
    if what == "set":
        at.do("timer.set('a', 5000, ring)")
    first, second = (worker.script_timers for worker in at.world.workers)
    load = first.timers.load

    def load_while_the_other_claims(where: bytes) -> object:
        found = load(where)
        first.timers.load = load  # type: ignore[method-assign]
        second.tick(at.world.clock())
        return found

    at.world.advance(4.9)
    first.timers.load = second.timers.load = load  # type: ignore[method-assign]
    first.timers.load = load_while_the_other_claims  # type: ignore[method-assign,assignment]
    at.world.clock.advance(0.5)
    first.tick(at.world.clock())
    assert len(at.noted) == 1
    at.world.advance(4)
    assert len(at.noted) == 1


def test_after_a_restart_of_siphond_an_interval_begins(make_world: Make) -> None:
    at = TimerWorld(make_world, TICK.format(10))
    at.world.advance(8)
    at.stop_all()
    at.world.advance(11)
    assert at.noted == [(18.0, "tick")]


def test_with_a_full_table_it_runs_once_there_is_room(make_world: Make) -> None:
    at = TimerWorld(make_world, workers=1)
    at.world.timers._records = 1
    at.do("timer.set('a', 5000, ring)")
    at.reload(TICK.format(3))
    at.world.advance(10)
    assert at.texts == ["a", "tick"]


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ("timer.every('5')", "TypeError: seconds is a number"),
        ("timer.every(True)", "TypeError: seconds is a number"),
        ("timer.every(0)", "ValueError: seconds is a number > 0"),
        ("timer.every(float('nan'))", "ValueError: seconds"),
        ("timer.every(10**400)", "ValueError: seconds"),
        ("timer.every(print)", "TypeError: seconds is a number"),
        ("timer.every(5, jitter=-1)", "ValueError: jitter"),
        ("timer.every(5, name=7)", "TypeError: name is a str"),
        ("timer.every(5, name='n' * 1025)", "ValueError: name is longer than 1024 bytes"),
        ("timer.every(5, name='\\ud800')", "UnicodeEncodeError: surrogates not allowed"),
        ("timer.every(5)(7)", "TypeError: timer.every decorates a function"),
    ],
)
def test_what_cannot_be_is_an_error_when_the_script_is_loaded(declared: str, error: str) -> None:
    from siphon import timer

    with pytest.raises((TypeError, ValueError), match=error.partition(": ")[2]) as caught:
        eval(declared, {"timer": timer})
    assert caught.typename == error.partition(":")[0]


@pytest.mark.parametrize(
    ("given", "name"), [({}, "tick"), ({"name": "every minute"}, "every minute"), ({"name": ""}, "tick")]
)
def test_its_name_is_that_of_the_function_unless_it_is_given_one(given: dict[str, str], name: str) -> None:
    from siphon import timer
    from siphon.script.registry import _siphon_registry

    def tick() -> None: ...

    before = _siphon_registry.entries()
    try:
        assert timer.every(60, **given)(tick) is tick
        entry = _siphon_registry.entries()[-1]
        assert (entry.kind, entry.function, entry.metadata["name"]) == ("timer.every", tick, name)
    finally:
        _siphon_registry.restore(before)
