"""What the script API costs is measured by a command; its figures are not judged, the machine is busy."""

import json
import subprocess
import sys
from pathlib import Path

import api_bench

ROOT = Path(__file__).resolve().parents[2]


def test_each_figure_of_the_script_api_is_printed_beside_its_goal(tmp_path):
    file = tmp_path / "api.json"
    line = [sys.executable, ROOT / "bench/api_bench.py", "--loops", "200", "--json", file]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())["ns"]
    wanted = {f"request.{name}" for name in api_bench.PROPERTIES} | {"handler", "lookup and fork"}
    assert wanted <= found.keys()
    assert found["lookup and fork"] > 200
    printed = {line[:24].strip() for line in done.stdout.splitlines()}
    assert found.keys() <= printed


def test_a_property_is_told_from_the_loop_around_it():
    class Slow:
        quick = 1

        @property
        def slow(self):
            return sum(range(200))

    found = api_bench.properties(Slow(), ("quick", "slow"), 2000)
    assert found["slow"] > 10 * max(1.0, found["quick"]) or found["slow"] > 1000
