"""tests/jobs.py: a run in several processes has one result."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFTEST = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
import jobs

def pytest_addoption(parser):
    parser.addoption("--jobs", type=int, default=1)

def pytest_configure(config):
    config.addinivalue_line("markers", "alone: ")
    jobs.register(config)
"""
WAITS = """
import pathlib, time
def met(own, other):
    pathlib.Path(own).touch()
    deadline = time.monotonic() + 120
    while not pathlib.Path(other).exists():
        assert time.monotonic() < deadline, f"nothing runs beside {own}"
        time.sleep(0.01)
"""
ALONE = """
import os, pathlib, pytest, time
HERE = pathlib.Path(__file__).parent
@pytest.mark.parametrize("number", range(5))
@pytest.mark.alone
def test_one(number):
    mine = HERE / f"{os.getpid()}.alone"
    mine.touch()
    time.sleep(0.05)
    assert list(HERE.glob("*.alone")) == [mine] and not list(HERE.glob("*.beside"))
    mine.unlink()
@pytest.mark.parametrize("number", range(5))
def test_other(number):
    mine = HERE / f"{os.getpid()}.beside"
    mine.touch()
    time.sleep(0.05)
    assert not list(HERE.glob("*.alone"))
    mine.unlink()
"""

ONCE = """
import pathlib
def test_x():
    first = pathlib.Path(__file__ + ".first")
    assert first.exists() or first.touch(), f"once in {__name__}"
"""
"""Fails when it runs for the first time."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Writes the files of tests and runs them: exit status and output."""
    for name in ("SIPHOND_TESTS_PLACE", "SIPHOND_TESTS_JOB", "SIPHOND_TESTS_LEADER"):
        monkeypatch.delenv(name, raising=False)
    line = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]

    def started(*arguments, **files):
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "pytest.ini").touch()
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return subprocess.Popen(
            [*line, "--jobs", "2", *arguments],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finished(*arguments, **files):
        process = started(*arguments, **files)
        output = process.communicate(timeout=400)[0]
        return process.returncode, output

    finished.started = started
    return finished


def test_two_files_run_side_by_side_and_are_counted_together(run):
    first = "from waits import met\ndef test_x(): met('first', 'second')\n"
    second = "from waits import met\ndef test_x(): met('second', 'first')\n"
    status, output = run(waits=WAITS, test_first=first, test_second=second)
    assert status == 0, output
    assert "2 passed" in output


def test_each_test_runs_once_and_what_fails_in_any_of_them_is_told(run):
    files = {
        f"test_{n}": "import pytest, time\ndef test_good(): time.sleep(0.1)\n"
        f"def test_bad(): assert {n} < 0, 'in {n}'\n"
        "@pytest.mark.skip(reason='because')\ndef test_not(): pass\n"
        for n in range(6)
    }
    status, output = run(**files)
    assert status == 1, output
    assert "6 failed, 6 passed, 6 skipped" in output
    assert [f"in {n}" in output for n in range(6)] == [True] * 6


def test_one_that_is_alone_has_nothing_beside_it(run):
    status, output = run(**{f"test_{n}": ALONE for n in range(4)})
    assert status == 0, output
    assert "40 passed" in output


def test_a_pytest_that_a_test_starts_runs_its_own_tests_in_every_process(run):
    inner = (
        "import subprocess, sys\nfrom waits import met\n"
        "def test_x():\n    met({0!r}, {1!r})\n"
        "    line = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'inner.py']\n"
        "    done = subprocess.run(line, capture_output=True, text=True)\n"
        "    assert '1 passed' in done.stdout, done.stdout\n"
    )
    first, second = inner.format("first", "second"), inner.format("second", "first")
    status, output = run(waits=WAITS, inner="def test_y(): pass\n", test_first=first, test_second=second)
    assert status == 0, output
    assert "2 passed" in output


def test_a_helper_that_dies_fails_the_run(run):
    dies = (
        "import os, pathlib\nfrom waits import met\ndef test_dies():\n"
        "    if 'SIPHOND_TESTS_JOB' not in os.environ: return met('first', 'second')\n"
        "    pathlib.Path('second').touch()\n    os._exit(0)\n"
    )
    status, output = run(waits=WAITS, test_1=dies, test_2=dies)
    assert status == 1, output
    assert re.search(r"not reported: test_[12].py", output), output


def test_ctrl_c_ends_them_all_and_what_a_test_holds_is_put_away(run, tmp_path):
    holds = (
        "import os, pathlib, pytest, time\n@pytest.fixture\ndef held():\n"
        "    mine = pathlib.Path(f'{os.getpid()}.held')\n"
        "    mine.touch()\n    yield\n    mine.unlink()\ndef test_x(held): time.sleep(600)\n"
    )
    process = run.started(test_1=holds, test_2=holds)
    deadline = time.monotonic() + 180
    while len(list(tmp_path.glob("*.held"))) < 2:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert list(tmp_path.glob("*.held")) == []


def test_on_processes_what_fails_beside_others_and_passes_alone_is_told_and_fails_no_run(run):
    status, output = run(
        **{"processes/test_a": ONCE, "cli/test_b": ONCE.replace("def", "import pytest\n@pytest.mark.alone\ndef")}
    )
    assert status == 0, output
    assert "2 passed, 2 looked at again" in output
    for name in ("processes/test_a", "cli/test_b"):
        assert f"failed beside others, passed alone: {name}.py::test_x" in output
        assert f"once in {name.partition('/')[2]}" in output


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_what_fails_alone_too_has_failed(run, when):
    fails = (
        "import pytest\n@pytest.fixture\ndef late(request):\n"
        f"    assert {when!r} != 'setup', 'again'\n    yield\n    assert {when!r} != 'teardown', 'again'\n"
        f"def test_x(late): assert {when!r} != 'call', 'again'\n"
    )
    status, output = run(**{"processes/test_a": fails, "test_b": "def test_y(): pass\n"})
    assert status == 1, output
    assert ("1 failed" if when == "call" else "1 error") in output
    assert "AssertionError: again" in output and "passed alone" not in output


def test_what_computes_and_what_many_tests_fail_in_gets_no_second_look(run):
    status, output = run(**{"engine/test_a": ONCE, "processes/test_b": "def test_y(): pass\n"})
    assert status == 1 and "1 failed, 1 passed" in output, output
    status, output = run(**{f"workers/test_{n}": ONCE for n in range(5)})
    assert status == 1, output
    assert re.search(r"\b2 failed, \d+ passed, 3 looked at again", output), output
