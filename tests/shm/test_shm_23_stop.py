"""A process that is stopped while it holds locks."""

import json

from points_build import run_driver


def test_shared_23_nobody_waits_long_for_a_stopped_process_and_its_death_frees_all():
    report = json.loads(run_driver("stop_driver.py", points=True))
    assert report["stopped"] == 51
    assert report["busy"] > 20
    assert report["other commits"] > 30
    assert report["longest wait us"] < 20_000
    assert report["freed us"] < 100_000
