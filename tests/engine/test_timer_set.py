"""One-shot timers of scripts: timer.set, timer.cancel, timer.active_count (API 15.2), with mortal workers."""

from collections.abc import Callable

import pytest
from timer_world import TimerWorld

from siphon.testing.world import World

Make = Callable[..., World]


def test_a_timer_fires_once_at_its_time_with_its_key(make_world: Make) -> None:
    at = TimerWorld(make_world)
    assert at.do("timer.set('a', 250, ring); timer.set('b', 90_000, ring)") == 200
    at.world.advance(200)
    assert at.noted == [(0.25, "a"), (90.0, "b")]


def test_a_timer_without_delay_fires_at_once(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 0, ring)")
    at.world.advance(0.001)
    assert at.texts == ["a"]


@pytest.mark.parametrize("delay", [300, 5000])
def test_the_same_key_replaces_the_pending_one_in_all_workers(make_world: Make, delay: int) -> None:
    at = TimerWorld(make_world)
    at.do(f"timer.set('a', {delay}, ring)", worker=0)
    at.do(f"timer.set('a', {2 * delay}, ring)", worker=1)
    at.do("NOTED.append(str(timer.active_count))", worker=2)
    at.world.advance(60)
    assert at.noted == [(0.0, "1"), (2 * delay / 1000, "a")]


def test_a_timer_can_be_cancelled_by_any_worker_and_only_once(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 300, ring); timer.set('b', 300, ring)", worker=0)
    at.do("NOTED.append((timer.cancel('a'), timer.cancel('a'), timer.active_count))", worker=1)
    at.world.advance(5)
    at.do("NOTED.append((timer.cancel('b'), timer.active_count))", worker=1)
    assert [text for _, text in at.noted] == [(True, False, 1), "b", (False, 0)]


