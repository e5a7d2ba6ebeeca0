"""tests/told_logs.py: a failure is reported with what the programs of the test have said."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
TEST = """
def test_x(tmp_path):
    (tmp_path / "siphond-0").mkdir()
    (tmp_path / "siphond-0" / "siphond.log").write_text("".join(f"line {n}\\n" for n in range(100)))
    (tmp_path / "notes").write_text("nothing of this")
    assert False

def test_y(tmp_path):
    (tmp_path / "output").write_text("nothing of that")
"""


def test_the_end_of_each_log_is_told_with_a_failure(tmp_path):
    (tmp_path / "test_a.py").write_text(TEST)
    line = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        [*line, "-p", "told_logs"], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=400
    )
    assert "1 failed, 1 passed" in done.stdout
    assert "the end of siphond-0/siphond.log" in done.stdout
    assert "line 99" in done.stdout and "line 60" in done.stdout and "line 59" not in done.stdout
    assert "nothing of" not in done.stdout.replace('write_text("nothing of', "")
