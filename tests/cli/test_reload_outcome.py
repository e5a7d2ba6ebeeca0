"""siphonctl reload waits for what comes of it and tells it by text and exit status."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from free_ports import free_port

from siphon.cli import directory
from workers.application import Flag

GOOD = """
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(200, "{word}")
"""
FOREVER = "n = 0\nwhile True:\n    n += 1\n"
STUBBORN = "while True:\n    try:\n        n = 1\n    except Exception:\n        pass\n"
FOREVER_ONCE = """
import os
from siphon import proxy

@proxy.on_request
def route(request):
    if not os.path.exists("began"):
        open("began", "w").close()
        while True:
            pass
    request.reply(200, "OK")
"""
SLOW_IN_THE_WORKERS = """
import os, time
from siphon import proxy

@proxy.on_request
def route(request):
    request.reply(200, "slow")

if not os.path.exists("proved"):
    open("proved", "w").close()
else:
    time.sleep(2)
"""


def version(site):
    return json.loads(site.siphonctl("status", "--json").stdout)["script_version"]


def reload(site):
    done = site.siphonctl("reload")
    return done.returncode, done.stdout + done.stderr


def test_when_it_returns_every_worker_serves_by_the_new_script(site):
    site.script.write_text(GOOD.format(word="one"))
    site.start()
    before = version(site)
    for number in range(1, 4):
        site.script.write_text(GOOD.format(word=f"word{number}"))
        assert reload(site) == (0, f"reloaded: script version {before + number}\n")
        assert {site.ask() for _ in range(20)} == {b"SIP/2.0 200 word%d" % number}
        assert version(site) == before + number


@pytest.mark.parametrize(
    ("script", "line", "what"),
    [
        ("def route(:\n", 1, "SyntaxError"),
        ("\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("import nowhere_to_be_found\n", 1, "nowhere_to_be_found"),
        ("import sys\nsys.exit(0)\n", 2, "SystemExit"),
    ],
)
def test_a_broken_script_is_1_with_its_line_and_the_traceback_is_in_the_log(site, script, line, what):
    site.start()
    before = version(site)
    site.script.write_text(script)
    status, text = reload(site)
    assert status == 1 and text.startswith(f"{site.script}:{line}: script.path: ") and what in text
    assert "script.traceback" in site.text() and what in site.text()
    assert site.ask() == b"SIP/2.0 200 OK" and version(site) == before


def test_a_key_that_counts_from_the_next_start_is_named_in_the_log_and_the_rest_is_taken_over(site):
    site.start()
    site.configure(('state_dir = "state"', 'state_dir = "state"\ninstance_id = "another"\nserver_header = "new"'))
    status, text = reload(site)
    assert (status, text[:9]) == (0, "reloaded:")
    assert "counts from the next start or upgrade: server.instance_id\n" in site.text()
    assert b"\r\nServer: new\r\n" in site.ask(whole=True)


def test_what_the_supervisor_waits_at_most_is_taken_over(site):
    process = site.start()
    site.configure(
        ('reload = "sighup"', 'reload = "sighup"\nhandler_stall_abort_secs = 1'),
        ('state_dir = "state"', 'state_dir = "state"\ndrain_secs = 77\nupgrade_secs = 55'),
    )
    site.script.write_text(FOREVER_ONCE)
    assert reload(site)[0] == 0
    assert directory.description(site.shared)["upgrade_secs"] == 55
    assert site.ask() == b"SIP/2.0 200 OK"  # a sibling's or the next worker's answer
    site.until(lambda: re.search(r"a handler has not returned for [1-9]", site.text()))
    process.send_signal(signal.SIGTERM)
    site.until(lambda: "draining limit_secs=77" in site.text())


def test_the_log_goes_on_in_another_file_and_one_that_cannot_be_opened_is_refused(site):
    site.start()
    site.configure(more='[log]\nfile = "one.log"\n')
    assert reload(site)[0] == 0
    one, two = site.place / "one.log", site.place / "two.log"
    site.until(lambda: one.read_text().count("script.loaded") >= 3)  # two workers and the helper for timers
    before = site.text()
    site.configure(more='[log]\nfile = "none/siphond.log"\n')
    status, text = reload(site)
    assert (status, text) == (
        1,
        f"{site.file}: log.file: cannot open {site.place}/none/siphond.log: no such file or directory\n",
    )
    site.configure(more='[log]\nfile = "two.log"\n')
    assert reload(site)[0] == 0
    site.until(lambda: two.read_text().count("script.loaded") >= 3)
    assert site.text() == before
    site.configure()
    assert reload(site)[0] == 0
    site.until(lambda: site.text().count("script.loaded") >= before.count("script.loaded") + 3)


def test_copies_for_a_collector_begin_and_end_with_a_reload(site):
    site.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        site.configure(more=f'[tracing.hep]\nendpoint = "127.0.0.1:{collector.getsockname()[1]}"\n')
        assert reload(site)[0] == 0
        site.until(lambda: call_id(site) in copies(collector))
        site.configure()
        assert reload(site)[0] == 0
        asked = [call_id(site) for _ in range(10)]
        late = copies(collector)  # of earlier ones, perhaps
        assert not any(one in late for one in asked)


def call_id(site):
    """Of a request that has been answered."""
    return re.search(rb"Call-ID: (\S+)", site.ask(whole=True))[1]


def copies(collector):
    """All that have come."""
    found = b""
    collector.settimeout(0.1)
    with suppress(TimeoutError):
        while True:
            found += collector.recv(65536)
    return found


@pytest.mark.parametrize("script", [FOREVER, STUBBORN])
def test_a_script_that_never_ends_loading_is_refused_with_the_line_where_it_is(site, script):
    site.configure(('reload = "sighup"', 'reload = "sighup"\nhandler_stall_abort_secs = 1'))
    site.start()
    site.script.write_text(script)
    status, text = reload(site)
    assert status == 1 and "LoadTooLong: it is not loaded after 1 s" in text
    assert text.startswith(f"{site.script}:")
    assert site.ask() == b"SIP/2.0 200 OK"


def test_a_wrong_configuration_is_1_and_names_the_key(site):
    site.start()
    site.configure(("count = 2", "cuont = 2"))
    status, text = reload(site)
    assert status == 1 and "workers.cuont" in text
    site.configure(("count = 2", "count = 3"))
    assert reload(site) == (1, f"{site.file}: needs a stop and a start: workers.count\n")


def test_an_upgrade_takes_over_what_a_reload_says_that_it_does(site):
    roomy = ("max_transactions = 256", "max_transactions = 1024")
    site.configure(roomy)
    site.start()
    port = free_port()
    site.configure(
        roomy,
        ("count = 2", 'count = 3\nsteering = "spread"'),
        (f'udp = ["127.0.0.1:{site.port}"]', f'udp = ["127.0.0.1:{site.port}", "127.0.0.1:{port}"]\nrcvbuf = 65536'),
        ("max_dialogs = 64", "max_dialogs = 64\ntimeout_ms = 300"),
        more='[registrar]\nredis = { url = "redis://127.0.0.1" }\n',
    )
    names = (
        *("listen.udp", "listen.rcvbuf", "workers.count", "workers.steering", "shared.timeout_ms"),
        "registrar.redis",
    )
    status, text = reload(site)
    assert (status, text) == (1, f"{site.file}: needs a restart: {', '.join(names)}; `siphonctl upgrade` is enough\n")
    assert site.siphonctl("upgrade").returncode == 0
    try:
        assert reload(site)[0] == 0
        site.port = port
        assert site.ask() == b"SIP/2.0 200 OK"
    finally:
        site.siphonctl("stop", "--now")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (("udp = [", 'udp = ["127.0.0.1:9", '), "listen.udp"),
        (("max_dialogs = 64", "max_dialogs = 65"), "shared.max_dialogs"),
        (('state_dir = "state"', 'state_dir = "other"'), "server.state_dir"),
        (("[shared]", '[shared]\nlocation = "redis://127.0.0.1:1"'), "shared.location"),
    ],
)
def test_what_an_upgrade_refuses_too_needs_a_stop_and_a_start(site, change, names):
    site.start()
    site.configure(change, ("count = 2", 'count = 2\nsteering = "spread"'))
    status, text = reload(site)
    assert status == 1 and f": needs a stop and a start (for {names}): " in text and "workers.steering" in text
    assert site.siphonctl("upgrade").returncode == 1


def test_without_an_instance_it_is_3_and_while_it_starts_or_drains_1(site):
    assert site.siphonctl("reload").returncode == 3
    process = site.start()
    slots = site.slots()
    slots.raise_flags(Flag.STARTING)
    assert reload(site) == (1, "siphond is starting: it reads configuration and script anyway\n")
    slots.lower_flags(Flag.STARTING)
    process.send_signal(signal.SIGTERM)
    site.until(lambda: slots.flags & Flag.DRAINING or process.poll() is not None)
    assert reload(site)[0] in (1, 3)  # it stops half a second later


def test_two_at_once_both_learn_what_came_of_one_that_began_after_them(site):
    site.start()
    before = version(site)
    line = [sys.executable, "-m", "siphon.cli.siphonctl", "-c", str(site.file), "reload"]
    asked = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=site.place) for _ in range(4)]
    told = [process.communicate(timeout=60)[0] for process in asked]
    assert [process.returncode for process in asked] == [0] * 4
    versions = {int(text.split()[-1]) for text in told}
    assert before < min(versions) and max(versions) <= before + 4 and version(site) == max(versions)
    assert site.ask() == b"SIP/2.0 200 OK"


def test_who_asks_while_one_runs_gets_the_script_as_it_was_when_he_asked(site):
    site.start()
    site.script.write_text("import time\ntime.sleep(1)\n" + GOOD.format(word="first"))
    assert site.siphonctl("reload", "--no-wait").returncode == 0
    site.until(lambda: json.loads((site.shared / "reloads").read_text())["begun"] == 1)
    site.script.write_text(GOOD.format(word="second"))
    assert reload(site)[0] == 0
    assert {site.ask() for _ in range(20)} == {b"SIP/2.0 200 second"}


def test_a_script_that_loads_slowly_kills_no_worker(site):
    site.start()
    site.script.write_text(SLOW_IN_THE_WORKERS)
    began = time.monotonic()
    assert reload(site)[0] == 0 and time.monotonic() - began > 2
    assert {site.ask() for _ in range(10)} == {b"SIP/2.0 200 slow"}
    assert all(worker["restarts"] == 0 for worker in json.loads(site.siphonctl("status", "--json").stdout)["workers"])


FAILS_IN_A_WORKER = """
import os
if not os.path.exists("proved"):
    open("proved", "w").close()
else:
    raise RuntimeError("on purpose")
"""


def test_a_script_that_loads_in_the_check_and_not_in_the_workers_is_told(site):
    site.start()
    site.script.write_text(FAILS_IN_A_WORKER)
    status, text = reload(site)
    assert status == 1 and text.count("could not switch") == 3 and "on purpose" in text
    assert site.ask() == b"SIP/2.0 200 OK"
