"""`siphonctl upgrade`: one siphond after the other without a lost datagram."""

import os
import re
import signal
import threading
import time

import pytest
from free_ports import free_port
from lineage import SLOW, answers
from proxy_process import START_SECS, until
from test_fd_store import PATIENT
from test_nonce_secret import challenged, login

from siphon.cli import directory

HOLD_MS = 1500
UPGRADES = 4


def test_all_is_there_after_an_upgrade_and_after_the_next_one(lineage, agent):
    one = lineage(workers=2).start()
    proxy = one.proxy
    alice, carol, bob = agent(proxy, "alice"), agent(proxy, "carol"), agent(proxy, "carol")
    bob.register()
    for _ in range(2):
        challenge = challenged(alice)
        invite = carol.send(carol.request("INVITE", "sip:carol@example.com"))
        offered = bob.expect("INVITE")
        bob.respond(offered, 180, tag="b")
        carol.expect("180 INVITE")
        pid = one.upgrade()
        bob.respond(offered, 486, tag="b")
        bob.expect("ACK", but=["INVITE"])
        carol.acknowledge(invite, carol.expect("486 INVITE", but=["100 INVITE", "180 INVITE"]))
        assert login(alice, challenge) == 200
        until(lambda: proxy.control("status").returncode == 0, 30, "beating workers")
        status = proxy.status()
        assert (status["pid"], status["state"]) == (pid, "running")
        assert len([worker for worker in status["workers"] if worker["beats"]]) == 2


@pytest.mark.alone
def test_shared_25_300_calls_a_second_through_four_upgrades_and_none_fails(lineage, agent, sipp, sleeper):
    """At a tenth or a thirtieth of the rate where the machine has no time for more."""

    def attempt(rate):
        one = lineage(workers=4).start()
        port = free_port()
        phone = sipp.callee("uas_answer", port, *PATIENT, linger=4000)
        agent(one.proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>")
        options = {"calls": 1_000_000, "rate": rate, "at_once": 4 * rate, "hold": HOLD_MS}
        caller = sipp.caller("uac_call", one.proxy.address, "-t", "un", "-max_socket", "6000", **options)
        for _ in range(UPGRADES):
            time.sleep(1.5)
            one.upgrade()
        time.sleep(1.5)
        caller.process.send_signal(signal.SIGUSR1)  # no more calls; those that run end
        called, answered = caller.wait(100), phone.stop()
        assert called.calls > 6 * rate
        assert (called.successful, called.failed) == (called.calls, 0), caller.report()
        assert answered is not None
        assert answered.failed == 0, phone.report()
        print(f"{called.calls} calls, {UPGRADES} upgrades, {called.retransmissions} retransmissions of the caller")

    sleeper.carried((300, 40, 10), attempt)


def test_what_is_put_on_disk_is_what_runs_next(lineage):
    one = lineage(workers=1).start()
    one.put("os.environ['SEEN'] = 'the new one'\nprint('this is the new one', flush=True)")
    one.upgrade()
    assert "this is the new one" in one.proxy.log()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_upgrade_may_change_the_number_of_workers(count, lineage, agent):
    one = lineage(workers=3).start()
    for old, new in ((3, count), (count, 3)):
        one.configure(f"count = {old}", f"count = {new}")
        one.upgrade()
        answers(one.proxy, agent)
        until(lambda new=new: len(one.proxy.status()["workers"]) == new, 60, "the workers")


def test_an_upgrade_may_add_an_address_and_change_the_steering(lineage, agent):
    one = lineage(workers=2).start()
    port = free_port()
    one.configure(f'"127.0.0.1:{one.proxy.port}"', f'"127.0.0.1:{one.proxy.port}", "127.0.0.1:{port}"')
    one.configure('steering = "flow"', 'steering = "spread"')
    one.upgrade()
    answers(one.proxy, agent)
    answers(("127.0.0.1", port), agent)


def test_a_handler_that_awaits_ends_in_the_old_one_while_the_new_one_serves(lineage, agent):
    one = lineage(workers=2, script=SLOW)
    one.configure("drain_secs = 1", "drain_secs = 60")
    one.start()
    before = one.holder()
    alice = agent(one.proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    until(lambda: (one.proxy.directory / "runs").exists(), 30, "the handler")
    assert one.ask().outcome()[0] == 0
    assert one.holder() != before
    answers(one.proxy, agent)
    (one.proxy.directory / "go").touch()
    alice.expect("200 MESSAGE", within=15, but=["100 MESSAGE"])
    one.until_gone(before)
    assert (one.proxy.directory / "runs").read_text() == "run\n"


def test_the_lock_is_held_at_every_moment_of_an_upgrade(lineage, siphond):
    one = lineage(workers=2).start()
    third = siphond(workers=1)
    third.configuration.write_text(third.configuration.read_text().replace(str(third.shared), str(one.proxy.shared)))
    taken, ends = [], threading.Event()

    def try_to_take():
        import fcntl

        while not ends.is_set():
            lock = os.open(one.proxy.shared / "lock", os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken.append(time.monotonic())
            except BlockingIOError:
                pass
            finally:
                os.close(lock)

    thread = threading.Thread(target=try_to_take)
    thread.start()
    try:
        one.upgrade()
        one.upgrade()
    finally:
        ends.set()
        thread.join()
    assert taken == []
    assert third.launch().wait(START_SECS) == 75
    assert str(one.holder()) in third.log()


def test_siphonctl_stop_waits_for_the_new_one(lineage):
    one = lineage(workers=2).start()
    one.upgrade()
    pid = one.holder()
    done = one.proxy.control("stop")
    assert done.returncode == 0
    assert directory.holder(one.proxy.shared) is None
    one.until_gone(pid, 10)
    assert one.proxy.control("status").returncode == 3


def test_the_service_manager_is_told_the_main_process_and_keeps_the_sockets(lineage, manager, agent):
    one = lineage(workers=2)
    manager.start(one.proxy)
    before = manager.main
    one.pids.append(before)
    one.configure("count = 2", "count = 3")
    after = one.upgrade()
    until(lambda: manager.main == after, 30, "MAINPID")
    until(lambda: len(manager.store) == 3, 30, "the new socket in the store")
    assert f"MAINPID={after}" in manager.said
    assert "STOPPING=1" not in manager.said
    os.killpg(before, signal.SIGKILL)  # the group is still named after the first one
    one.until_gone(after)
    one.proxy.process.wait(30)
    manager.start(one.proxy)
    answers(one.proxy, agent)


def test_nothing_is_left_behind_by_many_upgrades(lineage, agent):
    one = lineage(workers=2).start()
    one.upgrade()
    slots = {worker["slot"] for worker in one.proxy.status()["workers"]}
    files = set(os.listdir(f"/proc/{one.holder()}/fd"))
    for _ in range(4):
        one.upgrade()
    answers(one.proxy, agent)
    assert {worker["slot"] for worker in one.proxy.status()["workers"]} == slots
    assert len(set(os.listdir(f"/proc/{one.holder()}/fd")) - files) <= 4
    mine = {one.holder(), *one.children_of(one.holder())}
    taken = {pid for index in range(64) if (pid := one.proxy.slots().read(index).pid)}
    assert taken < mine
    assert re.search(r"upgrade failed|upgrade refused", one.proxy.log()) is None
