"""What the commands of ./dev say to who types something wrong."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments):
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)


def test_mutants_that_nobody_has_described_are_no_success():
    done = python("tools/mutants.py", "no such word")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "./dev mutants: error: no mutant has 'no such word' in its description"


def test_a_wrong_option_of_the_simulator_is_answered_with_the_command_that_was_typed():
    done = python("-m", "siphon.testing.sim", "--seed", "3")
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ./dev sim [OPTIONS]\n")
