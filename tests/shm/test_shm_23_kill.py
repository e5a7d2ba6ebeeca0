"""Kills: at named points in the code, at random moments, alone and beside working neighbours."""

import json

import pytest
from points_build import run_driver

AT_EACH_POINT, AT_RANDOM, BESIDE = 60, 500, 600


@pytest.mark.parametrize("block_bytes", [512, 64])
def test_shared_23_a_kill_at_any_point_leaves_the_old_record_or_the_new_one(block_bytes, capsys):
    words = map(str, (AT_EACH_POINT, AT_RANDOM, BESIDE, block_bytes))
    report = json.loads(run_driver("kill_driver.py", *words, points=True))
    alone, beside = report["alone"], report["beside"]
    with capsys.disabled():
        print(
            f"\n  kills: {alone['kills'] + beside['kills']}, of which at named points {sum(alone['points'].values())}"
        )
        for point, kills in alone["points"].items():
            print(f"    {kills:4} {point}")
        print(
            f"    {alone['at random']:4} at random moments; {beside['kills']} beside neighbours {beside['neighbours']}"
        )
        print(f"  longest wait {alone['longest wait us']} us, longest recovery {alone['longest recovery us']} us")
    assert alone["kills"] + beside["kills"] >= 2000
    assert sum(alone["points"].values()) >= 1000
    assert min(alone["points"].values()) >= 50
    assert alone["longest wait us"] < 10_000
    assert all(met["done"] > 1000 for met in beside["neighbours"])
