"""Upgrades that must not come about, and processes that are killed in the middle of one."""

import os
import re
import signal
import time

import pytest
from free_ports import free_port
from lineage import SLOW, answers
from proxy_process import until
from udp_agent import Agent

from shm._layout import VERSION
from siphon.cli import directory

HANGS = "time.sleep(600)"
NEVER_READY = "import workers.predecessor as p\np.Predecessor.ready = lambda self: None"
ENDS_BY_ITSELF = """
import os, signal, threading, workers.predecessor as p
p.Predecessor.ready = lambda self: threading.Timer(4, os.kill, (os.getpid(), signal.SIGINT)).start()
"""
STOPS_SLOWLY = """
import workers.ending as e
stop = e.Ending.stop
def until_told(self):
    stop(self)
    while not os.path.exists("GO"):
        time.sleep(0.05)
e.Ending.stop = until_told
"""
SLOW_START = "time.sleep(7)"
"""Longer than a siphonctl that is asked at the same time, or a signal, takes to come."""
DIES_AT_THE_END = """
import os, signal, workers.predecessor as p
take = p.Predecessor.become
def become(self):
    take(self)
    DIES
p.Predecessor.become = become
"""
DIES = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def started(lineage):
    """A lineage of two workers whose log may have errors; the next one has `limit` seconds to serve."""

    def make(limit=60, **options):
        one = lineage(**{"workers": 2, **options})
        one.proxy.tolerated = "."
        one.configure("drain_secs = 1", f"drain_secs = 60\nupgrade_secs = {limit}")
        return one.start()

    return make


def serves_on(one, agent, pid: int) -> None:
    """As before: the same process, all workers, another upgrade possible."""
    assert one.holder() == pid
    answers(one.proxy, agent)
    until(lambda: one.proxy.control("status").returncode == 0, 30, "beating workers")
    assert one.proxy.status()["state"] == "running"


def upgrades_after_all(one, agent) -> None:
    one.put("")
    one.upgrade()
    answers(one.proxy, agent)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("sys.exit(7)", "the next siphond ended with exit status 7"),
        ("raise ImportError('a library is missing')", "the next siphond ended with exit status 1"),
        ("os.kill(os.getpid(), 9)", "the next siphond ended with SIGKILL"),
        (
            "import siphon.state.codec, siphon.state.layout as layout\nlayout.LAYOUT = 99",
            f"binding layout 2, siphond 0.1.0 uses table layout {VERSION}, slots layout 1, transaction layout 99",
        ),
        (
            "import shm._layout\nshm._layout.VERSION = 77",
            f"siphond 0.1.0 runs, it uses table layout {VERSION}, slots layout 1,",
        ),
    ],
)
def test_a_program_that_cannot_take_over_leaves_the_old_one_serving(more, what, started, agent):
    one = started()
    pid = one.holder()
    one.put(more)
    assert what in one.refused()
    assert what in one.proxy.log()
    serves_on(one, agent, pid)
    upgrades_after_all(one, agent)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("count = 2", "cuont = 2", "workers.cuont"),
        ("max_transactions = 20000", "max_transactions = 30000", "shared.max_transactions"),
        ('instance_id = "test"', 'instance_id = "test"\nbad = 1', "server.bad"),
        ("state_dir = ", "state_dir = 'elsewhere' #", "server.state_dir is"),
        ('udp = ["127.0.0.1:', 'udp = ["127.0.0.2:', "listen.udp: an upgrade may add addresses"),
        ("count = 2", "count = 56", "56 workers do not fit beside those of the siphond that runs"),
        ("script.py", "nowhere.py", "nowhere.py"),
    ],
)
def test_a_configuration_that_cannot_be_taken_leaves_the_old_one_serving(old, new, what, started, agent):
    one = started(script="from siphon import proxy\n@proxy.on_request\ndef f(r):\n    r.reply(200, 'OK')\n")
    pid = one.holder()
    before = one.proxy.configuration.read_text()
    one.configure(old, new)
    control = one.proxy.configuration
    error = one.refused()
    assert what in error
    control.write_text(before)
    serves_on(one, agent, pid)
    upgrades_after_all(one, agent)


def test_a_program_that_is_not_there_is_said(started, agent):
    one = started()
    pid = one.holder()
    one.proxy.program.chmod(0o600)
    one.proxy.program.write_text("nothing")
    assert "ended with exit status" in one.refused()
    serves_on(one, agent, pid)


