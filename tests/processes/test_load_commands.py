"""The short forms of ./dev chaos and ./dev soak. Their verdict is that of the commands: the exit status."""

import subprocess
import sys

import pytest
from proxy_process import ROOT


def verdict(command, *arguments, seconds):
    line = [sys.executable, ROOT / "tools" / f"{command}.py", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.alone
@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_shared_24_killed_stopped_and_starved_workers_fail_no_call_and_leave_nothing_behind(steering, sleeper):
    """At a fifth or a twentieth of the rate where the machine has no time for more."""

    def attempt(rate):
        arguments = ["--seconds", "12", "--rate", f"{rate:g}", "--steering", steering, "--t1", "0.2"]
        assert "\npassed\n" in verdict("chaos", *arguments, seconds=200)

    sleeper.carried((50, 10, 3, 3), attempt)


def test_memory_is_flat_in_three_minutes_of_mixed_traffic(sleeper, tmp_path):
    def attempt(rate):
        arguments = ["--minutes", "3", "--rate", f"{rate:g}", "--t1", "0.1", "--samples", tmp_path / "soak.csv"]
        verdict("soak", *arguments, seconds=500)

    sleeper.carried((30, 10, 4, 4), attempt)
    assert len((tmp_path / "soak.csv").read_text().splitlines()) > 100


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["chaos", "--ways", "kill,tickle"], "no such way of breaking: tickle"),
        (["soak"], "the following arguments are required: --minutes"),
    ],
)
def test_a_wrong_option_is_answered_with_the_command_that_was_typed(arguments, complaint):
    line = [sys.executable, ROOT / "tools" / f"{arguments[0]}.py", *arguments[1:]]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"./dev {arguments[0]}: error: {complaint}"
