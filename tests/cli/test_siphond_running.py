"""A siphond that runs: second starts, reloads, restarts, status, stops."""

import json
import os
import re
import signal
import socket

import pytest


def pids(site):
    found = json.loads(site.siphonctl("status", "--json").stdout)
    return [worker["pid"] for worker in found["workers"]]


def test_it_serves_says_so_and_stops_as_asked(site):
    process = site.start()
    assert site.ask() == b"SIP/2.0 200 OK"
    assert site.stop(process, signal.SIGTERM) == 0
    lines = site.text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info \w+ - \S", line) for line in lines), lines
    assert "starting version=" in site.text() and "stopped status=0" in lines[-1]


def test_a_second_start_names_the_pid_that_holds_directory_or_address(site):
    process = site.start()
    second = site.siphond()
    assert second.returncode == 75
    assert f"{site.shared} is in use by siphond, process {process.pid}" in second.stderr
    site.configure((f'path = "{site.shared}"', f'path = "{site.shared}/inner"'))
    third = site.siphond()
    assert third.returncode == 75
    assert third.stderr == (
        f"listen.udp: cannot listen on 127.0.0.1:{site.port}: address in use by process {process.pid}\n"
    )
    assert site.ask() == b"SIP/2.0 200 OK"


def test_an_address_held_by_another_program_is_75(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", site.port))
        done = site.siphond()
    assert done.returncode == 75
    assert f"address in use by process {os.getpid()}" in done.stderr


def test_workers_on_the_command_line_go_before_the_file(site):
    site.start("--workers", "1")
    assert len(pids(site)) == 1
    assert site.siphonctl("status").returncode == 0


def test_tables_of_another_size_are_refused_until_fresh_is_said(site):
    site.stop(site.start())
    site.configure(("max_bindings = 64", "max_bindings = 128"))
    done = site.siphond()
    assert done.returncode == 78
    assert "shared memory does not fit" in done.stderr and "siphond --fresh" in done.stderr
    assert "or give shared.max_bindings its old value; without this file registrations come back" in done.stderr
    site.start("--fresh")
    assert site.ask() == b"SIP/2.0 200 OK"


def test_a_damaged_table_is_refused_until_fresh_is_said(site):
    site.stop(site.start())
    (site.shared / "transactions").write_bytes(b"\xff" * 8192)
    done = site.siphond()
    assert done.returncode == 78 and "siphond --fresh" in done.stderr
    site.stop(site.start("--fresh"))


def test_after_a_reboot_tables_on_a_disk_begin_empty(site):
    site.stop(site.start())
    (site.shared / "boot").write_text("0" * 32 + "\n")
    site.start()
    assert "tables.of_another_boot" in site.text()
    assert site.ask() == b"SIP/2.0 200 OK"


def test_a_killed_supervisor_leaves_nothing_that_a_new_one_must_fear(site):
    process = site.start()
    process.kill()
    process.wait()
    site.start()
    assert site.ask() == b"SIP/2.0 200 OK"


def test_a_reload_takes_the_new_script_and_log_level(site):
    site.start()
    site.script.write_text(site.script.read_text().replace('200, "OK"', '486, "Busy"'))
    site.configure(more='[log]\nformat = "json"\n')
    told = site.siphonctl("reload")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("reloaded: script version ")
    assert site.text().count("script.loaded") == 3
    assert site.ask() == b"SIP/2.0 486 Busy"
    loaded = [line for line in site.text().splitlines() if "script.loaded" in line]
    assert {json.loads(line)["process"] for line in loaded} == {"w1", "w2", "timer"}
    assert '"process":"main","call_id":"-","event":"reloaded"' in site.text()
    assert json.loads(site.siphonctl("status", "--json").stdout)["script_version"] == json.loads(loaded[0])["version"]


def test_a_reload_takes_settings_also_for_a_worker_that_starts_later(site):
    site.start()
    (site.place / "second.py").write_text(site.script.read_text().replace('200, "OK"', '486, "Busy"'))
    site.configure(("[server]", '[server]\nserver_header = "renamed"'), ('"script.py"', '"second.py"'))
    site.siphonctl("reload")
    site.until(lambda: b"Server: renamed" in site.ask(whole=True))
    old = pids(site)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    site.until(lambda: not set(old) & set(pids(site)) and site.siphonctl("status").returncode == 0)
    answers = [site.ask(whole=True) for _ in range(8)]
    assert all(answer.startswith(b"SIP/2.0 486 Busy") and b"Server: renamed" in answer for answer in answers)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda site: site.script.write_text("def f(:\n"), "script.py:1: script.path: SyntaxError"),
        (lambda site: site.file.write_text("x = "), "siphon.cfg:1: not valid TOML"),
        (
            lambda site: site.configure(("count = 2", 'count = 2\nsteering = "spread"')),
            "needs a restart: workers.steering",
        ),
    ],
)
def test_a_reload_with_a_fault_changes_nothing(site, break_it, message):
    site.start()
    before = pids(site)
    good = site.file.read_text()
    break_it(site)
    site.running[0].send_signal(signal.SIGHUP)
    site.until(lambda: "reload refused" in site.text())
    assert message in site.text()
    assert "Traceback" not in site.text() and "siphon/cli" not in site.text()
    assert site.ask() == b"SIP/2.0 200 OK"
    site.file.write_text(good)
    assert pids(site) == before