def test_a_handle_cancels_its_own_timer_only(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do(
        "old = timer.set('a', 300, ring)\nnew = timer.set('a', 400, ring)\nother = timer.set('b', 1, ring)\n"
        "NOTED.append((old.key, old.cancel()))\nglobals().update(new=new, other=other)"
    )
    at.world.advance(0.2)
    at.do("NOTED.append((other.cancel(), new.cancel(), new.cancel()))")
    at.world.advance(5)
    assert [text for _, text in at.noted] == [("a", False), "b", (False, True, False)]


def test_a_handler_may_set_its_own_key_again(make_world: Make) -> None:
    more = "def again(key):\n    ring(key)\n    if len(NOTED.noted) < 4: timer.set(key, 500, again)\n"
    at = TimerWorld(make_world, more)
    at.do("timer.set('a', 500, again)")
    at.world.advance(20)
    assert at.times == [0.5, 1.0, 1.5, 2.0]
    at.do("NOTED.append(timer.active_count)")
    assert at.texts[-1] == 0


def test_a_running_handler_is_no_longer_pending_and_cannot_be_cancelled(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 100, slow)")
    at.world.advance(0.5)
    at.do("NOTED.append((timer.active_count, timer.cancel('a')))", worker=1)
    at.world.advance(5)
    assert at.texts == ["begin a", (0, False), "end a"]


def test_an_exception_is_logged_and_the_timer_is_done(make_world: Make, capfd: pytest.CaptureFixture[str]) -> None:
    at = TimerWorld(make_world, "def fail(key):\n    ring(key)\n    raise KeyError('no such call')\n")
    at.do("timer.set('a', 100, fail); timer.set('b', 200, ring)")
    at.world.advance(10)
    assert at.texts == ["a", "b"]
    assert "script.error" in capfd.readouterr().err


# -- deaths, stops, reloads, restarts


@pytest.mark.parametrize("delay", [300, 30_000])
def test_a_timer_whose_worker_dies_is_fired_by_another_in_time(make_world: Make, delay: int) -> None:
    at = TimerWorld(make_world)
    at.do(f"for n in range(20): timer.set(f'k{{n}}', {delay}, ring)", worker=1)
    at.world.kill(1)
    at.world.advance(60)
    assert sorted(at.texts) == sorted(f"k{n}" for n in range(20))
    assert max(at.times) <= delay / 1000 + 0.11


def test_a_timer_whose_worker_is_stopped_is_fired_by_another_and_not_again(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("for n in range(20): timer.set(f'k{n}', 5000, ring)", worker=1)
    at.world.advance(4)
    at.world.workers[1].paused = True
    at.world.advance(6)
    assert sorted(at.texts) == sorted(f"k{n}" for n in range(20))
    assert max(at.times) <= 5.11
    at.world.workers[1].paused = False
    at.world.advance(10)
    assert len(at.noted) == 20


def test_shared_08_with_many_workers_each_timer_fires_once_and_all_take_part(make_world: Make) -> None:
    at = TimerWorld(make_world, workers=4)
    before = at.runs()
    at.do("for n in range(200): timer.set(f'k{n}', 5000, ring)", worker=0)
    at.world.advance(20)
    assert len(at.noted) == len(set(at.texts)) == 200
    assert all(after - earlier > 20 for earlier, after in zip(before, at.runs(), strict=True))


def test_g5_a_handler_cut_off_by_a_death_is_run_again_within_two_seconds(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 100, slow)", worker=1)
    at.world.advance(0.5)
    runner = next(worker.slot for worker in at.world.workers if worker.runtime.pending)
    at.world.kill(runner)
    at.world.advance(10)
    assert at.texts == ["begin a", "begin a", "end a"]
    assert at.times[1] <= 0.5 + 2


def test_a_handler_that_kills_its_worker_is_run_three_times_at_most(
    make_world: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 100, slow)", worker=1)
    for _ in range(100):
        at.world.advance(0.2)
        for worker in list(at.world.workers):
            if worker.runtime.pending:
                at.restart(worker.slot)
    assert at.texts == ["begin a"] * 3
    assert "timer.given_up" in capfd.readouterr().err
    at.do("NOTED.append(timer.active_count)")
    assert at.texts[-1] == 0


def test_a_timer_survives_a_reload_and_runs_the_new_code(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 5000, ring)")
    at.world.advance(2)
    at.reload("def ring(key): NOTED.append('new ' + key)\n")
    at.world.advance(10)
    assert at.noted == [(5.0, "new a")]


def test_a_handler_that_the_new_code_lacks_is_logged_and_dropped(
    make_world: Make, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siphon.testing.worker.LOG_LEVEL", "warn")
    at = TimerWorld(make_world)
    at.do("timer.set('a', 5000, ring)")
    at.reload(without="def ring(key):\n    NOTED.append(key)\n")
    at.world.advance(10)
    at.do("NOTED.append(timer.active_count)")
    assert at.texts == [0]
    assert "siphon_user_script:ring is not in version 2 of the script" in capfd.readouterr().err


def test_timers_survive_a_restart_of_siphond(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do("timer.set('a', 5000, ring); timer.set('b', 1000, ring); timer.set('c', 100, slow)")
    at.world.advance(0.5)
    at.stop_all()
    at.world.clock.advance(2)
    at.world.advance(10)
    assert sorted(at.texts) == ["a", "b", "begin c", "begin c", "end c"]
    assert at.noted[-1] == (5.0, "a")


# -- handlers that no other worker could find


LAMBDA = "timer.set('a', {}, lambda key: NOTED.append('lambda ' + key))"


def test_a_lambda_runs_in_the_worker_that_set_it(make_world: Make) -> None:
    at = TimerWorld(make_world)
    before = at.runs()
    at.do(LAMBDA.format(60_000), worker=2)
    at.world.advance(59)
    assert at.runs()[2] == before[2] + 1
    at.world.advance(5)
    assert at.noted == [(60.0, "lambda a")]
    assert at.runs() == [before[0], before[1], before[2] + 2]


def test_a_lambda_is_seen_replaced_and_cancelled_by_all_workers(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do(LAMBDA.format(500), worker=2)
    at.do("NOTED.append(timer.active_count); timer.set('a', 700, ring)", worker=1)
    at.world.advance(2)
    assert at.noted == [(0.0, 1), (0.7, "a")]
    at.do(LAMBDA.format(500), worker=2)
    at.do("NOTED.append((timer.cancel('a'), timer.active_count))", worker=0)
    at.world.advance(2)
    assert at.texts[2:] == [(True, 0)]


def test_a_lambda_is_lost_with_its_worker(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do(LAMBDA.format(5000), worker=2)
    at.world.kill(2)
    at.do("NOTED.append(timer.active_count)")
    at.world.replace(2)
    at.world.advance(20)
    assert at.texts == [0]


def test_a_lambda_is_lost_on_reload(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do(LAMBDA.format(5000), worker=2)
    at.reload()
    at.do("NOTED.append(timer.active_count)")
    at.world.advance(20)
    assert at.texts == [0]


def test_lambdas_that_others_replaced_are_forgotten(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.do(LAMBDA.format(3_600_000), worker=2)
    assert not at.world.workers[2].script_timers.idle
    at.do("timer.cancel('a'); timer.set('b', 120_000, ring)", worker=1)
    at.world.advance(60)
    assert at.world.workers[2].script_timers.idle


def test_a_partial_and_a_bound_method_are_called_too(make_world: Make) -> None:
    at = TimerWorld(make_world, "import functools\ndef two(one, key): NOTED.append((one, key))\n")
    at.do("timer.set('a', 100, functools.partial(two, 1)); timer.set('b', 200, NOTED.append)")
    at.world.advance(2)
    assert at.texts == [(1, "a"), "b"]


# -- what cannot be used


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("timer.set(1, 100, ring)", TypeError),
        ("timer.set('k' * 1025, 100, ring)", ValueError),
        ("timer.set('a', '1', ring)", TypeError),
        ("timer.set('a', True, ring)", TypeError),
        ("timer.set('a', -1, ring)", ValueError),
        ("timer.set('a', float('nan'), ring)", ValueError),
        ("timer.set('a', float('inf'), ring)", ValueError),
        ("timer.set('a', 10**400, ring)", ValueError),
        ("timer.set('\\ud800', 1, ring)", ValueError),
        ("timer.set('a', 1, 'ring')", TypeError),
        ("timer.cancel(None)", TypeError),
    ],
)
def test_a_timer_that_cannot_be_is_an_error_of_the_call(make_world: Make, call: str, error: type[Exception]) -> None:
    at = TimerWorld(make_world)
    assert at.do(f"try: {call}\nexcept {error.__name__} as error: NOTED.append(str(error))") == 200
    assert len(at.noted) == 1


def test_g9_g10_a_full_table_refuses_new_timers_and_fires_the_old_ones(make_world: Make) -> None:
    at = TimerWorld(make_world)
    at.world.timers._records = 10
    code = "for n in range(20):\n try: timer.set(f'k{n}', 5000, ring)\n except RuntimeError: NOTED.append('full')\n"
    at.do(code)
    assert at.texts == ["full"] * 10
    at.do("timer.set('k0', 6000, ring)")
    at.world.advance(20)
    assert sorted(at.texts[10:]) == sorted(f"k{n}" for n in range(10))