@pytest.mark.parametrize("more", [HANGS, NEVER_READY])
def test_one_that_hangs_is_killed_at_the_limit_and_what_it_began_is_taken_over(more, started, agent):
    one = started(limit=20)
    pid = one.holder()
    one.put(more)
    bob, carol = agent(one.proxy, "bob"), agent(one.proxy, "carol")
    bob.register()
    control = one.ask()
    next_one = one.next_one(pid)
    calls, ringing, told = [], {}, set()
    while control.is_alive():  # some of these are served by workers of the one that will fail
        calls.append(carol.send(carol.request("INVITE", "sip:bob@example.com"), via=carol.bound()))
        next_call = time.monotonic() + 0.5
        while time.monotonic() < next_call:
            answered(bob, ringing)
        for call in set(list(ringing)[:-10]) - told:  # not to be given up after 32 s, on a machine that is slow
            bob.respond(ringing[call], 180, tag="b")
            told.add(call)
    status, text = control.outcome()
    assert (status, "does not serve within 20 s" in text) == (1, True), text
    one.until_gone(next_one, 20)
    until(lambda: answered(bob, ringing) >= len(calls), 60, "each call at the phone")
    for offered in ringing.values():
        bob.respond(offered, 486, tag="b")
    finals = set()
    until(lambda: busy(carol, finals) >= len(calls), 60, "the end of each call")
    serves_on(one, agent, pid)
    upgrades_after_all(one, agent)


def test_the_timers_of_one_that_ends_by_itself_are_taken_over(started, agent):
    """It leaves its slots in order, so nothing in the table tells that anybody was there."""
    one = started()
    one.put(ENDS_BY_ITSELF)
    bob, carol = agent(one.proxy, "bob"), agent(one.proxy, "carol")
    bob.register()
    control = one.ask()
    calls: list[bytes] = []
    ringing: dict = {}
    while control.is_alive():
        calls.append(carol.send(carol.request("INVITE", "sip:bob@example.com"), via=carol.bound()))
        until(lambda: answered(bob, ringing) >= len(calls), 30, "the call at the phone")
        time.sleep(0.2)
    assert "the next siphond ended with exit status 0" in control.outcome()[1]
    list(bob.drain())
    again: dict = {}
    until(lambda: answered(bob, again) >= len(calls), 30, "each call at the phone again")


def test_one_that_is_told_to_stop_before_it_has_taken_over_does_not_drain_the_old_one(started, agent):
    one = started()
    go = one.proxy.directory / "go"
    one.put(ENDS_BY_ITSELF + STOPS_SLOWLY.replace("GO", str(go)))
    bob, carol = agent(one.proxy, "bob"), agent(one.proxy, "carol")
    bob.register()
    control = one.ask()
    until(lambda: one.proxy.log().count(" stopping"), 60, "the end of the next one")
    for _ in range(3):
        carol.send(carol.request("INVITE", "sip:bob@example.com"), via=carol.bound())
        bob.respond(bob.expect("INVITE", but=["ACK"]), 486, tag="b")
        carol.expect("486 INVITE", but=["100 INVITE"])
    go.touch()
    status, text = control.outcome()
    assert (status, "ended with exit status 0" in text) == (1, True), text


def answered(bob: Agent, ringing: dict) -> int:
    message = bob.receive(0.05)
    if message is not None and message.is_a("INVITE"):
        ringing[message["call-id"]] = message
    return len(ringing)


def busy(carol: Agent, finals: set) -> int:
    message = carol.receive(0.05)
    if message is not None and message.is_a("486 INVITE"):
        finals.add(message["call-id"])
    return len(finals)


def test_two_upgrades_at_once_are_one(started, agent):
    one = started()
    pid = one.holder()
    one.put(SLOW_START)
    controls = [one.ask(), one.ask()]
    assert [control.outcome()[0] for control in controls] == [0, 0]
    assert one.holder() != pid
    one.until_gone(pid)
    assert one.proxy.log().count("upgrade: the next siphond starts") == 1
    answers(one.proxy, agent)


def test_an_upgrade_during_a_reload_begins_after_it(started, agent):
    one = started(script="import time\ntime.sleep(1.5)\nfrom siphon import proxy\n"
                  "@proxy.on_request\ndef f(r):\n    r.reply(200, 'OK')\n")  # fmt: skip
    pid = one.holder()
    os.kill(pid, signal.SIGHUP)
    one.upgrade()
    log = one.proxy.log()
    assert log.index(" reloaded") < log.index("upgrade: the next siphond starts")
    answers(one.proxy, agent)


def test_a_reload_during_an_upgrade_that_fails_is_made_afterwards(started, agent):
    one = started()
    pid = one.holder()
    one.put("time.sleep(2)\nsys.exit(3)")
    control = one.ask()
    one.next_one(pid)
    os.kill(pid, signal.SIGHUP)
    assert control.outcome()[0] == 1
    until(lambda: " reloaded" in one.proxy.log(), 20, "the reload")
    serves_on(one, agent, pid)


def test_a_reload_during_an_upgrade_is_passed_on_to_the_new_one(started):
    one = started()
    pid = one.holder()
    one.put(SLOW_START)
    control = one.ask()
    one.next_one(pid)
    os.kill(pid, signal.SIGHUP)
    assert control.outcome()[0] == 0
    until(lambda: " reloaded" in one.proxy.log(), 20, "the reload")
    log = one.proxy.log()
    assert log.index("upgrade: the next siphond serves") < log.index(" reloaded")


