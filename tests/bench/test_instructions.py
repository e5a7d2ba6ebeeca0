"""What a call, or what is answered here, costs in instructions has not risen since the baseline
(bench/instructions.py)."""

import re
import subprocess
import sys
from pathlib import Path

import instructions
import peers
import pytest

ROOT = Path(__file__).resolve().parents[2]


@peers.needs("valgrind")
@pytest.mark.parametrize("path", ["call", "worker", "register", "digest", "options"])
def test_no_path_costs_more_than_a_tenth_above_the_baseline(path):
    line = [sys.executable, ROOT / "bench/instructions.py", path]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "baseline" in done.stdout and "has none" not in done.stdout


def test_what_others_write_into_the_tree_does_not_count(tmp_path, monkeypatch):
    """Bytecode that appears between two runs made the second one some hundred million instructions shorter."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    instructions.compile_into(tmp_path, "options")
    line = instructions.python(tmp_path, "options", 1)
    line.insert(1, "-v")
    told = instructions.play(line, PYTHONDONTWRITEBYTECODE="1").stderr
    loaded = {found[1] for found in re.finditer(r"code object from '?(\S+?)'?$", told, re.MULTILINE)}
    assert any(place.endswith(f"/siphon/engine/enums.{sys.implementation.cache_tag}.pyc") for place in loaded)
    assert not [place for place in loaded if not place.startswith(str(tmp_path))]