def test_a_worker_that_starts_over_a_broken_draft_runs_the_last_good_script(site):
    site.start()
    site.script.write_text(site.script.read_text().replace('200, "OK"', '486, "Busy"'))
    site.siphonctl("reload")
    site.until(lambda: site.text().count("script.loaded") == 3)
    site.script.write_text("def f(:\n")
    old = pids(site)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    site.until(lambda: not set(old) & set(pids(site)) and site.siphonctl("status").returncode == 0)
    assert {site.ask() for _ in range(8)} == {b"SIP/2.0 486 Busy"}
    assert "Traceback" not in site.text()


def test_a_worker_that_starts_over_a_removed_script_runs_the_one_of_the_start(site):
    site.start()
    site.script.unlink()
    old = pids(site)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    site.until(lambda: not set(old) & set(pids(site)) and site.siphonctl("status").returncode == 0)
    assert {site.ask() for _ in range(8)} == {b"SIP/2.0 200 OK"}


def test_a_script_that_changes_is_loaded_by_itself(site):
    site.configure(('reload = "sighup"', 'reload = "auto"'))
    site.start()
    site.script.write_text(site.script.read_text().replace('200, "OK"', '486, "Busy"'))
    site.until(lambda: site.ask() == b"SIP/2.0 486 Busy")


def test_the_demo_password_beyond_loopback_warns_at_start(site):
    site.configure(("127.0.0.1:", "0.0.0.0:"), more='[auth.users]\nalice = "secret"\n')
    site.start()
    assert f"alice: the demo password is served on 0.0.0.0:{site.port}; change it" in site.text()
    assert " warn main - configuration: " in site.text()


def test_the_log_file_is_opened_again_after_logrotate(site):
    site.configure(("127.0.0.1:", "127.0.0.1:"), more='[log]\nfile = "siphond.log"\n')
    log = site.place / "siphond.log"
    site.output = log
    process = site.start()
    log.rename(site.place / "siphond.log.1")
    site.until(lambda: process.send_signal(signal.SIGHUP) or (log.exists() and "reloaded" in log.read_text()))


def test_under_systemd_lines_carry_priorities(site):
    import subprocess
    import sys

    reading, writing = os.pipe()
    status = os.fstat(writing)
    environ = os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    site.script.write_text("raise ValueError\n")
    line = [sys.executable, "-m", "siphon.cli.siphond", "-c", site.file]
    subprocess.run(line, stdout=writing, stderr=subprocess.DEVNULL, env=environ, timeout=180)
    os.close(writing)
    with os.fdopen(reading) as journal:
        assert all(re.match(r"<3>\d{4}-\d\d-\d\dT\S+ error main - ", text) for text in journal)


def test_what_a_script_deserves_to_hear_is_logged_once_an_instance_and_once_a_reload(site):
    stub = "from siphon import b2bua\n@b2bua.on_invite\ndef never(call): ...\n"
    site.script.write_text(site.script.read_text() + stub + stub.replace("invite", "bye"))
    site.start()
    warning = "b2bua is not offered by siphond: its handlers are never called"
    assert site.text().count(warning) == 1
    site.siphonctl("reload")
    site.until(lambda: site.text().count("script.loaded") == 3)
    assert site.text().count(warning) == 2


def test_what_python_says_of_a_script_is_in_the_log_with_time_and_level(site):
    site.script.write_text(
        "import logging, sys, warnings\nfrom siphon import proxy, registrar\n"
        "warnings.simplefilter('default')\n@proxy.on_request\nasync def f(request):\n"
        "    registrar.aor_count()\n    logging.getLogger('lib').warning('%s is %s', 'disk', 'full')\n"
        "    logging.getLogger('lib').error('too %d', 'few')\n    sys.exit(3)\n"
    )
    process = site.start()
    assert site.ask() == b"SIP/2.0 500 Script Error"
    site.stop(process)
    lines = site.text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z (info|warn|error) \w+ ", line) for line in lines), lines
    assert re.search(r" warn w\d \S+ python.warning text=.*script.py:6: .*aor_count' was never awaited", site.text())
    assert 'python.log logger=lib text="disk is full"' in site.text()
    assert 'python.log logger=lib text="too %d"' in site.text()
    assert site.text().count("SystemExit: 3") == 2  # the summary, and the traceback's last line
