"""registrar.on_change in a running siphond: the helper process that runs the handlers (API 11.3)."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

SCRIPT = """
import os
import time
from pathlib import Path

from siphon import proxy, registrar, timer

told = Path(__file__).with_name("told")

@proxy.on_request("REGISTER")
def register(request):
    registrar.save(request)
{decorator}
def changed(aor, event, contacts):
    uris, local = [str(c) for c in contacts], [c.is_local for c in contacts]
    with told.open("a") as file:
        file.write(f"{{os.getpid()}} {{aor}} {{event}} {{uris}} {{local}}\\n")
    while Path(__file__).with_name("slow").exists():
        time.sleep(0.01)
    if "poison" in aor:
        os.kill(os.getpid(), 9)
    if "later" in aor:
        timer.set(aor, 0, by_a_worker)
    if "raise" in aor:
        raise RuntimeError("of the handler")

def by_a_worker(aor):
    with told.open("a") as file:
        file.write(f"{{os.getpid()}} {{aor}} timer -\\n")
"""
ON_CHANGE = "\n@registrar.on_change"


class Phone:
    """Registers and waits for the answer."""

    def __init__(self, site):
        self.site = site
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(60)
        self.cseq = 0

    def register(self, user="bob", expires=600):
        self.cseq += 1
        port, branch = self.socket.getsockname()[1], f"z9hG4bK{os.urandom(6).hex()}"
        text = (
            f"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch={branch}\r\n"
            f"From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: {user}\r\n"
            f"CSeq: {self.cseq} REGISTER\r\nContact: <sip:{user}@127.0.0.1:{port}>\r\nExpires: {expires}\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        self.socket.sendto(text.encode(), ("127.0.0.1", self.site.port))
        assert self.socket.recv(4096).startswith(b"SIP/2.0 200")

    def told(self):
        """(pid, aor, event, the rest) of each call of the handler."""
        file = self.site.place / "told"
        return [line.split(" ", 3) for line in file.read_text().splitlines()] if file.exists() else []

    def events(self):
        return [event for _, _, event, _ in self.told()]


@pytest.fixture
def phone(site):
    site.script.write_text(SCRIPT.format(decorator=ON_CHANGE))
    made = Phone(site)
    yield made
    made.socket.close()


def helpers(site):
    found = json.loads(site.siphonctl("status", "--json").stdout)
    return {helper["name"]: helper for helper in found["helpers"]}


def test_handlers_run_in_one_process_that_is_no_worker_with_the_bindings_at_delivery(site, phone):
    site.start()
    phone.register()
    phone.register()
    site.until(lambda: phone.events() == ["registered", "refreshed"])
    phone.register(expires=0)
    site.until(lambda: phone.events() == ["registered", "refreshed", "deregistered"])
    told, events = phone.told(), helpers(site)["events"]
    assert {int(pid) for pid, *_ in told} == {events["pid"]}
    site.until(lambda: helpers(site)["events"]["beats"])
    assert events["state"] in ("idle", "busy")
    assert Path(f"/proc/{events['pid']}/cmdline").read_bytes().rstrip(b"\0 ") == b"siphond: helper events"
    contact = f"sip:bob@127.0.0.1:{phone.socket.getsockname()[1]}"
    assert [rest for *_, rest in told] == [f"['{contact}'] [False]"] * 2 + ["[] []"]
    assert told[0][1] == "sip:bob@example.com"


def test_a_slow_handler_delays_no_register_and_one_that_raises_is_logged(site, phone):
    site.start()
    (site.place / "slow").touch()
    phone.register("alice")
    site.until(phone.events)
    for _ in range(20):
        phone.register("carol")  # while the handler goes on
    (site.place / "slow").unlink()
    phone.register("raise")
    site.until(lambda: len(phone.events()) == 22)
    site.until(lambda: all(text in site.text() for text in ("RuntimeError", "script.error", " events ")))


def test_a_helper_that_is_killed_in_a_handler_comes_back_and_the_event_is_told_again(site, phone):
    site.start()
    (site.place / "slow").touch()
    phone.register()
    site.until(phone.events)
    os.kill(helpers(site)["events"]["pid"], signal.SIGKILL)
    phone.register(expires=0)
    (site.place / "slow").unlink()
    site.until(lambda: phone.events() == ["registered", "registered", "deregistered"])
    assert helpers(site)["events"]["restarts"] == 1
    site.until(lambda: "helper events runs again" in site.text())


def test_an_event_whose_handler_kills_the_helper_is_given_up_and_others_are_told(site, phone):
    site.start()
    phone.register("poison")
    phone.register("bob")
    site.until(lambda: "given up" in site.text())
    phone.register("bob")
    site.until(lambda: [aor for _, aor, _, _ in phone.told()].count("sip:bob@example.com") >= 2)
    assert [aor for _, aor, _, _ in phone.told()].count("sip:poison@example.com") == 3


def test_events_that_nobody_has_been_told_of_survive_a_restart(site, phone):
    process = site.start()
    (site.place / "slow").touch()
    for user in ("alice", "bob"):
        phone.register(user)
    site.until(phone.events)
    assert site.stop(process) == 0
    (site.place / "slow").unlink()
    site.start()
    site.until(lambda: len(phone.events()) == 3)
    assert sorted(aor for _, aor, _, _ in phone.told()) == ["sip:alice@example.com"] * 2 + ["sip:bob@example.com"]


def test_the_helper_is_started_by_the_reload_that_brings_the_handler_and_ends_with_the_rest(site, phone):
    site.script.write_text(SCRIPT.format(decorator=""))
    process = site.start()
    assert list(helpers(site)) == ["timer", "journal"]
    phone.register()
    site.script.write_text(SCRIPT.format(decorator=ON_CHANGE))
    assert site.siphonctl("reload").returncode == 0
    site.until(lambda: "events" in helpers(site) and helpers(site)["events"]["beats"])
    phone.register()
    site.until(lambda: phone.events() == ["refreshed"])
    pid = helpers(site)["events"]["pid"]
    site.script.write_text(SCRIPT.format(decorator=ON_CHANGE).replace("{event}", "{event.upper()}"))
    assert site.siphonctl("reload").returncode == 0
    site.until(lambda: site.text().count("script.loaded version=3") == 4)
    phone.register()
    site.until(lambda: phone.events() == ["refreshed", "REFRESHED"])
    assert site.stop(process, signal.SIGTERM) == 0
    assert not Path(f"/proc/{pid}").exists()


def test_a_handler_sets_a_timer_that_a_worker_fires(site, phone):
    site.start()
    phone.register("later")
    site.until(lambda: phone.events() == ["registered", "timer"])
    (told, *_), (fired, *_) = phone.told()
    assert told != fired and int(fired) != helpers(site)["events"]["pid"]
