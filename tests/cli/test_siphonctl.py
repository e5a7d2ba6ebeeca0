import json
import os
import signal
import stat

import pytest

from siphon.cli import finding


def status(site):
    done = site.siphonctl("status", "--json")
    return done.returncode, json.loads(done.stdout)


def test_without_an_instance_it_is_3(site):
    done = site.siphonctl("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"no siphond runs with {site.shared}\n"
    assert list(site.shared.iterdir()) == []


@pytest.mark.parametrize("arguments", [["status", "--nonsense"], ["nonsense"]])
def test_a_wrong_command_line_is_2(site, arguments):
    assert site.siphonctl(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("given", "meant"), [("registration", "registrations"), ("reg", "registrations"), ("stats", "status")]
)
def test_a_command_that_is_not_there_names_the_nearest(site, given, meant):
    done = site.siphonctl(given)
    assert done.returncode == 2 and f"No such command '{given}'. Did you mean {meant}?" in done.stderr


def test_the_help_has_a_whole_sentence_for_each_command(site):
    commands = site.siphonctl("--help").stdout.partition("Commands:\n")[2]
    assert "status" in commands and "..." not in commands


def test_a_configuration_that_cannot_be_read_is_2(site):
    site.file.write_text("x = ")
    done = site.siphonctl("status")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{site.file}:1: not valid TOML")
    site.configure((str(site.shared), "~no-such-user/x"))
    done = site.siphonctl("status")
    assert done.returncode == 2
    assert done.stderr == f'{site.file}: shared.path: "~no-such-user" is nobody\'s home directory\n'


@pytest.mark.parametrize("broken", ["x = ", "\x00", 'path = "elsewhere"\n[[shared'])
def test_a_running_instance_is_found_although_its_configuration_cannot_be_read(site, broken):
    process = site.start()
    site.file.write_text(f"{broken}\n{site.file.read_text()}")
    done = site.siphonctl("status")
    assert done.returncode == 0 and f"pid {process.pid}, running" in done.stdout
    wrong, where = done.stderr.splitlines()
    assert wrong.startswith(f"{site.file}:") and where.endswith(f"was started with it, in {site.shared}")
    refused = site.siphonctl("reload")
    assert refused.returncode == 1 and refused.stderr.count(wrong) == 2
    assert site.siphonctl("stop", "--now").returncode == 0
    assert site.siphonctl("status").returncode == 2


def test_a_broken_configuration_finds_no_instance_that_another_one_started(site):
    site.start()
    other = site.place / "other.cfg"
    other.write_text(f'x = \n[shared]\npath = "{site.shared}"\n')
    done = site.run("siphonctl", "-c", other, "status")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_place_that_is_not_the_usual_one_is_read_out_of_a_broken_file(site, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "USUAL", tmp_path / "nothing")
    site.start()
    site.file.write_text(f"x = \n{site.file.read_text()}")
    monkeypatch.setattr(finding, "_become_owner", lambda place: None)
    assert finding.instance(str(site.file))[0] == site.shared


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["ready"], ["counters"], ["calls", "--json"]])
def test_who_stops_reading_changes_no_exit_status_and_a_full_disk_is_74(site, words):
    site.start()
    reading, writing = os.pipe()
    os.close(reading)
    assert site.print_to(writing, "siphonctl", *words) == (0, "")
    os.close(writing)
    with open("/dev/full", "wb") as full:
        status, text = site.print_to(full.fileno(), "siphonctl", *words)
        assert (status, text) == (74, "the output cannot be written: no space left on device\n")
        assert site.print_to(full.fileno(), "siphond", "--check") == (status, text)


def test_what_a_terminal_does_not_have_is_printed_as_an_escape(site):
    path = site.place / "b\N{LATIN SMALL LETTER U WITH DIAERESIS}.cfg"
    site.file = site.file.rename(path)
    done = site.run("siphond", "--check", "-c", path)
    assert done.stdout.startswith(f"{path}: ok\n")
    with (site.place / "shown").open("w+") as shown:
        assert site.print_to(shown.fileno(), "siphond", "--check", PYTHONIOENCODING="ascii") == (0, "")
        shown.seek(0)
        assert shown.readline() == f"{site.place}/b\\xfc.cfg: ok\n"


