"""kill -9 of a whole siphond, with a service manager that keeps its sockets and without one."""

import re
import socket
import time

import pytest
from free_ports import free_port
from proxy_process import START_SECS, until
from sipp_runner import Sipp
from test_nonce_secret import challenged, login

from workers.application import Counter

HOLD_MS = 2500
"""As in test_chaos: a call lasts longer than it takes to repeat a 200 whose ACK was lost."""
RATE = 50
SECONDS = 12
PATIENT = ("-default_behaviors", "all,-abortunexp")
"""When siphond is back, repeats come at once: an INVITE, or the ACK to each 200. A phone knows them as repeats."""
STALE_SECS = 4
"""A request that waited longer in a socket is dropped and counted, since its sender has repeated it."""


def calls_through(proxy, agent, sipp) -> tuple[Sipp, Sipp]:
    port = free_port()
    phone = sipp.callee("uas_answer", port, *PATIENT, linger=4000)
    agent(proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>")
    options = {"calls": RATE * SECONDS, "rate": RATE, "at_once": 5 * RATE, "hold": HOLD_MS}
    return phone, sipp.caller("uac_call", proxy.address, "-t", "un", "-max_socket", "3000", **options)


def none_failed(phone: Sipp, caller: Sipp) -> None:
    called, answered = caller.wait(SECONDS + 60), phone.stop()
    assert (called.successful, called.failed) == (RATE * SECONDS, 0), caller.report()
    assert answered is not None
    assert answered.failed == 0, phone.report()


def ask_while_nobody_runs(proxy, agent, count):
    """An OPTIONS from each of `count` ports, once."""
    asking = []
    for number in range(count):
        one = agent(proxy, f"asker{number}")
        one.send(one.request("OPTIONS", "sip:example.com"))
        asking.append(one)
    return asking


def restarted_with_questions(manager, proxy, agent, count=40):
    """Each is answered, or where the machine was so slow has been read as stale: none is lost but what a worker held
    that the machine gave no time, so that it was ended as one that is stuck. Phones repeat that."""
    proxy.kill_all()
    began, before, stuck = time.monotonic(), stale(proxy), proxy.stalls()
    asking = ask_while_nobody_runs(proxy, agent, count)
    manager.start(proxy)

    def all_read() -> bool:
        nonlocal stuck
        for one in asking:
            list(one.drain())
        silent = [one for one in asking if not any(message.is_a("200 OPTIONS") for message in one.seen)]
        if proxy.stalls() > stuck:
            stuck = proxy.stalls()
            for one in silent:
                one.send(one.sent[-1])
        return len(silent) <= stale(proxy) - before  # calls beside them become stale too

    until(all_read, 60, "that each question was read")
    assert stale(proxy) == before or time.monotonic() - began > STALE_SECS


def stale(proxy) -> int:
    """Requests that were dropped for their age."""
    return sum(proxy.slots().row(index)[Counter.STALE_DROPS] for index in range(proxy.workers))


@pytest.mark.alone
@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_shared_25_with_the_store_a_kill_of_everything_loses_no_datagram(
    steering, siphond, manager, agent, sipp, sleeper
):
    proxy = siphond(workers=4, steering=steering)
    manager.start(proxy)
    until(lambda: len(manager.store) == 4, 20, "the sockets in the store")
    alice, carol, bob = agent(proxy, "alice"), agent(proxy, "carol"), agent(proxy, "carol")
    bob.register()
    challenge = challenged(alice)
    invite = carol.send(carol.request("INVITE", "sip:carol@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    carol.expect("180 INVITE")
    phone, caller = calls_through(proxy, agent, sipp)
    time.sleep(4)
    restarted_with_questions(manager, proxy, agent)
    bob.respond(offered, 486, tag="b")
    carol.acknowledge(invite, carol.expect("486 INVITE"))
    assert login(alice, challenge) == 200
    assert bob.bindings() == [bob.contact.strip("<>")]
    none_failed(phone, caller)
    assert len(manager.store) == 4
    until(lambda: "kept_sockets=4" in proxy.log(), 20, "the line")


@pytest.mark.alone
def test_shared_25_without_a_store_retransmissions_recover_from_a_kill_of_everything(siphond, agent, sipp):
    proxy = siphond(workers=4).start()
    phone, caller = calls_through(proxy, agent, sipp)
    for _ in range(2):
        time.sleep(3)
        proxy.kill_all()
        proxy.start()
    none_failed(phone, caller)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_another_number_of_workers_takes_all_kept_sockets(count, siphond, manager, agent):
    proxy = siphond(workers=3)
    manager.start(proxy)
    proxy.configuration.write_text(proxy.configuration.read_text().replace("count = 3", f"count = {count}"))
    proxy.workers = max(3, count)  # rows of counters
    for _ in range(2):
        restarted_with_questions(manager, proxy, agent)
        assert len(manager.store) == max(3, count)
    proxy.stop()


def test_an_address_that_is_configured_no_more_leaves_the_store(siphond, manager):
    proxy = siphond(workers=2, listen='"127.0.0.1:{port}"')
    manager.start(proxy)
    before = set(manager.store)
    proxy.kill_all()
    text = proxy.configuration.read_text()
    proxy.port = free_port()
    proxy.configuration.write_text(re.sub(r'"127.0.0.1:\d+"', f'"127.0.0.1:{proxy.port}"', text, count=1))
    manager.start(proxy)
    until(lambda: len(manager.store) == 2, 20, "the new sockets alone")
    assert not before & set(manager.store)
    until(lambda: "is no address of listen.udp; closed" in proxy.log(), 20, "the line")


def test_names_that_are_garbage_harm_nothing(siphond, manager, agent):
    proxy = siphond(workers=2)
    manager.start(proxy)
    proxy.kill_all()
    manager.start(proxy, names="\u00e4::/../")
    until(lambda: "kept_sockets=2" in proxy.log(), 20, "the line")
    assert "LISTEN_FDNAMES has 3 names" in proxy.log()
    alice = agent(proxy, "alice")
    alice.send(alice.request("OPTIONS", "sip:example.com"))
    alice.expect("200 OPTIONS")


def test_foreign_descriptors_in_the_store_are_told_and_closed(siphond, manager):
    proxy = siphond(workers=2)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        manager.store["somebody's"] = stream.detach()
    manager.start(proxy)
    until(lambda: "somebody's is not of UDP; closed" in proxy.log(), 20, "the line")
    until(lambda: len(manager.store) == 2 and "somebody's" not in manager.store, 20, "a store of ours alone")


def test_a_start_by_hand_while_the_manager_keeps_the_sockets_is_refused(siphond, manager):
    proxy = siphond(workers=2)
    manager.start(proxy)
    proxy.kill_all()
    proxy.prefix, proxy.inherited = [], []
    assert proxy.launch().wait(START_SECS) == 75
    assert "address in use" in proxy.log()
