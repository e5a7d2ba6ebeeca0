"""tests/peers.py: a run that judges a change does not pass over what was not installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import peers
import pytest

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
CONFTEST = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import jobs, peers
def pytest_addoption(parser):
    parser.addoption("--jobs", type=int, default=1)
def pytest_configure(config):
    jobs.register(config)
    peers.register(config)
"""
SKIPS = """
import peers, pytest
peers.PACKAGES["no-such-peer"] = "apt"
@peers.needs("no-such-peer")
def test_marked(): pass
def test_asks(): peers.require("no-such-peer")
@pytest.fixture
def peer(): pytest.skip("nobody answers")
def test_by_fixture(peer): pass
"""
PERMITTED = """
import peers, pytest
peers.PACKAGES["no-such-peer"] = "no-such-package-anywhere"
def test_not_offered(): peers.require("no-such-peer")
def test_right(): pytest.skip("needs the right to mount")
@pytest.mark.xfail(strict=True)
def test_known(): assert False
def test_fine(): pass
"""
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_module')\ndef test_x(): pass\n"


@pytest.fixture
def run(tmp_path):
    def finished(gate, *arguments, **files):
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "pytest.ini").touch()
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        line = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
        environment = {name: value for name, value in os.environ.items() if name != peers.GATE}
        environment |= {peers.GATE: "1"} if gate else {}
        done = subprocess.run(
            [*line, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        return done.returncode, done.stdout

    return finished


def test_elsewhere_a_missing_program_skips(run):
    status, output = run(False, "-rs", test_a=SKIPS)
    assert status == 0, output
    assert "3 skipped" in output and "no no-such-peer (Debian: apt)" in output


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_gate_fails_whoever_was_skipped(run, jobs):
    status, output = run(True, "--jobs", jobs, test_a=SKIPS, test_b=SKIPS)
    assert status == 1, output
    passed_over = re.findall("^skipped, which this run may not", output, re.M)
    assert len(passed_over) == 6 and "skipped in" not in output.splitlines()[-1], output


def test_the_gate_fails_for_a_file_that_skips_itself(run):
    status, output = run(True, test_a=WHOLE_FILE)
    assert status != 0 and "no_such_module" in output, output


@pytest.mark.skipif(not peers.shutil.which("apt-cache"), reason=f"{peers.NOT_OFFERED} apt")
def test_the_gate_passes_over_what_cannot_be_had_or_is_not_permitted(run):
    status, output = run(True, test_a=PERMITTED)
    assert status == 0, output
    assert "2 skipped" in output and "1 xfailed" in output


def test_ci_runs_the_gate_on_what_dev_installs():
    assert f"{peers.GATE}=1" in (ROOT / ".ci/run").read_text()
    dev = (ROOT / "dev").read_text()
    assert [package for package in peers.PACKAGES.values() if not re.search(rf"[ '(]{package}[ ')]", dev)] == []


def test_no_test_looks_for_a_program_by_itself():
    """A reason of its own would be one more thing to know; and a test that returns early shows nothing at all."""
    skips = re.compile(r"skipif\([^\n]*which|pytest\.skip\([^\n]*(not installed|missing)")
    found = [
        str(file) for file in sorted(TESTS.rglob("*.py")) if file != Path(__file__) and skips.search(file.read_text())
    ]
    assert found == [str(TESTS / "bench/test_bench.py")], "matplotlib, which is no program"
