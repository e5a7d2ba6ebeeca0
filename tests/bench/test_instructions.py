"""What a call costs in instructions has not risen since the baseline (bench/instructions.py)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is missing: apt-get install valgrind")
def test_a_call_costs_no_more_than_a_tenth_above_the_baseline():
    line = [sys.executable, ROOT / "bench/instructions.py"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "thousand instructions" in done.stdout
