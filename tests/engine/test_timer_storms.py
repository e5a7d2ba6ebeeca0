"""Many timers and random deaths, stops and reloads: nothing is lost, nothing overlaps or runs twice for nothing."""

from collections.abc import Callable
from random import Random

import pytest
from timer_world import TimerWorld

from siphon.testing.world import World

Make = Callable[..., World]

STORM = """
@timer.every(0.7, jitter=0.2)
async def beat():
    NOTED.append("beat")
    await asyncio.sleep(0.5)
    NOTED.append("beaten")

async def work(key):
    NOTED.append(key)
    await asyncio.sleep(0.05)
    NOTED.append("done " + key)
"""


def disturb(at: TimerWorld, chance: Random) -> bool:
    """One fault; whether a handler was cut off by it."""
    worker = chance.choice(at.world.workers)
    cut = worker.alive and bool(worker.runtime.pending)
    what = chance.random()
    if what < 0.4:
        if worker.alive and sum(w.alive for w in at.world.workers) > 1:
            worker.paused = False
            at.world.kill(worker.slot)
            return cut
        if not worker.alive:
            at.world.replace(worker.slot)
    elif what < 0.7 and worker.alive:
        worker.paused = not worker.paused
    elif what < 0.8:
        at.reload(STORM)
    return False


@pytest.mark.parametrize("seed", range(8))
def test_shared_08_g5_timers_run_once_or_again_after_a_death_and_periodic_ones_never_overlap(
    make_world: Make, seed: int
) -> None:
    chance = Random(seed)
    at = TimerWorld(make_world, STORM, workers=4)
    cut = serial = 0
    for _ in range(150):
        live = [w.slot for w in at.world.workers if w.alive and not w.paused]
        if live:
            delay = chance.choice([0, 20, 500, 4000])
            assert at.do(f"timer.set('k{serial}', {delay}, work)", worker=chance.choice(live)) == 200
            serial += 1
        at.world.advance(chance.random() * 0.4)
        cut += disturb(at, chance)
    for worker in list(at.world.workers):
        worker.paused = False
        if not worker.alive:
            at.world.replace(worker.slot)
    at.world.advance(10)
    starts = [text for text in at.texts if text.startswith("k")]
    assert set(starts) == {f"k{n}" for n in range(serial)}
    assert sum(text.startswith("done") for text in at.texts) == serial
    repeats = len(starts) - serial
    beats = [text for text in at.texts if text.startswith("beat")]
    unfinished = beats.count("beat") - beats.count("beaten")
    assert (repeats == 0) if not cut else (repeats <= 3 * cut)
    assert unfinished <= cut + 1
    assert "beaten beaten" not in " ".join(beats)
    end = at.world.clock() - at.start
    assert sum(end - 5 < when for when, text in at.noted if text == "beat") >= 4
