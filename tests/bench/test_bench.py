"""A tiny run of ./dev bench over real servers, so that it cannot rot. Figures are not judged: the machine is busy."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import kamailio_server
import plot
import pytest
import run
from measure import Plan, traced
from report import differences
from scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--seconds", "1", "--warm-up", "0.2", "--rates", "5,10", "--rounds", "1", "--flight", "2", "--idle", "0.2"]


def needs(side):
    missing = kamailio_server.missing(side)
    return pytest.mark.skipif(bool(missing), reason=missing)


OTHERS = [pytest.param(side, marks=needs(side)) for side in ("kamailio", "kamailio-kemi", "kamailio-qm")]


def bench(*arguments, seconds=300):
    line = [sys.executable, ROOT / "bench/run.py", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("side", ["siphond", *OTHERS])
def test_a_side_is_measured_from_start_to_search(side, tmp_path):
    file = tmp_path / "results.json"
    arguments = ["--scenarios", "call", "--sides", side, "--search-seconds", "0.2", "--precision", "0.9"]
    done = bench(*TINY, *arguments, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(file.read_text())
    assert results["machine"]["cores"] >= 1
    (measured,) = results["scenarios"]["call"]["rounds"][side]
    assert [phase["started"] for phase in measured["paced"]] == [5, 10]
    assert measured["paced"][0]["cpu_us"] > 0
    assert measured["saturated"]["completed"] > 0
    assert measured["pss_loaded_bytes"] > 1_000_000
    assert measured["highest"]["tried"]
    assert measured["log"] == []


@functools.cache
def trace_of(side, scenario):
    return traced(side, scenario, Plan(workers=2), calls=2)


@pytest.mark.parametrize("side", OTHERS[:2])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_both_servers_say_the_same(side, scenario):
    """Whatever is compared is the same work: message by message, as the agents see it."""
    traces = {name: trace_of(name, scenario) for name in ("siphond", side)}
    assert all(trace["clean"] for trace in traces.values())
    assert differences(traces) == {side: []}
    assert all(trace["handler_calls_per_call"] >= 1 for trace in traces.values())


def test_results_can_be_shown_and_drawn_again(tmp_path):
    file = tmp_path / "results.json"
    done = bench(*TINY, "--scenarios", "message", "--sides", "siphond", "--search-seconds", "0", "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = bench("--from", file)
    assert shown.returncode == 0, shown.stderr
    assert [line for line in shown.stdout.splitlines() if line.startswith("siphond ")][0] in done.stdout
    if not plot.available():
        pytest.skip("matplotlib is not installed: nothing is drawn")
    assert bench("--from", file, "--plot", tmp_path / "figures.png").returncode == 0
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenarios", "call,dance"], "no such scenario: dance"),
        (["--sides", "asterisk"], "no such side: asterisk"),
    ],
)
def test_a_wrong_option_is_answered_with_the_command_that_was_typed(arguments, complaint):
    done = bench(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"./dev bench: error: {complaint}"


def test_without_kamailio_siphond_is_measured_alone_and_the_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(kamailio_server, "program", lambda: None)
    assert run.sides_of(run.options(["--quick"])) == ["siphond"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "without kamailio: kamailio is not installed (Debian: kamailio)"
    assert len(said) == 3
    assert kamailio_server.version() == ""


def test_without_its_python_module_only_that_side_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(kamailio_server, "program", lambda: "/bin/true")
    monkeypatch.setattr(kamailio_server, "MODULES", tmp_path)
    assert run.sides_of(run.options(["--quick"])) == ["siphond", "kamailio", "kamailio-qm"]
