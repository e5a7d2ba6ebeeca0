"""Random runs of the simulator: several calls, bad networks, dying workers. More: ./dev sim"""

from __future__ import annotations

import subprocess
import sys

import pytest

from siphon.testing.run import run

BATCHES, SEEDS = 25, 100


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_is_wrong_in_random_runs(batch: int) -> None:
    for seed in range(1 + batch * SEEDS, 1 + (batch + 1) * SEEDS):
        result = run(seed)
        assert not result.problems, str(result)


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    command = [sys.executable, "-m", "siphon.testing.sim", "--from", "6", "--seeds", "3", "--show"]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    )
    lines = [line for line in first.splitlines() if "->" in line]
    assert len(lines) > 50
    assert lines == [line for line in second.splitlines() if "->" in line]
