"""What is made of the measurements: usage, search, medians and ratios, differences of traces."""

import subprocess
import sys
import time

import machine
import page
import pytest
import report
from measure import search
from usage import Usage, pss_bytes, tree

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
PARENT = f"import os, sys\nif os.fork() == 0:\n    exec({BUSY!r})\n    print('done', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def family():
    """A process that waits, and its child that works for 0.3 s of CPU, says so and waits as well."""
    line = [sys.executable, "-c", PARENT]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def test_cpu_counts_children_and_memory_is_that_of_all(family):
    usage = Usage(family.pid)
    assert family.stdout.readline() == "done\n"
    assert len(tree(family.pid)) == 2
    assert 0.05 < usage.seconds() < 3
    assert all(pss_bytes(pid) > 100_000 for pid in tree(family.pid))


def test_a_process_that_ended_meanwhile_is_an_error(family):
    family.stdout.readline()
    usage = Usage(family.pid)
    child = tree(family.pid)[1]
    subprocess.run(["kill", "-9", str(child)], check=True)
    deadline = time.monotonic() + 10
    with pytest.raises(RuntimeError, match=f"have ended: \\[{child}\\]"):
        while time.monotonic() < deadline:
            usage.seconds()


@pytest.mark.parametrize("limit", [60, 500, 5000])
@pytest.mark.parametrize("guess", [100, 1000])
def test_the_search_ends_just_below_the_rate_that_fails(limit, guess):
    asked = []
    found = search(lambda rate: not asked.append(rate) and rate <= limit, guess, 0.05, most=30)
    assert 0.95 * limit - 1 <= found <= limit
    assert len(asked) == len(set(asked))


def test_a_search_in_which_nothing_passes_finds_0():
    assert search(lambda _: False, 100, 0.05) == 0


def one(cpu_us, *, rate=100.0, saturated=50.0, highest=1000.0):
    delay = {"p50": 100.0, "p99": 900.0}
    phase = {"offered": rate, "cpu_us": cpu_us, "delay_us": delay, "failed": 0, "retransmissions": 1, "repeats": 2}
    return {
        "paced": [phase],
        "idle_cpu_us_per_second": 70.0,
        "saturated": {"cpu_us": saturated, "calls_per_second": 10.0},
        "highest": {"rate": highest},
        "pss_registered_bytes": 2**20,
        "pss_loaded_bytes": 3 * 2**20,
        "reserved_bytes": 0,
        "log": [],
    }


def test_figures_are_medians_and_ratios_those_of_the_rounds():
    """A round in which the machine was slow counts like any other."""
    found = report.summary(
        {"siphond": [one(100.0), one(900.0), one(120.0)], "kamailio": [one(50.0), one(450.0), one(50.0)]}
    )
    assert found["siphond"]["paced"][0]["cpu_us"] == 120
    assert found["siphond"]["paced"][0]["cpu_ratio"] == 2.0
    assert found["kamailio"]["paced"][0]["cpu_ratio"] == 1.0
    assert found["siphond"]["paced"][0]["repeats"] == 3
    assert found["siphond"]["paced"][0]["p99_ms"] == 0.9
    assert found["siphond"]["pss_loaded_mb"] == 3


def test_without_kamailio_there_are_figures_and_no_ratios():
    result = {"summary": report.summary({"siphond": [one(100.0)]}), "traces": {}}
    assert result["summary"]["siphond"]["paced"][0]["cpu_ratio"] is None
    line = report.table(result).splitlines()[1].split()
    assert line[:4] == ["siphond", "100", "100", "-"]


def trace(*lines):
    return {"messages": {"caller0": list(lines)}, "handler_calls_per_call": 2.0, "clean": True}


def test_a_trace_that_differs_is_shown_as_a_diff():
    traces = {"siphond": trace("> INVITE", "< 100", "< 200"), "kamailio": trace("> INVITE", "< 200")}
    found = report.differences(traces)
    assert "-< 100" in found["kamailio"]
    words = report.traces_in_words({"differences": found, "traces": traces})
    assert words.startswith("kamailio: the agents saw other messages")


def test_traces_that_agree_are_said_to():
    traces = {"siphond": trace("> INVITE"), "kamailio": trace("> INVITE")}
    assert report.differences(traces) == {"kamailio": []}


def test_errors_that_a_server_logged_are_said():
    rounds = {"siphond": [one(1.0)], "kamailio": [one(1.0) | {"log": ["ERROR: no memory"]}]}
    assert report.complaints_in_words({"rounds": rounds}) == "kamailio complains: ERROR: no memory (1 lines)"


def test_a_python_without_optimizations_is_warned_of_and_described():
    debian = "'--build=x86_64-linux-gnu' '--enable-optimizations' '--with-lto' 'CFLAGS=-O2'"
    assert machine.warning(machine.python_options(debian, "/opt")) == ""
    assert machine.python_options("'--prefix=/opt' '--enable-shared'", "/opt") == []
    distribution = machine.python_options("'--enable-shared' '--prefix=/usr'", "/usr")
    assert machine.warning(distribution) == ""
    assert "--with-lto" in machine.warning(["--enable-optimizations"])
    found = machine.description()
    words = machine.in_words(found | {"python_options": ["--enable-optimizations"]})
    assert f"Python {found['python']} (--enable-optimizations, without --with-lto)" in words
    assert f"Python {found['python']} (of the distribution)," in machine.in_words(
        found | {"python_options": distribution}
    )


def test_how_siphond_was_compiled_is_read_from_its_modules(tmp_path):
    modules = [tmp_path / "siphon/sip/a.so", tmp_path / "shm/b.so"]
    for module, flags in zip(modules, (b"-O2 -fprofile-use", b"-O2"), strict=True):
        module.parent.mkdir(parents=True)
        module.write_bytes(b"\x7fELF GNU C17 " + flags)
    assert machine.guided(tmp_path, ".so") == "partly by profile"
    modules[0].write_bytes(b"")
    assert machine.guided(tmp_path, ".so") == "without profile"
    for module in modules:
        module.write_bytes(b"-fprofile-use")
    assert machine.guided(tmp_path, ".so") == machine.BY_PROFILE
    assert "(built by profile)" in machine.in_words(machine.description() | {"siphond_built": machine.BY_PROFILE})


def results_of(rounds):
    result = {
        "scenario": {"what": "INVITE"},
        "rounds": rounds,
        "summary": report.summary(rounds),
        "traces": {side: trace("> INVITE") for side in rounds},
    }
    result["differences"] = report.differences(result["traces"])
    facts = {"machine_in_words": "a machine", "machine": {"when": "today"}, "plan": {"workers": 2, "rounds": 1}}
    return facts | {"command": "./dev bench", "scenarios": {"call": result}}


def test_a_page_is_filled_between_its_marks_and_can_be_filled_again(tmp_path):
    file = tmp_path / "page.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    results = results_of({"siphond": [one(61.0)], "kamailio": [one(122.0)]})
    for _ in range(2):
        page.fill(file, results, tmp_path / "figures.png")
    text = file.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("| siphond | 100 | 61 | 0.50 | 0.10 | 0.90 | 0 | 3 |") == 1
    assert "- kamailio: the 1 messages" in text and "(figures.png)" in text


def test_a_page_without_marks_is_an_error(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("nothing\n")
    with pytest.raises(RuntimeError, match="no lines"):
        page.fill(file, results_of({"siphond": [one(1.0)]}))


def test_the_page_of_the_documentation_has_a_place_for_figures():
    text = (page.Path(__file__).parents[2] / "docs/performance.md").read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1