@pytest.mark.parametrize("words", [["bans", "add", "192.0.2.1", "--secs", "nan"], ["trace", "x", "--seconds", "nan"]])
def test_a_time_that_is_no_number_is_a_wrong_command_line(site, words):
    site.start()
    done = site.siphonctl(*words)
    assert done.returncode == 2 and "nan is not a number" in done.stderr


def test_status_of_a_running_instance_for_people_and_programs(site):
    process = site.start()
    site.ask()

    def is_counted():
        """A worker that is late for a moment does not beat, and counters are written a moment later, each kind at its
        own."""
        code, found = status(site)
        datagrams = sum(worker["datagrams"] for worker in found["workers"])
        return code == 0 and (datagrams, found["counters"]["requests"]) == (1, 1) and found

    found = site.until(is_counted)
    assert (found["pid"], found["state"], found["all_beat"]) == (process.pid, "running", True)
    assert [worker["name"] for worker in found["workers"]] == ["worker 1", "worker 2"]
    assert [helper["name"] for helper in found["helpers"]] == ["timer", "journal"]
    assert all(worker["beats"] and worker["heartbeat_age"] < 60 for worker in found["workers"])
    assert found["transactions"] == 1 and found["tables"]["transactions"]["records_max"] == 256
    assert found["counters"]["requests"] == 1
    done = site.siphonctl("status")
    assert done.returncode == 0
    for text in (f"pid {process.pid}, running", "PROCESS", "worker 1", "timer", "transactions", "requests 1"):
        assert text in done.stdout


def test_status_works_while_workers_are_stopped_and_killed(site):
    process = site.start()
    stuck = status(site)[1]["workers"][0]["pid"]
    process.send_signal(signal.SIGSTOP)
    try:
        os.kill(stuck, signal.SIGKILL)
        site.until(lambda: [worker["state"] for worker in status(site)[1]["workers"]] == ["dead", "idle"])
        assert status(site)[0] == 1
        assert "not all workers beat" in site.siphonctl("status").stdout
    finally:
        process.send_signal(signal.SIGCONT)
    site.until(lambda: status(site)[0] == 0)
    assert status(site)[1]["workers"][0]["restarts"] == 1


def test_status_writes_nothing(site):
    site.start()
    site.siphonctl("status")
    files = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in site.shared.iterdir()}
    for path in site.shared.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    site.siphonctl("status", "--json")
    after = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in site.shared.iterdir()}
    assert after.keys() == files.keys()
    assert after[site.shared / "lock"] == files[site.shared / "lock"]


def test_status_shows_the_other_tables_when_one_is_unreadable(site):
    site.start()
    (site.shared / "nonces").unlink()
    code, found = status(site)
    assert code == 0 and found["tables"]["nonces"] is None
    assert "nonces" in site.siphonctl("status").stdout and "unreadable" in site.siphonctl("status").stdout


def test_status_needs_only_the_place_of_the_tables_from_a_faulty_file(site):
    site.start()
    site.configure(("count = 2", "cuont = 2"))
    assert site.siphonctl("status").returncode == 0


@pytest.mark.parametrize("arguments", [["stop"], ["stop", "--now"]])
def test_stop_returns_when_it_has_stopped(site, arguments):
    process = site.start()
    done = site.siphonctl(*arguments)
    assert done.returncode == 0, done.stderr
    assert process.wait(60) == 0
    assert site.siphonctl("stop").returncode == 3
    assert site.siphonctl("reload").returncode == 3


def test_status_says_how_much_of_the_registrations_outlives_a_reboot(site):
    site.start()
    site.until(lambda: status(site)[1]["journal"] is not None and not status(site)[1]["journal"]["is_compacting"])
    found = status(site)[1]["journal"]
    assert (found["records"], found["waiting"], found["behind_secs"], found["error"]) == (0, 0, 0.0, None)
    assert found["bytes"] == next((site.place / "state").glob("location-*.journal")).stat().st_size
    assert "journal: 0 of them in 1.0 kB" in site.siphonctl("status").stdout


def test_without_a_state_directory_there_is_no_journal(site):
    site.configure(('[server]\nstate_dir = "state"\n', ""))
    site.start()
    code, found = status(site)
    assert code == 0 and found["journal"] is None
    assert [helper["name"] for helper in found["helpers"]] == ["timer"]
    assert list(site.place.rglob("*.journal")) == list(site.shared.rglob("*.journal")) == []
