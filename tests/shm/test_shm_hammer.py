"""Several processes on one table at once."""

import json

import pytest
from points_build import run_driver


@pytest.mark.parametrize(("processes", "block_bytes"), [(2, 512), (4, 512), (4, 64)])
def test_processes_on_the_same_records_lose_and_mix_nothing(processes, block_bytes):
    words = map(str, (processes, 60_000 // processes, block_bytes))
    report = json.loads(run_driver("hammer_driver.py", *words, points=False))
    assert report["replaced"] > 10_000
    assert report.get("conflict", 0) > 0
    assert report["inherited"] == 0
