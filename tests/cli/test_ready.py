import json
import os
import signal
import socket

import pytest

from workers.application import Flag


def ready(site):
    """Exit status, names of the reasons, text."""
    for _ in range(5):  # it may change between the two
        told, spoken = site.siphonctl("ready", "--json"), site.siphonctl("ready")
        if told.returncode == spoken.returncode:
            break
    found = json.loads(told.stdout)
    assert told.returncode == spoken.returncode == (0 if found["ready"] else 1)
    assert len(found["reasons"]) == len(found["texts"]) and found["ready"] == (found["reasons"] == [])
    return told.returncode, found["reasons"], spoken.stdout


def test_without_an_instance_it_is_3_and_with_a_wrong_option_2(site):
    done = site.siphonctl("ready")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"no siphond runs with {site.shared}\n")
    assert site.siphonctl("ready", "--nonsense").returncode == 2


def test_a_running_instance_is_ready_and_so_it_is_while_a_worker_is_dead(site):
    process = site.start()
    assert ready(site) == (0, [], "ready\n")
    workers = json.loads(site.siphonctl("status", "--json").stdout)["workers"]
    process.send_signal(signal.SIGSTOP)
    try:
        for number, worker in enumerate(workers):
            os.kill(worker["pid"], signal.SIGKILL)
            site.until(lambda worker=worker: not alive(worker["pid"]))
            wanted = (0, []) if number == 0 else (1, ["workers"])
            site.until(lambda wanted=wanted: ready(site)[:2] == wanted)
    finally:
        process.send_signal(signal.SIGCONT)
    site.until(lambda: ready(site)[0] == 0)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (Flag.DRAINING, ["draining"]),
        (Flag.STATE_AWAY, ["shared_state"]),
        (Flag.STARTING | Flag.DRAINING, ["starting", "draining"]),
    ],
)
def test_a_flag_makes_it_not_ready_and_says_why(site, flags, names):
    site.start()
    slots = site.slots()
    slots.raise_flags(flags)
    status, found, text = ready(site)
    assert (status, found) == (1, names) and text.count("not ready: ") == len(names)
    slots.lower_flags(flags)
    assert ready(site)[0] == 0


@pytest.mark.parametrize(("flag", "answer"), [(Flag.STATE_BEHIND, b"503"), (Flag.STARTING, b"200")])
def test_new_work_gets_503_while_the_shared_state_is_behind_and_is_served_while_others_start(site, flag, answer):
    site.start()
    slots = site.slots()
    slots.raise_flags(flag)
    assert site.ask().split()[1] == answer
    slots.lower_flags(flag)
    assert site.ask() == b"SIP/2.0 200 OK"


def test_what_an_earlier_run_has_left_in_the_flags_counts_no_more(site):
    process = site.start()
    site.slots().raise_flags(Flag.STATE_AWAY | Flag.DRAINING)
    process.kill()
    process.wait()
    site.start()
    assert ready(site) == (0, [], "ready\n")


def test_a_missing_table_is_named(site):
    site.start()
    (site.shared / "dialogs").unlink()
    assert ready(site)[:2] == (1, ["table"])
    assert "dialogs" in site.siphonctl("ready").stdout


WAITS_IN_THE_WORKERS = """
import pathlib, time
proved = pathlib.Path("proved")
if not proved.exists():
    proved.touch()
else:
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
"""


def test_it_is_not_ready_while_it_starts(site):
    site.script.write_text(WAITS_IN_THE_WORKERS)
    site.launch()
    site.until(lambda: site.siphonctl("ready").returncode != 3)
    assert ready(site)[:2] == (1, ["starting"])
    assert json.loads(site.siphonctl("status", "--json").stdout)["state"] == "starting"
    (site.place / "go").touch()
    site.until(lambda: site.siphonctl("ready").returncode == 0)


FORWARDING = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.relay("sip:127.0.0.1:{port}")
"""


def test_it_is_not_ready_while_it_drains(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        site.script.write_text(FORWARDING.format(port=phone.getsockname()[1]))
        process = site.start()
        site.send("INVITE")
        phone.settimeout(60)
        phone.recv(4096)
        process.send_signal(signal.SIGTERM)
        site.until(lambda: site.siphonctl("ready").returncode == 1)
        assert ready(site)[1] == ["draining"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert site.siphonctl("ready").returncode == 3
