"""The microbenchmark runs, from compiled code too; its limit here is generous, since other tests share the machine."""

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "shm_bench.py"


def test_get_and_commit_of_a_value_take_well_under_two_microseconds():
    command = [sys.executable, str(BENCH), "--records", "100", "--limit", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "commit" in done.stdout
