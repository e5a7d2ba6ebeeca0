"""Starting, stopping and starting again: what stays, what is refused, and by which exit status."""

import os
import signal
import socket

import pytest
from proxy_process import START_SECS, running, until


def registered_call_works(proxy, agent, bob):
    alice = agent(proxy, "alice")
    alice.send(alice.request("MESSAGE", "sip:bob@example.com"))
    bob.respond(bob.expect("MESSAGE"), 200)
    alice.expect("200 MESSAGE")


def test_shared_25_registrations_and_a_ringing_call_outlive_a_restart(proxy, agent):
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    assert proxy.stop(signal.SIGINT) == 0
    proxy.start()
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))
    registered_call_works(proxy, agent, bob)


def test_fresh_forgets_what_was_registered(proxy, agent):
    bob = agent(proxy, "bob")
    bob.register()
    proxy.stop()
    proxy.start("--fresh")
    assert bob.bindings() == []


def test_shared_26_a_drain_lets_the_running_call_end_and_refuses_new_ones(siphond, agent):
    proxy = siphond(workers=2).start()
    proxy.configuration.write_text(proxy.configuration.read_text().replace("drain_secs = 1", "drain_secs = 60"))
    proxy.stop()
    proxy.start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    proxy.send_signal(signal.SIGTERM)

    def refused() -> bool:
        carol = agent(proxy, "carol")
        carol.send(carol.request("OPTIONS", "sip:example.com"))
        answer = carol.receive(0.2)
        return answer is not None and answer.status == 503 and bool(answer["retry-after"])

    until(refused, 15, "the refusal of new requests")
    assert proxy.process.poll() is None
    bob.respond(offered, 486, tag="b")
    bob.expect("ACK")
    alice.acknowledge(invite, alice.expect("486 INVITE"))
    assert proxy.process.wait(30) == 0, "not only when drain_secs are over"


def test_a_second_term_stops_at_once(siphond, agent):
    proxy = siphond(workers=2, more="").start()
    proxy.configuration.write_text(proxy.configuration.read_text().replace("drain_secs = 1", "drain_secs = 60"))
    proxy.stop()
    proxy.start()
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    bob.expect("INVITE")
    proxy.send_signal(signal.SIGTERM)
    until(lambda: proxy.slots().flags, 15, "the drain")
    assert proxy.stop(signal.SIGTERM, seconds=30) == 0


def test_the_workers_end_when_their_supervisor_is_killed(proxy):
    pids = proxy.worker_pids()
    assert len(pids) == 4
    proxy.send_signal(signal.SIGKILL)
    proxy.process.wait(30)
    until(lambda: not running(pids), 30, "the end of the orphans")


def test_after_a_killed_supervisor_the_next_one_goes_on(proxy, agent):
    bob = agent(proxy, "bob")
    bob.register()
    proxy.send_signal(signal.SIGKILL)
    proxy.process.wait(30)
    proxy.start()
    registered_call_works(proxy, agent, bob)


def test_a_second_siphond_on_the_same_tables_is_refused_with_75(proxy, siphond):
    second = siphond(workers=1)
    text = second.configuration.read_text().replace(str(second.shared), str(proxy.shared))
    second.configuration.write_text(text)
    assert second.launch().wait(START_SECS) == 75
    assert f"{proxy.process.pid}" in second.log()
    assert str(proxy.shared) in second.log()


def test_an_address_in_use_is_refused_with_75_and_named_with_its_owner(proxy, siphond):
    second = siphond(workers=1)
    text = second.configuration.read_text().replace(f":{second.port}", f":{proxy.port}")
    second.configuration.write_text(text)
    assert second.launch().wait(START_SECS) == 75
    assert f"127.0.0.1:{proxy.port}" in second.log()
    assert str(proxy.process.pid) in second.log()


def test_an_address_that_another_program_holds_is_refused_with_75(siphond):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        proxy = siphond(workers=1)
        other.bind(proxy.address)
        assert proxy.launch().wait(START_SECS) == 75
        assert str(os.getpid()) in proxy.log()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("count = 2", "cuont = 2"), "workers.cuont"),
        (("count = 2", "count = many"), "not valid TOML"),
        (('reload = "sighup"', "reload = 5"), "script.reload"),
    ],
)
def test_a_wrong_configuration_is_78_with_file_line_and_key(siphond, change, what):
    proxy = siphond(workers=2)
    proxy.configuration.write_text(proxy.configuration.read_text().replace(*change))
    assert proxy.launch().wait(START_SECS) == 78
    assert f"{proxy.configuration}:" in proxy.log()
    assert what in proxy.log()


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("def route(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
    ],
)
def test_a_script_that_does_not_load_is_78_with_its_traceback(siphond, script, what):
    proxy = siphond(workers=2, script=script)
    proxy.tolerated = "."
    assert proxy.launch().wait(START_SECS) == 78
    assert what in proxy.log()
    assert "script.py" in proxy.log()


def test_tables_larger_than_dev_shm_are_71_and_say_what_they_need(siphond):
    proxy = siphond(workers=1, transactions=100_000_000)
    proxy.tolerated = "."
    assert proxy.launch().wait(START_SECS) == 71
    assert "/dev/shm" in proxy.log()
    assert list(proxy.shared.glob("transactions*")) == [] or all(
        path.stat().st_blocks * 512 < 1 << 30 for path in proxy.shared.iterdir()
    )


def test_check_says_ok_and_what_the_tables_need(siphond):
    proxy = siphond(workers=2)
    assert proxy.launch("--check").wait(START_SECS) == 0
    assert f"{proxy.configuration}: ok" in proxy.log()
    assert "/dev/shm" in proxy.log()


def test_hup_switches_all_workers_to_the_new_script_and_refuses_a_broken_one(siphond, agent):
    script = "from siphon import proxy\n@proxy.on_request\ndef route(request):\n    request.reply(200, 'one')\n"
    proxy = siphond(workers=3, script=script).start()
    alice = agent(proxy, "alice")

    def answers() -> set[str]:
        """What twelve source ports are told."""
        found = set()
        for _ in range(12):
            alice.send(alice.request("OPTIONS", "sip:x@example.com"), via=alice.bound())
            found.add(alice.expect("200 OPTIONS").start.split(" ", 2)[2])
        return found

    assert answers() == {"one"}
    proxy.script.write_text(script.replace("one", "two"))
    assert answers() == {"one"}, "script.reload is sighup here"
    proxy.send_signal(signal.SIGHUP)
    until(lambda: answers() == {"two"}, 60, "the reload")
    proxy.script.write_text("raise RuntimeError('broken on purpose')\n")
    proxy.send_signal(signal.SIGHUP)
    until(lambda: "broken on purpose" in proxy.log(), 60, "the refusal")
    assert answers() == {"two"}
    proxy.tolerated = "."


def test_status_counts_workers_and_bindings_and_works_while_workers_are_dead(proxy, agent):
    proxy.tolerated = r"worker \d/4 died"
    agent(proxy, "bob").register()
    done = until(lambda: (asked := proxy.control("status")).returncode == 0 and asked, 30, "beating workers")
    assert all(str(pid) in done.stdout for pid in proxy.worker_pids())
    proxy.send_signal(signal.SIGSTOP)  # so that the dead stay dead for a moment
    for pid in proxy.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: proxy.control("status").returncode == 1, 30, "that the workers are missed")
    proxy.send_signal(signal.SIGCONT)
    until(lambda: proxy.control("status").returncode == 0, 60, "the return of the workers")
    proxy.stop()
    assert proxy.control("status").returncode == 3