def test_an_upgrade_while_draining_is_refused(started, agent):
    one = started()
    bob, alice = agent(one.proxy, "bob"), agent(one.proxy, "alice")
    bob.register()
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    bob.respond(bob.expect("INVITE"), 180, tag="b")
    alice.expect("180 INVITE")
    one.proxy.send_signal(signal.SIGTERM)
    until(lambda: one.proxy.slots().flags, 20, "the drain")
    assert "siphond is about to stop" in one.refused()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_an_upgrade_ends_both(number, started):
    one = started()
    pid = one.holder()
    one.put(HANGS)
    control = one.ask()
    next_one = one.next_one(pid)
    os.kill(pid, number)
    assert control.outcome() == (1, "not upgraded: siphond was told to stop\n")
    assert one.proxy.process.wait(30) == 0
    one.until_gone(next_one, 20)


def test_a_new_one_that_dies_after_it_has_taken_over_gives_back(started, agent):
    one = started(script=SLOW)
    pid = one.holder()
    one.put(DIES_AT_THE_END.replace("DIES", DIES))
    alice = agent(one.proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    until(lambda: (one.proxy.directory / "runs").exists(), 30, "the handler")
    status, text = one.ask().outcome()
    assert (status, "ended with SIGKILL" in text) == (1, True), text
    (one.proxy.directory / "go").touch()
    alice.expect("200 MESSAGE", within=20, but=["100 MESSAGE"])
    serves_on(one, agent, pid)
    upgrades_after_all(one, agent)


def test_a_new_one_that_is_killed_while_the_old_one_finishes_gives_back(started, agent):
    one = started(script=SLOW)
    pid = one.holder()
    alice = agent(one.proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    until(lambda: (one.proxy.directory / "runs").exists(), 30, "the handler")
    assert one.ask().outcome()[0] == 0
    new = one.holder()
    assert new != pid
    os.kill(new, signal.SIGKILL)
    until(lambda: one.holder() == pid, 30, "the old one's return")
    (one.proxy.directory / "go").touch()
    alice.expect("200 MESSAGE", within=20, but=["100 MESSAGE"])
    serves_on(one, agent, pid)
    upgrades_after_all(one, agent)


def test_signals_to_the_old_one_while_it_finishes_go_to_the_new_one(started, agent):
    one = started(script=SLOW)
    pid = one.holder()
    alice = agent(one.proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    until(lambda: (one.proxy.directory / "runs").exists(), 30, "the handler")
    assert one.ask().outcome()[0] == 0
    new = one.holder()
    os.kill(pid, signal.SIGUSR2)
    until(lambda: "the siphond before this one has not ended yet" in one.proxy.log(), 30, "the refusal")
    os.kill(pid, signal.SIGTERM)
    one.until_gone(new)
    assert one.proxy.process.wait(30) == 0


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_new_one_whose_old_one_is_killed_goes_on(seconds, started, agent):
    one = started()
    pid = one.holder()
    bob = agent(one.proxy, "bob")
    bob.register()
    one.put("time.sleep(2)")
    control = one.ask()
    new = one.next_one(pid)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    until(lambda: one.holder() == new, 30, "the new one")
    status, text = control.outcome()
    assert status == 0 or f"process {pid}, has ended" in text  # it may look when the new one has yet to begin
    one.proxy.process.wait(30)
    answers(one.proxy, agent)
    assert len(bob.bindings()) == 1
    until(lambda: one.proxy.control("status").returncode == 0, 30, "beating workers")
    upgrades_after_all(one, agent)


def test_an_old_one_that_is_killed_while_it_finishes_leaves_its_work_to_the_new_one(started, agent):
    one = started(script=SLOW)
    pid = one.holder()
    alice = agent(one.proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    until(lambda: (one.proxy.directory / "runs").exists(), 30, "the handler")
    assert one.ask().outcome()[0] == 0
    new = one.holder()
    os.kill(pid, signal.SIGKILL)
    one.proxy.process.wait(30)
    (one.proxy.directory / "go").touch()
    alice.expect("200 MESSAGE", within=20, but=["100 MESSAGE"])
    assert one.holder() == new
    upgrades_after_all(one, agent)


@pytest.mark.parametrize("text", ["x", "-1", "999", "0"])
def test_garbage_in_the_variable_of_the_hand_over_is_no_start(text, siphond, monkeypatch):
    monkeypatch.setenv("SIPHOND_HANDOVER", text)
    proxy = siphond(workers=1)
    assert proxy.launch().wait(60) == 75
    assert re.search("SIPHOND_HANDOVER|hands over", proxy.log())
    assert directory.holder(proxy.shared) is None


def test_a_free_port_is_bound_by_nobody_after_a_failure(started, agent):
    """The address that the next one would have added."""
    one = started(limit=20)
    port = free_port()
    one.configure(f'"127.0.0.1:{one.proxy.port}"', f'"127.0.0.1:{one.proxy.port}", "127.0.0.1:{port}"')
    one.put(NEVER_READY)
    assert "does not serve within 20 s" in one.refused()
    assert f"127.0.0.1:{port}" not in one.proxy.status()["listen"]
    upgrades_after_all(one, agent)
    answers(("127.0.0.1", port), agent)
