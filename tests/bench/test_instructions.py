"""What a call, or what is answered here, costs in instructions has not risen since the baseline
(bench/instructions.py)."""

import subprocess
import sys
from pathlib import Path

import peers
import pytest

ROOT = Path(__file__).resolve().parents[2]


@peers.needs("valgrind")
@pytest.mark.parametrize("path", ["call", "register", "digest", "options"])
def test_no_path_costs_more_than_a_tenth_above_the_baseline(path):
    line = [sys.executable, ROOT / "bench/instructions.py", path]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "baseline" in done.stdout and "has none" not in done.stdout
