"""A stop drains: what runs is finished, what is new is refused, and the end comes within `server.drain_secs`."""

import json
import signal
import time

import pytest
from free_ports import free_port
from proxy_process import STOP_SECS, until

CALLS = 40
NEW = 40


def ringing(proxy, agent):
    """Alice calls Bob, whose phone rings: both, her INVITE, and the INVITE that he was offered."""
    bob, alice = agent(proxy, "bob"), agent(proxy, "alice")
    bob.register()
    invite = alice.send(alice.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="b")
    alice.expect("180 INVITE")
    return bob, alice, invite, offered


def drain(proxy):
    proxy.send_signal(signal.SIGTERM)
    until(proxy.flags, 30, "the drain")


@pytest.mark.alone
def test_shared_26_under_load_calls_in_setup_are_finished_and_new_ones_get_503(siphond, agent, sipp):
    proxy = siphond(workers=4, steering="spread", drain_secs=60).start()
    port = free_port()
    phone = sipp.callee("uas_setup", port, "-m", str(CALLS), ring=10_000)
    agent(proxy, "bob").register(f"<sip:bob@127.0.0.1:{port}>")
    caller = sipp.caller("uac_setup", proxy.address, calls=CALLS, rate=200)
    until(lambda: proxy.status()["counters"]["responses"] >= CALLS, 60, "the ringing of all")
    drain(proxy)
    refused = sipp.caller("uac_refused", proxy.address, calls=NEW, rate=200, status=503)
    assert proxy.control("ready").returncode == 1
    turned_away = refused.wait(30)
    assert (turned_away.successful, turned_away.failed) == (NEW, 0), refused.report()
    called, answered = caller.wait(60), phone.wait(60)
    assert (called.successful, called.failed) == (CALLS, 0), caller.report()
    assert (answered.successful, answered.failed) == (CALLS, 0), phone.report()
    assert proxy.process.wait(STOP_SECS) == 0
    assert proxy.control("ready").returncode == 3


def new_ones(agent, seconds):
    """What comes within that time and has not come before."""
    before, end, found = {message.raw for message in agent.seen}, time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        message = agent.receive(left)
        if message is not None and message.raw not in before:
            found.append(message)
    return found


SCRIPT = """
from siphon import proxy, timer

@timer.every(0.1, per_worker=True)
def tell():
    proxy.send_request("INFO", "sip:{host}")

@proxy.on_request
def route(request):
    if request.in_dialog:
        request.loose_route()
        request.relay()
    elif request.method == "INVITE":
        request.record_route()
        request.relay("sip:{host}")
    else:
        request.reply(200, "OK")
"""


def test_shared_26_a_drain_serves_what_belongs_to_running_calls_and_sends_nothing_of_its_own(siphond, agent):
    bob = agent(("127.0.0.1", 9), "bob")
    desk = agent(("127.0.0.1", 9), "desk")
    script = SCRIPT.replace("{host}", desk.host, 1).replace("{host}", bob.host)
    proxy = siphond(workers=2, script=script, drain_secs=60).start()
    alice, carol = agent(proxy, "alice"), agent(proxy, "carol")
    bob.proxy = proxy.address
    desk.expect("INFO")
    alice.send(alice.request("INVITE", "sip:bob@example.com"))
    bob.respond(bob.expect("INVITE"), 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")
    waiting = carol.send(carol.request("INVITE", "sip:bob@example.com"))
    offered = bob.expect("INVITE")
    bob.respond(offered, 180, tag="c")
    carol.expect("180 INVITE")

    drain(proxy)
    until(lambda: not new_ones(desk, 1), 30, "silence of the script's timer, but for repeats of what it has sent")
    carol.send(waiting)
    carol.expect("180 INVITE")
    for method in ("INFO", "BYE"):
        alice.within(dialog, method)
        bob.respond(bob.expect(method), 200)
        alice.expect(f"200 {method}")
    for method in ("OPTIONS", "REGISTER", "MESSAGE", "INVITE"):
        alice.send(alice.request(method, "sip:example.com"))
        assert alice.expect(f"503 {method}")["retry-after"]
    carol.cancel(waiting)
    carol.expect("200 CANCEL")
    bob.respond(bob.expect("CANCEL"), 200)
    bob.respond(offered, 487, tag="c")
    bob.expect("ACK")
    carol.acknowledge(waiting, carol.expect("487 INVITE"))
    assert proxy.process.wait(STOP_SECS) == 0
    assert new_ones(desk, 0.1) == []


def test_shared_26_a_call_that_rings_longer_than_the_limit_is_answered_after_the_next_start(siphond, agent):
    proxy = siphond(workers=2, drain_secs=2).start()
    bob, alice, _, offered = ringing(proxy, agent)
    began = time.monotonic()
    proxy.send_signal(signal.SIGTERM)
    assert proxy.process.wait(STOP_SECS) == 0
    assert time.monotonic() - began >= 2
    assert "stopped status=0" in proxy.log()
    proxy.start()
    assert json.loads(proxy.control("ready", "--json").stdout) == {"ready": True, "reasons": [], "texts": []}
    bob.respond(offered, 200, tag="b")
    dialog = alice.dialog(alice.expect("200 INVITE"))
    alice.within(dialog, "ACK")
    bob.expect("ACK")


def test_an_instance_without_calls_does_not_wait_for_the_limit(siphond):
    proxy = siphond(workers=2, drain_secs=600).start()
    assert proxy.stop(signal.SIGTERM) == 0
