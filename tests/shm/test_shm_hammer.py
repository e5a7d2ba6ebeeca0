"""Several processes on one table at once."""

import json

import pytest
from points_build import run_driver


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_on_the_same_records_lose_and_mix_nothing(processes):
    report = json.loads(run_driver("hammer_driver.py", str(processes), str(60_000 // processes), points=False))
    assert report["replaced"] > 10_000
    assert report.get("conflict", 0) > 0
    assert report["inherited"] == 0
